"""Certificates and revocation lists that expire, and the notices about them: some days before, and on the day. Pure.

A notice is due from its day on until it was given. If several notices about one certificate are due, as for a new
certificate that expires soon, only the notice with the fewest days is given.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner, uses_of
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import Dates
from mtlsd.pki.key_pair import KeyPair

LIST_DAYS = 1  # the earliest notice about a revocation list, in days before its expiry
LISTED_DAYS = 60  # that `mtlsd check` looks ahead
NAMED = 5  # owners of one certificate that a notice names
FORGOTTEN = timedelta(days=30)  # a certificate that expired longer ago is not reported, although its file may remain


@dataclass(frozen=True, slots=True)
class Expiring:
    """A certificate or a revocation list that expires, with its owner and its use."""

    owner: str  # such as "host as2.example.com", "organization EXAMPLE", "partner acme"
    use: str
    name: str  # the subject, or the issuer of a revocation list
    sha256: str
    not_after: datetime
    longest: int | None = None  # the earliest notice, in days: a list that is reissued each week always expires soon
    is_ours: bool = field(kw_only=True)  # we renew it, not the partner

    def days_left(self, now: datetime) -> int:
        """Whole days until the expiry; negative after it."""
        return (self.not_after - now) // timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice about something that expires in so many days or fewer."""

    about: Expiring
    days: int


def expiring_pair(owner: str, use: str, pair: KeyPair) -> Iterator[Expiring]:
    """A key pair's certificate and its chain; nothing if the pair is retired before the certificate expires."""
    if _is_retired_before(pair.dates, pair.certificate):
        return
    yield _expiring(owner, use, pair.certificate, is_ours=True)
    for each in pair.chain:
        yield _expiring(owner, f"{use}, chain", each, is_ours=True)


def expiring_organization(organization: Organization) -> Iterator[Expiring]:
    """Everything that an organization of ours uses."""
    owner = f"organization {organization.name}"
    for pair in organization.signing_pairs:
        yield from expiring_pair(owner, "signing", pair)
    for pair in organization.decryption:
        yield from expiring_pair(owner, "decryption", pair)
    for each in organization.backend_certificates:
        yield _expiring(owner, "backend's signature", each, is_ours=True)


def expiring_partner(partner: Partner) -> Iterator[Expiring]:
    """Everything that a partner uses, each certificate once, and its revocation lists."""
    owner = f"partner {partner.name}"
    for each, use in uses_of(partner).items():
        if not _is_retired_before(partner.dates_of(each), each):
            yield _expiring(owner, use, each, is_ours=False)
    for crl in partner.crls:
        if crl.next_update:
            end = crl.next_update
            yield Expiring(owner, "revocation list", crl.issuer, crl.sha256, end, LIST_DAYS, is_ours=False)


def due(things: Iterable[Expiring], days: tuple[int, ...], now: datetime) -> Iterator[Notice]:
    """A notice for each thing that has so few days left, whether the notice was given or not."""
    horizon = now + timedelta(days=max(days, default=-1) + 1)
    for each in _merged(each for each in things if now - FORGOTTEN <= each.not_after < horizon):
        left = max(each.days_left(now), 0)
        asked = [number for number in days if each.longest is None or number <= each.longest]
        if fitting := [number for number in asked if number >= left]:
            yield Notice(each, min(fitting))


def _merged(things: Iterable[Expiring]) -> Iterator[Expiring]:
    """Each certificate once, with all its owners and uses."""
    found: dict[str, list[Expiring]] = {}
    for each in things:
        found.setdefault(each.sha256, []).append(each)
    for several in found.values():
        owners, uses = sorted({each.owner for each in several}), sorted({each.use for each in several})
        more = f" and {len(owners) - NAMED} more" if len(owners) > NAMED else ""
        is_ours = any(each.is_ours for each in several)
        yield replace(several[0], owner=", ".join(owners[:NAMED]) + more, use=", ".join(uses), is_ours=is_ours)


def _is_retired_before(dates: Dates, certificate: Certificate) -> bool:
    return dates.retire_after is not None and dates.retire_after < certificate.not_after


def _expiring(owner: str, use: str, certificate: Certificate, *, is_ours: bool) -> Expiring:
    end = certificate.not_after
    return Expiring(owner, use, certificate.subject, certificate.sha256, end, is_ours=is_ours)
