"""Jumps of the wall clock, seen against a clock that never jumps.

Deliveries are scheduled by the wall clock, because they outlive the process. If it jumps back, pending deliveries would
wait longer; if it jumps forward, our leases would look expired, and deliveries older than they are.
"""

TOLERANCE = 1.0  # seconds: a smaller difference is drift, or the time between reading both clocks


class Jumps:
    """The jumps of the wall clock since the first look. All times are in seconds."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._forth: list[tuple[float, float]] = []  # time before the jump, and distance; not yet taken back

    def look(self, wall: float, steady: float) -> float:
        """How far the wall clock jumped since the last look; 0 if it did not."""
        before, self._offset = self._offset, wall - steady
        jump = 0.0 if before is None else self._offset - before
        if abs(jump) <= TOLERANCE:
            return 0.0
        if jump > 0:
            self._forth.append((wall - jump, jump))
        else:
            self._take_back(-jump)
        return jump

    def age(self, created_at: float, now: float) -> float:
        """The age of something, without the time that the clock skipped."""
        return now - created_at - sum(jump for at, jump in self._forth if created_at <= at)

    def _take_back(self, seconds: float) -> None:
        while seconds > 0 and self._forth:
            at, jump = self._forth.pop()
            if jump > seconds:
                self._forth.append((at, jump - seconds))
            seconds -= jump
