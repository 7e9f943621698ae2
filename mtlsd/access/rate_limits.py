"""Rate limits by GCRA: a leaky bucket as one number per key."""

from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from threading import Lock

from mtlsd.errors import TooManyFailures, TooManyRequests

MAX_KEYS = 10_000  # the least recently used are forgotten first


@dataclass(slots=True)
class FailureLimit:
    """At most `per_hour` failed messages per key, in a burst or spread out.

    Each failure could be a guess at our keys (RFC 3218), so the number of guesses is limited. A peer at the limit
    learns nothing more, neither about a new message nor about a failed one that was under way. The key must be a proved
    identity: a stranger's failures must not be charged to the partner that the stranger claims to be.
    """

    per_hour: int
    _full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)  # theoretical arrival times
    _lock: Lock = field(default_factory=Lock)  # messages are verified in threads

    def check(self, key: str, now: float) -> None:
        """Raises TooManyFailures while the key's failures are at the limit."""
        self._after_one_more(key, now)

    def charge(self, key: str, now: float) -> None:
        """Count one failure; raises TooManyFailures, and counts nothing, at the limit."""
        with self._lock:
            _remember(self._full_at, key, self._after_one_more(key, now))

    def give_back(self, key: str) -> None:
        """Undo one `charge`: the message did not fail."""
        with self._lock:
            if key in self._full_at:
                self._full_at[key] -= 3600 / self.per_hour

    def _after_one_more(self, key: str, now: float) -> float:
        full_at = _one_more(self._full_at.get(key, now), now, self.per_hour, 3600)
        if full_at is None:
            raise TooManyFailures(f"{self.per_hour} failed messages an hour are the limit", key=key)
        return full_at


@dataclass(slots=True)
class RequestLimit:
    """At most `per_minute` requests per key, in a burst or spread out."""

    per_minute: int
    _full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def take(self, key: str, now: float) -> None:
        """Count one request; raises TooManyRequests, and counts nothing, at the limit."""
        full_at = _one_more(self._full_at.get(key, now), now, self.per_minute, 60)
        if full_at is None:
            raise TooManyRequests(f"{self.per_minute} requests a minute are the limit", key=key)
        _remember(self._full_at, key, full_at)


def network_of(address: str) -> str:
    """The IPv4 address, or the /64 of an IPv6 address, because one client usually has a whole /64."""
    parsed = ip_address(address)
    return address if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))


def _one_more(full_at: float, now: float, most: int, seconds: float) -> float | None:
    """GCRA: the new theoretical arrival time, or None if the request exceeds the limit."""
    full_at = min(max(full_at, now), now + seconds)  # the clock may jump back
    full_at += seconds / most
    return full_at if full_at - now <= seconds + 0.001 else None  # floating point is not exact


def _remember(times: OrderedDict[str, float], key: str, full_at: float) -> None:
    times[key] = full_at
    times.move_to_end(key)
    while len(times) > MAX_KEYS:
        times.popitem(last=False)
