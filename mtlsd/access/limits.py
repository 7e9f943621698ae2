"""How much: a rate limit by GCRA, the leaky bucket as one number for each key."""

from collections import OrderedDict
from dataclasses import dataclass, field

from mtlsd.errors import TooManyFailures

MAX_KEYS = 10_000  # the longest unused are forgotten first


@dataclass(slots=True)
class FailureLimit:
    """At most `per_hour` failed messages of one key, all at once or spread.

    Each failure is a guess that a peer may make at our keys (RFC 3218), so there is an end to guessing. Whoever is at
    the limit is told nothing: neither of a message that begins nor of one that was under way and failed. The key must
    name whoever proved to be there: a stranger's failures are not charged to the partner it claims to be.
    """

    per_hour: int
    _full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)  # when the bucket would be empty again

    def check(self, key: str, now: float) -> None:
        """Raises TooManyFailures while the key's failures are at the limit."""
        self._after_one_more(key, now)

    def charge(self, key: str, now: float) -> None:
        """Count one failure; raises TooManyFailures, and counts nothing, where they are at the limit."""
        self._full_at[key] = self._after_one_more(key, now)
        self._full_at.move_to_end(key)
        while len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)

    def _after_one_more(self, key: str, now: float) -> float:
        full_at = min(max(self._full_at.get(key, now), now), now + 3600)  # the clock may jump back
        full_at += 3600 / self.per_hour
        if full_at - now > 3600.001:  # floating point is not exact
            raise TooManyFailures(f"{self.per_hour} failed messages an hour are the limit", key=key)
        return full_at
