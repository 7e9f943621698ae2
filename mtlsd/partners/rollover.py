"""Roll-over: several certificates for one use, each with its dates, and where each of them stands. Pure.

Two things are told apart. What a certificate may do is said by its dates alone: nothing before `active_from`, and
nothing after `retire_after`. Which of several is the one in use is said by the first use of a newer one, the promotion:
it makes that one active and the older ones retiring, which go on until their dates end. So a promotion that is lost
refuses nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol, TypeVar

from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import ALWAYS, Dates

Promotions = Mapping[str, datetime]  # when, by `Use.mark`


class CertificateState(StrEnum):
    """Where a certificate stands among those of its use."""

    PENDING = "pending"  # not used so far; before its `active_from` it is refused, then its first use promotes it
    ACTIVE = "active"
    RETIRING = "retiring"  # a newer one is in use; this one is good all the same, until its dates end
    RETIRED = "retired"


class Use(StrEnum):
    """What certificates are for: the first two a partner's, the others ours."""

    CONNECTION = "connection"  # the TLS client certificate
    MESSAGE = "message"  # verifies the signatures of messages
    DECRYPTION = "decryption"
    SIGNING = "signing"  # of MDNs
    SERVER = "server"
    CLIENT = "client"  # where we bring an asynchronous MDN

    def mark(self, owner: str, certificate: Certificate) -> str:
        """What the journal says for "this one is promoted": it tells nothing to who has not the certificate."""
        return sha256("\n".join((self, owner, certificate.sha256)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Used:
    """A certificate that was used with success, by its SHA-256: for what, and whose it is."""

    use: Use
    owner: str
    sha256: str


class Dated(Protocol):
    """What has a certificate and dates: a pair of ours, a registered certificate of a partner's."""

    @property
    def certificate(self) -> Certificate: ...
    @property
    def dates(self) -> Dates: ...


D = TypeVar("D", bound=Dated)


@dataclass(frozen=True, slots=True)
class Registered:
    """A partner's certificate, with the dates that its partner.toml gives it."""

    certificate: Certificate
    dates: Dates = ALWAYS


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one certificate stands; `usable`: whether its dates and its validity let it be used now."""

    certificate: Certificate
    dates: Dates
    state: CertificateState
    usable: bool
    promoted_at: datetime | None = None

    @property
    def ends(self) -> datetime:
        """When it stops being used by itself."""
        return min(self.dates.retire_after or self.certificate.not_after, self.certificate.not_after)


def begins(dated: Dated) -> datetime:
    """When it is meant to be used from; by this one is newer than another."""
    return dated.dates.active_from or dated.certificate.not_before


def is_usable(dated: Dated, now: datetime) -> bool:
    """Whether its dates and its validity let it be used now."""
    return dated.dates.hold(now) and _is_valid(dated.certificate, now)


def standings(use: Use, owner: str, several: Iterable[Dated], promotions: Promotions, now: datetime) -> list[Standing]:
    """Where the certificates of one use stand, the oldest first.

    The newest one that was promoted is active; where none was, the oldest that can be used.
    """
    ordered = sorted(several, key=lambda each: (begins(each), each.certificate.not_after, each.certificate.sha256))
    promoted = [promotions.get(use.mark(owner, each.certificate)) for each in ordered]
    usable = [at for at, each in enumerate(ordered) if is_usable(each, now)]
    active = max((at for at in usable if promoted[at]), default=min(usable, default=-1))
    return [
        Standing(each.certificate, each.dates, _state(each, at, active, now), at in usable, promoted[at])
        for at, each in enumerate(ordered)
    ]


def current(several: Sequence[D], now: datetime) -> D:
    """Which of our pairs is used at `now`: the newest whose dates and validity hold.

    Where there is none, one that is valid, whatever its dates: an expired certificate serves nobody. A single one is
    always it.
    """
    return max(several, key=lambda each: (*_fitness(each, now), begins(each)))


def in_force(several: Iterable[D], now: datetime) -> tuple[D, ...]:
    """Those that are not retired by their dates; all, where none is left."""
    every = tuple(several)
    return tuple(each for each in every if not each.dates.have_ended(now)) or every


def usable_first(several: Iterable[D], now: datetime) -> list[D]:
    """Those whose dates hold; behind them the others, in case their keys are in none of these: for the reason."""
    every = list(several)
    usable = [each for each in every if each.dates.hold(now)]
    keys = {each.certificate.public_key_der for each in usable}
    return usable + [each for each in every if each.certificate.public_key_der not in keys]


def not_in_use(dates: Dates, now: datetime) -> str:
    """Why the dates do not hold; empty where they do."""
    if dates.active_from and not dates.have_begun(now):
        return f"in use from {dates.active_from:%Y-%m-%d}"
    if dates.retire_after and dates.have_ended(now):
        return f"retired on {dates.retire_after:%Y-%m-%d}"
    return ""


def _state(dated: Dated, at: int, active: int, now: datetime) -> CertificateState:
    if dated.dates.have_ended(now) or now > dated.certificate.not_after:
        return CertificateState.RETIRED
    if at == active:
        return CertificateState.ACTIVE
    return CertificateState.RETIRING if at < active and is_usable(dated, now) else CertificateState.PENDING


def _fitness(dated: Dated, now: datetime) -> tuple[bool, bool, bool]:
    valid = _is_valid(dated.certificate, now)
    return valid and dated.dates.hold(now), valid, begins(dated) <= now


def _is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_before <= now <= certificate.not_after
