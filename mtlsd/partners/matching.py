"""Matching: finds the partner of a client certificate, in two steps.

`claim` picks the one partner whose roots may verify the certificate, so that no other partner's CA can. Then the chain
is judged under these roots. `match` turns the verdict into a `Peer`, or raises the reason. Errors have the names of
partners in `facts`, for the log only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import permutations
from typing import Any, TypeVar

from mtlsd import errors
from mtlsd.partners.partner import Partner
from mtlsd.partners.rollover import not_in_use
from mtlsd.partners.trust_store import Index, TrustStore
from mtlsd.pki.anchors import MAX_CHAIN, NO_ANCHORS, Anchors
from mtlsd.pki.certificate import Certificate, PeerUnverified, PeerVerified, Presented

Refused = TypeVar("Refused", bound=errors.CertificateRefused)

ALL_THE_SAME = "and refused all the same"
OWN: dict[type, str] = {  # the defect of a certificate that otherwise belongs to a partner
    errors.CertExpired: "expired",
    errors.CertRevoked: "revoked",
    errors.CertNotYetValid: "not yet valid",
    errors.CertEKUNoClientAuth: "but not issued for TLS clients",
    errors.CertKeyUsage: "but with a key usage that lets it sign no handshake",
    errors.CertKeyTooWeak: "but with a key that is too weak",
    errors.CertSigAlgWeak: "but signed with a weak algorithm",
}
MAX_ORDERED = 4  # relative names in a subject of which every order is tried; of a longer subject, only the reverse


@dataclass(frozen=True, slots=True)
class Claim:
    """The partner that a certificate claims to belong to; nothing is proved yet."""

    certificate: Certificate
    names: tuple[str, ...] = ()  # of all partners that the certificate could belong to
    partner: Partner | None = None  # if there is exactly one, and it is in use
    anchors: Anchors = NO_ANCHORS

    @property
    def relax(self) -> frozenset[str]:
        """The rules that are relaxed for the partner; none if no partner is claimed."""
        return self.partner.relax if self.partner else frozenset()


@dataclass(frozen=True, slots=True)
class Peer:
    """A partner, proved by the certificate of its connection. Only `match` makes one."""

    partner: Partner
    certificate: Certificate


def claim(presented: Presented, truststore: TrustStore) -> Claim:
    """The claim of a certificate: found by the bytes of the certificate, or else by `[match]`."""
    certificate = presented.certificate
    owners = truststore.owners.get(certificate.sha256, ())
    names = owners or _matchers(certificate, truststore)
    partner = truststore.partners.get(names[0]) if len(names) == 1 else None
    if partner is None:
        return Claim(certificate, names, None, _anchors_of_all(presented, truststore))
    pin = certificate if certificate in partner.public_certificates else None
    anchors = Anchors(partner.trusted_roots, partner.intermediates, pin, _issuers(partner))
    return Claim(certificate, names, partner, anchors)


def match(verdict: PeerVerified | PeerUnverified, claim: Claim, truststore: TrustStore, host: str) -> Peer:
    """The partner at the other end of the connection; raises CertificateRefused or CertKnownOtherHost with the reason.

    `verdict` must be about the certificate of `claim`, judged with the claim's anchors.
    """
    assert verdict.presented.certificate == claim.certificate
    if len(claim.names) > 1:
        raise _refusal(errors.CertAmbiguousMapping, claim, partners=claim.names)
    if claim.names and claim.partner is None:
        raise _refusal(errors.PartnerDisabled, claim, partner=claim.names[0])
    if isinstance(verdict, PeerUnverified):
        raise _afresh(verdict, claim, truststore)
    if claim.partner is None:
        raise _not_mapped(claim, truststore)
    _check_dates(claim, claim.partner, verdict.at)
    if not claim.partner.may_use(host):
        facts = {**claim.certificate.facts(), "partner": claim.partner.name, "host": host}
        raise errors.CertKnownOtherHost(f"{claim.partner.name} is not open on {host}", **facts)
    return Peer(claim.partner, claim.certificate)


def _issuers(partner: Partner) -> frozenset[str]:
    return frozenset(each.issuer for each in (*partner.public_certificates, *partner.intermediates)).union(
        each.subject for each in (*partner.trusted_roots, *partner.intermediates)
    )


def _matchers(certificate: Certificate, truststore: TrustStore) -> tuple[str, ...]:
    candidates = truststore.matchers.get(certificate.subject, ())
    return tuple(each.name for each in candidates if each.match and each.match.holds(certificate))


def _anchors_of_all(presented: Presented, truststore: TrustStore) -> Anchors:
    """The roots and intermediates, of any partner, that this chain could lead to.

    They are found by name, from issuer to issuer. If OpenSSL were given the roots of a thousand partners, each
    handshake of a stranger would cost us 30 ms.
    """
    chain = presented.chain[:MAX_CHAIN]
    wanted = {presented.certificate.issuer, *(each.issuer for each in chain)}
    intermediates: list[Certificate] = []
    newest = wanted
    for _ in range(MAX_CHAIN):
        found = _by_subjects(newest, truststore.intermediates)
        intermediates += found
        newest = {each.issuer for each in found} - wanted
        wanted |= newest
    return Anchors(_by_subjects(wanted, truststore.roots), tuple(intermediates))


def _by_subjects(subjects: Iterable[str], index: Index[Certificate]) -> tuple[Certificate, ...]:
    return tuple(each for subject in sorted(subjects) for each in index.get(subject, ()))


def _check_dates(claim: Claim, partner: Partner, now: datetime) -> None:
    """Raises CertificateRefused if the certificate is not in use now, by its dates in partner.toml."""
    dates = partner.dates_of(claim.certificate)
    if why := not_in_use(dates, now):
        is_retired = dates.have_ended(now)
        error = errors.CertKnownButRetired if is_retired else errors.CertKnownButPending
        which = f"{partner.name}'s {'previous' if is_retired else 'next'} certificate"
        raise _refusal(error, claim, partner=partner.name, nearest=f"{which}, {why}")


# --- Refusals -------------------------------------------------------------------------------------------


def _refusal(error: type[Refused], claim: Claim, detail: str = "", **facts: object) -> Refused:
    return error(detail, **{**claim.certificate.facts(), **facts})


def _afresh(verdict: PeerUnverified, claim: Claim, truststore: TrustStore) -> errors.CertificateRefused:
    """A copy of the verdict's error, because verdicts are cached, and an exception grows with each raise."""
    error = verdict.error
    assert isinstance(error, errors.CertificateRefused)
    facts = {**error.facts, "nearest": nearest(claim.certificate, truststore, error)}
    if claim.partner:
        facts["partner"] = claim.partner.name
    return _refusal(type(error), claim, error.detail, **facts)


