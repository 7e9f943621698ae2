"""Warnings about a partner's directory: valid but probably unintended settings, each with a fix."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from mtlsd.errors import CertificateRefused, Problem
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import SETTINGS
from mtlsd.partners.rollover import CertificateState, Standing, Use, not_in_use
from mtlsd.partners.rules import CLIENT_RULES, ISSUER_RULES, SIGNATURE_ALGORITHM, refusals
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.lint import same_issuer_and_serial
from mtlsd.pki.policy import may_sign

SOON = timedelta(days=1)  # most lists are reissued each day or each week
NAMED = 5  # partners in one warning
_EXACTLY = "only exactly these certificates are accepted"
NOBODY = "nobody can connect as this partner"


def partner_warnings(directory: Path, partner: Partner, now: datetime | None = None) -> Iterator[Problem]:
    """Warnings about a partner that is in use; without `now` the dates of the certificates are not checked."""
    if partner.match and not partner.trusted_roots:
        text = "accepts no certificate, because the partner has no trusted root: add the root certificate"
        yield Problem(directory / SETTINGS, text, key="match")
    texts = (
        *_general(partner),
        *_always_refused(partner),
        *_without_a_way(partner),
        *_nobody_connects(partner, now),
        *dict.fromkeys(_never_retired(partner, now)),
        *_lists(partner, now),
    )
    for text in texts:
        yield Problem(directory, text)


def pinned_warning(directory: Path, partners: Iterable[Partner]) -> Iterator[Problem]:
    """One warning about all partners that are pinned, which is usual; `directory` has one directory for each."""
    names = [each.name for each in partners if each.public_certificates and not each.trusted_roots]
    if len(names) == 1:
        yield Problem(directory / names[0], f"pinned without a root: {_EXACTLY}")
    elif names:
        some = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        yield Problem(directory, f"{len(names)} partners are pinned without a root ({some}): {_EXACTLY}")


def _general(partner: Partner) -> Iterator[str]:
    yield from same_issuer_and_serial((*partner.public_certificates, *partner.message_certificates))
    if _leads_nowhere(partner):
        yield "an intermediate certificate alone identifies nobody: add a public certificate or [match]"


def _nobody_connects(partner: Partner, now: datetime | None) -> Iterator[str]:
    """A warning if the partner has certificates for connections, and none of them is accepted."""
    ways = (*partner.public_certificates, *(partner.trusted_roots if partner.match else ()))
    reasons = (_reason(each, partner, now) for each in ways)
    refusals = tuple(takewhile(bool, reasons))  # up to the first certificate that is accepted
    if ways and len(refusals) == len(ways):
        yield f"{NOBODY}: {'; '.join(filter(None, refusals))}"
    elif not ways and partner.trusted_roots and not _leads_nowhere(partner):
        yield f"{NOBODY}: {'; '.join(_only_roots(partner))}"


def _never_retired(partner: Partner, now: datetime | None) -> Iterator[str]:
    """Old certificates without `retire_after`, if partner.toml says when a newer one becomes active."""
    if now is None or not partner.dates:
        return
    for use in (Use.CONNECTION, Use.MESSAGE):
        several = [each for each in partner.standings(use, {}, now) if each.usable]
        begun = [at for at, each in enumerate(several) if each.dates.active_from]
        for each in several[: max(begun, default=0)]:
            if each.dates.retire_after is None:
                yield never_retired(each)


def never_retired(old: Standing) -> str:
    """The warning about a replaced certificate that is accepted until its expiry."""
    assert old.state is not CertificateState.RETIRED
    return (
        f"{_named(old.certificate)} has a successor and no retire_after, and is accepted until it expires on "
        f"{old.certificate.not_after:%Y-%m-%d}; set retire_after, or remove it after the partner has switched"
    )


def _leads_nowhere(partner: Partner) -> bool:
    ends = set(partner.public_certificates) - set(partner.trusted_roots)
    return bool(partner.intermediates) and not partner.match and not ends


def _reason(certificate: Certificate, partner: Partner, now: datetime | None) -> str | None:
    """Why nobody can connect with this public certificate, or below this root; None if somebody can."""
    if now and now > certificate.not_after:
        return f"{certificate.subject} expired on {certificate.not_after:%Y-%m-%d}"
    if now and now < certificate.not_before:
        return f"{certificate.subject} is not valid before {certificate.not_before:%Y-%m-%d}"
    if now and (reason := not_in_use(partner.dates_of(certificate), now)):
        return f"{certificate.subject} is {reason}"
    if refusal := _refusal(certificate, partner):
        return f"{certificate.subject} is always refused: {refusal.reason}"
    return None


def _only_roots(partner: Partner) -> Iterator[str]:
    yield "the partner has only roots: add a public certificate or [match]"
    for each in partner.trusted_roots:
        if may_sign(each):
            yield f"{each.subject} also belongs to another partner, so it counts as a root only"


def _always_refused(partner: Partner) -> Iterator[str]:
    certificates = (*partner.public_certificates, *partner.trusted_roots, *partner.intermediates)
    for each in dict.fromkeys(certificates):
        if refusal := _refusal(each, partner):
            below = "" if each in partner.public_certificates else ", and so is every certificate below it"
            words = f"{refusal.reason} ({refusal.detail})" if refusal.detail else refusal.reason
            yield f"{_named(each)} is always refused{below}: {words}"


def _refusal(certificate: Certificate, partner: Partner) -> CertificateRefused | None:
    rules = CLIENT_RULES if certificate in partner.public_certificates else ISSUER_RULES
    return next(refusals((*rules, SIGNATURE_ALGORITHM), certificate, partner), None)


def _without_a_way(partner: Partner) -> Iterator[str]:
    """Certificates that need a root, if none of the partner's roots is above them."""
    roots = {root.subject for root in partner.trusted_roots}
    for each in partner.public_certificates if roots else ():
        if not each.is_self_signed and _top_issuer(each, partner) not in roots:
            yield (
                f"{_named(each)} cannot connect, unless the client sends the chain from {each.issuer} to a root of the "
                f"partner: add {each.issuer} and every CA above it; put roots of the partner's MDN servers into mdn/"
            )


def _top_issuer(certificate: Certificate, partner: Partner) -> str:
    """The highest issuer that the names of the partner's intermediates lead to."""
    issuers = {each.subject: each.issuer for each in partner.intermediates}
    issuer = certificate.issuer
    for _ in issuers:
        issuer = issuers.get(issuer, issuer)
    return issuer


def _lists(partner: Partner, now: datetime | None) -> Iterator[str]:
    """Revocation lists that are not used, or soon will not be."""
    issuers = (*partner.trusted_roots, *partner.intermediates)
    for each in partner.crls:
        name = f"the revocation list of {each.issuer}"
        if not any(each.is_signed_by(issuer) for issuer in issuers):
            yield f"{name} is not signed by any CA certificate in this directory: add the CA certificate that signed it"
        elif now and each.has_ended(now):
            yield f"{name} expired on {each.next_update:%Y-%m-%d %H:%M}: add a newer list"
        elif now and each.has_ended(now + SOON):
            yield f"{name} expires on {each.next_update:%Y-%m-%d %H:%M}: add the next list"


def _named(certificate: Certificate) -> str:
    return f"{certificate.subject} ({certificate.sha256[:16]})"
