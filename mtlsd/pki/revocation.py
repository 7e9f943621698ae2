"""Checks whether a certificate was revoked: a partner's settings against the known evidence. Pure.

Lists and responses are data (`RevocationEvidence`). Other modules read files and open sockets; this one only
compares. If nothing is known, "soft" continues with a warning, and "hard" refuses. Both refuse a certificate that is
known to be revoked, also if the list has expired, because its entries still count.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from mtlsd.config import fields
from mtlsd.config.addresses import Backend
from mtlsd.config.fields import choice, text, texts
from mtlsd.errors import CertificateRefused, CertRevoked, CRLExpired, CRLMissing, OCSPUnreachable
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.chain import issuers_of
from mtlsd.pki.crl import RevocationList
from mtlsd.pki.ocsp import OCSPFailure, OCSPStatus
from mtlsd.pki.policy import refused


class RevocationCheck(StrEnum):
    """How strict one source of revocations is."""

    OFF = "off"
    SOFT = "soft"
    HARD = "hard"


_A_URL = 'a URL such as "http://pki.acme.example/ca.crl"'
_URLS = 'a list of URLs such as "http://pki.acme.example/ca.crl"'


def _url(text: str) -> str:
    try:
        return Backend.parse(text).url
    except ValueError as error:
        raise ValueError(f"expected {_A_URL}") from error


@fields.table
@dataclass(frozen=True, slots=True)
class Revocation:
    """`[revocation]` of a partner. By default, the lists in its directory count, and nothing is fetched."""

    crl: Annotated[RevocationCheck, choice(RevocationCheck)] = RevocationCheck.SOFT
    fetch: fields.Flag = False  # lists from the distribution points that its certificates name
    crl_urls: Annotated[tuple[str, ...], texts(_url, _URLS)] = ()  # more lists to fetch, also at private addresses
    ocsp: Annotated[RevocationCheck, choice(RevocationCheck)] = RevocationCheck.OFF
    ocsp_url: Annotated[str | None, text(_url)] = None  # replaces the certificate's; may be private


BY_DEFAULT = Revocation()


@dataclass(frozen=True, slots=True)
class RevocationEvidence:
    """The known revocations when a chain is judged."""

    settings: Revocation = BY_DEFAULT
    lists: tuple[RevocationList, ...] = ()
    ocsp: OCSPStatus | OCSPFailure | None = None  # for the client's own certificate; None: no responder was asked

    def until(self, now: datetime) -> datetime | None:
        """The time after which a verdict by this evidence must be renewed; None if it has no future date."""
        moments = [each.next_update for each in self.lists if each.next_update]
        moments += [each.this_update for each in self.lists]
        moments += [self.ocsp.until] if self.ocsp else []
        return min((each for each in moments if each > now), default=None)

    def without_ocsp(self) -> "RevocationEvidence":
        """The evidence with OCSP switched off, because no responder can be asked now."""
        return replace(self, settings=replace(self.settings, ocsp=RevocationCheck.OFF))


@dataclass(frozen=True, slots=True)
class _Finding:
    error: type[CertificateRefused]
    certificate: Certificate
    detail: str
    hard: bool = True

    def __str__(self) -> str:
        return f"{self.error.reason}: {self.detail}"


def check_revocation(
    chain: tuple[Certificate, ...],
    evidence: RevocationEvidence,
    now: datetime,
    intermediates: tuple[Certificate, ...] = (),
) -> tuple[str, ...]:
    """Return warnings; raises CertRevoked, CRLMissing, CRLExpired or OCSPUnreachable.

    `chain` has verified, from the client's certificate to the root. A root cannot be revoked, only removed. For a
    certificate without a root, the partner's `intermediates` that issued it can revoke it, but prove nothing good.
    """
    findings = (*_by_lists(chain, intermediates, evidence, now), *_by_ocsp(chain[0], evidence))
    hard = [each for each in findings if each.hard]
    for each in sorted(hard, key=lambda finding: finding.error is not CertRevoked):
        raise refused(each.error, chain[0], each.detail, revocation_of=each.certificate.subject)
    return tuple(map(str, findings))


# --- Lists ----------------------------------------------------------------------------------------------------


def _by_lists(
    chain: tuple[Certificate, ...],
    intermediates: tuple[Certificate, ...],
    evidence: RevocationEvidence,
    now: datetime,
) -> Iterator[_Finding]:
    settings = evidence.settings
    if settings.crl is RevocationCheck.OFF:
        return
    hard = settings.crl is RevocationCheck.HARD
    expected = hard or settings.fetch or bool(settings.crl_urls)
    if len(chain) == 1 and not chain[0].is_self_signed and expected:
        yield _Finding(CRLMissing, chain[0], f"no list can be verified without a root: {chain[0].issuer}", hard)
    has_no_root = len(chain) == 1 and bool(evidence.lists)
    yield from _named((*chain, *issuers_of(chain[0], intermediates)) if has_no_root else chain, evidence, now)
    for certificate, issuer in pairwise(chain):
        own = _signed_by((issuer,), evidence.lists)
        whole = _newest(each for each in own if each.scope.holds(certificate) and each.this_update <= now)
        if not whole and expected:
            yield _Finding(CRLMissing, certificate, f"no list of {issuer.subject} for {certificate.subject}", hard)
        elif whole and all(each.has_ended(now) for each in whole):
            ended = f"the list of {issuer.subject} expired on {whole[0].next_update}"
            yield _Finding(CRLExpired, certificate, ended, hard)


def _named(path: tuple[Certificate, ...], evidence: RevocationEvidence, now: datetime) -> Iterator[_Finding]:
    """The certificates of a path that a list of a CA above them names."""
    for at, certificate in enumerate(path):
        lists = _in_force(_signed_by(path[at + 1 :], evidence.lists), now)
        yield from (_revoked(certificate, each) for each in lists if each.names(certificate))


def _signed_by(authorities: Iterable[Certificate], lists: Iterable[RevocationList]) -> Iterator[RevocationList]:
    """The lists of these CAs. A CA above a certificate's issuer may name the certificate in an indirect list."""
    several = tuple(authorities)
    return (each for each in lists if any(each.issuer == ca.subject and each.is_signed_by(ca) for ca in several))


