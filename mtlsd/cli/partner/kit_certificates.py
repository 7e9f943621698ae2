"""The current use of each of our AS2 certificates, with its dates, in a kit for a partner. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mtlsd.partners.ours.organization import BACKEND, DECRYPT, SIGN
from mtlsd.partners.rollover import begins, current
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import Dates


@dataclass(frozen=True, slots=True)
class Ours:
    """A certificate of an organization of ours, with its place there and the dates of its pair."""

    stem: str  # of its files in the kit
    place: Path
    certificate: Certificate
    dates: Dates

    @property
    def top(self) -> str:
        return self.place.parts[0]


def encrypt_first(several: Iterable[Ours], now: datetime) -> list[Ours]:
    """The certificates; the one that the partner should encrypt to now is the first."""
    found = list(several)
    chosen = current(_with_use(DECRYPT, found) or found, now)
    return [chosen, *(each for each in found if each is not chosen)]


def uses(one: Ours, several: list[Ours], now: datetime) -> Iterator[str]:
    """What the partner does with this certificate, one line for each use."""
    if one.top == BACKEND:
        yield "may also sign our MDNs"
    for use, words in ((SIGN, "signs our MDNs"), (DECRYPT, "encrypt to this")):
        those = _with_use(use, several)
        if one in those:
            yield f"{words}: {_when(one, current(those, now), now)}"


def _with_use(use: str, several: list[Ours]) -> list[Ours]:
    """The certificates in `sign/` or `decrypt/`; if neither exists, all but the backend's are for both uses."""
    if any(each.top in (SIGN, DECRYPT) for each in several):
        return [each for each in several if each.top == use]
    return [each for each in several if each.top != BACKEND]


def _when(one: Ours, chosen: Ours, now: datetime) -> str:
    if one is chosen:
        end = one.dates.retire_after
        return "now" + (f", until {end:%Y-%m-%d %H:%M} UTC" if end else "")
    if begins(one) > now:
        return f"from {begins(one):%Y-%m-%d %H:%M} UTC, not yet"
    return "no longer" if begins(one) <= begins(chosen) else "not now"
