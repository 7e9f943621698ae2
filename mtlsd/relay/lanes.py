"""Limits the deliveries that each lane may have under way: its share, or less while its backends fail."""

from collections import Counter

from mtlsd.journal.model import Lane
from mtlsd.relay.upstreams import Upstreams


class Lanes:
    """Counts the deliveries under way, and remembers the circuits that each lane uses."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._under_way: Counter[Lane] = Counter()
        self._circuits: dict[Lane, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return self._under_way.total()

    def begin(self, lane: Lane, circuits: tuple[str, ...]) -> None:
        """Count a delivery of this lane as under way."""
        self._under_way[lane] += 1
        self._circuits[lane] = circuits

    def end(self, lane: Lane) -> None:
        """Count a delivery of this lane as ended."""
        self._under_way[lane] -= 1
        if not self._under_way[lane]:
            del self._under_way[lane]

    def room(self, share: int, now: float) -> dict[Lane, int]:
        """The number of further deliveries for each known lane; a lane that is not listed has its whole share."""
        most = {lane: self._upstreams.room(circuits, share, now) for lane, circuits in self._circuits.items()}
        return {
            lane: max(room - self._under_way[lane], 0)
            for lane, room in most.items()
            if room < share or self._under_way[lane]
        }

    def look_again_at(self, now: float) -> float | None:
        """The time at which a paused lane may be tried again; None if none is paused."""
        waits = (self._upstreams.opens_at(circuits, now) for circuits in self._circuits.values())
        return min((wait for wait in waits if wait is not None), default=None)
