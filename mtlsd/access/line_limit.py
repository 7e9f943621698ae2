"""Limits the lines of the log about clients that proved no identity: anyone can cause such a line."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mtlsd.access.rate_limits import network_of

SECONDS = 60
MAX_NETWORKS = 1000  # in one minute; all others share one more
OTHERS = "other addresses"


@dataclass(slots=True)
class _Minute:
    began: float
    lines: int = 0
    left_out: int = 0


@dataclass(slots=True)
class LineLimit:
    """At most `per_minute` lines for each IPv4 address and each /64 of IPv6, and a count of those left out."""

    per_minute: int
    _minutes: dict[str, _Minute] = field(default_factory=dict)

    def take(self, address: str, now: float) -> bool:
        """Whether one more line may be written about this address; if not, it is counted."""
        minute = self._minute(network_of(address), now)
        if now - minute.began >= SECONDS:
            minute.began, minute.lines = now, 0
        if minute.lines < self.per_minute:
            minute.lines += 1
            return True
        minute.left_out += 1
        return False

    def left_out(self, now: float) -> Iterator[tuple[str, int]]:
        """Each address with the number of lines left out since the last call, which is to be a minute ago."""
        for network, minute in list(self._minutes.items()):
            if minute.left_out:
                yield network, minute.left_out
                minute.left_out = 0
            if now - minute.began >= SECONDS:
                del self._minutes[network]

    def _minute(self, network: str, now: float) -> _Minute:
        if network not in self._minutes and len(self._minutes) >= MAX_NETWORKS:
            network = OTHERS
        return self._minutes.setdefault(network, _Minute(now))
