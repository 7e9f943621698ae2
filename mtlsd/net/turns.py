"""Turns: of those who want the same thing, one at a time."""

from collections import defaultdict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio


@dataclass(slots=True)
class _Turn:
    lock: trio.Lock = field(default_factory=trio.Lock)
    wanted: int = 0


class Turns:
    """One at a time for each key, in the order of their coming."""

    def __init__(self) -> None:
        self._turns: defaultdict[Hashable, _Turn] = defaultdict(_Turn)

    @asynccontextmanager
    async def alone(self, key: Hashable) -> AsyncIterator[None]:
        turn = self._turns[key]
        turn.wanted += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[key]
