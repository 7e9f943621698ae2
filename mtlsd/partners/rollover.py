"""Roll-over: several certificates for one use, each with its dates and its state. Pure.

Only its dates decide what a certificate may do: nothing before `active_from`, and nothing after `retire_after`. The
promotion, which is the first use of a newer certificate, decides only which certificate is shown as active: the newer
certificate becomes active, and the older certificates become retiring, and are accepted until their dates end. So
nobody is refused if a promotion is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol, TypeVar

from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import ALWAYS, Dates

Promotions = Mapping[str, datetime]  # the time of each promotion, by `Use.mark`


class CertificateState(StrEnum):
    """The state of a certificate among the certificates for the same use."""

    PENDING = "pending"  # not used yet; refused before its `active_from`, and then promoted by its first use
    ACTIVE = "active"
    RETIRING = "retiring"  # a newer certificate is in use; this one is accepted until its dates end
    RETIRED = "retired"


class Use(StrEnum):
    """The uses of certificates: the first two of a partner's certificates, the others of ours."""

    CONNECTION = "connection"  # the TLS client certificate
    MESSAGE = "message"  # verifies the signatures of messages
    DECRYPTION = "decryption"
    SIGNING = "signing"  # of MDNs
    SERVER = "server"
    CLIENT = "client"  # for sending an asynchronous MDN

    def mark(self, owner: str, certificate: Certificate) -> str:
        """The name of a promotion in the journal; it reveals nothing to anyone without the certificate."""
        return sha256("\n".join((self, owner, certificate.sha256)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Used:
    """A successful use of a certificate, which is named by its SHA-256."""

    use: Use
    owner: str
    sha256: str


class Dated(Protocol):
    """A certificate with dates: one of our key pairs, or a registered certificate of a partner."""

    @property
    def certificate(self) -> Certificate: ...
    @property
    def dates(self) -> Dates: ...


D = TypeVar("D", bound=Dated)


@dataclass(frozen=True, slots=True)
class Registered:
    """A partner's certificate, with its dates in partner.toml."""

    certificate: Certificate
    dates: Dates = ALWAYS


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one certificate; `usable` is whether its dates and its validity allow its use now."""

    certificate: Certificate
    dates: Dates
    state: CertificateState
    usable: bool

    @property
    def ends(self) -> datetime:
        """The time from which the certificate is no longer used."""
        return min(self.dates.retire_after or self.certificate.not_after, self.certificate.not_after)


def begins(dated: Dated) -> datetime:
    """The time of the intended first use; a certificate with a later time is newer."""
    return dated.dates.active_from or dated.certificate.not_before


def is_usable(dated: Dated, now: datetime) -> bool:
    """Whether dates and validity allow the use now."""
    return dated.dates.hold(now) and _is_valid(dated.certificate, now)


def standings(use: Use, owner: str, several: Iterable[Dated], promotions: Promotions, now: datetime) -> list[Standing]:
    """The states of the certificates for one use, the oldest first.

    The newest promoted certificate is active; if none was promoted, the oldest usable certificate is active.
    """
    ordered = sorted(several, key=lambda each: (begins(each), each.certificate.not_after, each.certificate.sha256))
    promoted = [promotions.get(use.mark(owner, each.certificate)) for each in ordered]
    usable = [at for at, each in enumerate(ordered) if is_usable(each, now)]
    active = max((at for at in usable if promoted[at]), default=min(usable, default=-1))
    return [
        Standing(each.certificate, each.dates, _state(each, at, active, now), at in usable)
        for at, each in enumerate(ordered)
    ]


def current(several: Sequence[D], now: datetime) -> D:
    """The pair of ours to use at `now`: the newest pair whose dates and validity hold.

    If there is none, a valid pair is used, whatever its dates, because an expired certificate is useless. If there is
    only one pair, it is always used.
    """
    return max(several, key=lambda each: (*_fitness(each, now), begins(each)))


def in_force(several: Iterable[D], now: datetime) -> tuple[D, ...]:
    """The certificates that are not retired by their dates; all certificates if none is left."""
    every = tuple(several)
    return tuple(each for each in every if not each.dates.have_ended(now)) or every


def usable_first(several: Iterable[D], now: datetime) -> list[D]:
    """The certificates whose dates hold, and then certificates with other keys, so that a refusal can name them."""
    every = list(several)
    usable = [each for each in every if each.dates.hold(now)]
    keys = {each.certificate.public_key_der for each in usable}
    return usable + [each for each in every if each.certificate.public_key_der not in keys]


def not_in_use(dates: Dates, now: datetime) -> str:
    """The reason why the dates do not hold; empty if they hold."""
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