def _not_mapped(claim: Claim, truststore: TrustStore) -> errors.CertificateRefused:
    """The refusal of a certificate that verifies to a partner's root, but belongs to no partner."""
    holders = sorted({name for root in claim.anchors.roots for name in truststore.holders(root)})
    facts: dict[str, Any] = {"under_roots_of": tuple(holders), "nearest": nearest(claim.certificate, truststore)}
    meant = [name for name in _near(claim.certificate, truststore)[0] if name in holders] or holders
    if meant and all(truststore.partners[name].public_certificates for name in meant):
        return _refusal(errors.CertPinMismatch, claim, **facts)
    return _refusal(errors.CertSubjectNotMapped, claim, **facts)


def nearest(certificate: Certificate, truststore: TrustStore, error: errors.PeerError | None = None) -> str:
    """The partner that the certificate nearly matches, for the log; empty if there is none.

    `error` is the defect of the certificate, if known.
    """
    wrong = OWN.get(type(error), ALL_THE_SAME)
    if names := truststore.owners.get(certificate.sha256):
        return f"{', '.join(names)}'s own, {wrong}"
    if uses := truststore.uses_elsewhere(certificate):
        return f"registered for {'; '.join(uses)}"
    if error and (names := _matchers(certificate, truststore)):
        return f"all that is asked for in [match] of {', '.join(names)}, {wrong}"
    return _near(certificate, truststore)[1]


def _near(certificate: Certificate, truststore: TrustStore) -> tuple[tuple[str, ...], str]:
    """The partners that an unregistered certificate resembles, and the similarity; both empty if there are none."""
    if names := truststore.same_key.get(certificate.public_key_der):
        return names, f"same key as a certificate of {', '.join(names)}, renewed: not registered yet"
    if names := truststore.same_subject.get(certificate.subject):
        return names, f"same subject as a certificate of {', '.join(names)}, other key"
    if names := _names_of_matchers(certificate.subject, truststore):
        return names, f"the subject in [match] of {', '.join(names)}, other alternative names"
    for subject in _in_other_orders(certificate):
        if names := _names_of_matchers(subject, truststore):
            order = "in another order: RFC 4514 begins with the last"
            return names, f"the subject in [match] of {', '.join(names)}, {order}"
    return (), ""


def _names_of_matchers(subject: str, truststore: TrustStore) -> tuple[str, ...]:
    return tuple(each.name for each in truststore.matchers.get(subject, ()))


def _in_other_orders(certificate: Certificate) -> Iterator[str]:
    """The subject in the orders in which people may have written it, such as that of `openssl x509 -subject`."""
    names = [each.rfc4514_string() for each in certificate.x509.subject.rdns]
    yield ",".join(names)
    if len(names) <= MAX_ORDERED:
        yield from map(",".join, permutations(names))