def _in_force(lists: Iterable[RevocationList], now: datetime) -> tuple[RevocationList, ...]:
    """The lists whose entries count: the newest of each scope, and those from the future, which replace no other."""
    several = tuple(lists)
    future = [each for each in several if each.this_update > now]
    return (*_newest(each for each in several if each.this_update <= now), *future)


def _newest(lists: Iterable[RevocationList]) -> tuple[RevocationList, ...]:
    """The newest list of each CA and scope."""
    in_order = sorted(lists, key=lambda crl: crl.this_update)
    return tuple({(each.issuer, each.scope): each for each in in_order}.values())


def _revoked(certificate: Certificate, crl: RevocationList) -> _Finding:
    words = f"{certificate.subject} was revoked {crl.when(certificate)}, according to the list of {crl.issuer}"
    return _Finding(CertRevoked, certificate, f"{words}, dated {crl.this_update}")


# --- OCSP -----------------------------------------------------------------------------------------------------


def _by_ocsp(leaf: Certificate, evidence: RevocationEvidence) -> Iterator[_Finding]:
    settings, found = evidence.settings, evidence.ocsp
    if settings.ocsp is RevocationCheck.OFF or (leaf.is_self_signed and found is None):
        return
    if isinstance(found, OCSPStatus):
        if found.revoked:
            yield _Finding(CertRevoked, leaf, f"{leaf.subject} was revoked {found.detail}, according to OCSP")
        return
    detail = found.detail if found else "no responder was asked"
    yield _Finding(OCSPUnreachable, leaf, detail, settings.ocsp is RevocationCheck.HARD)
