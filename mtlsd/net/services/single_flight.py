"""Turns: of those who want the same thing one asks, and what came of it is for all who waited meanwhile."""

from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from mtlsd.errors import BackendUnavailable

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Turn(Generic[T]):
    """`result` is what the one before found out; whoever finds none is the one to ask, and to set it."""

    result: T | None = None
    lock: trio.Lock = field(default_factory=trio.Lock)
    wanted: int = 0


class Turns(Generic[T]):
    """One at a time for each key, at most so many with those who wait. One who leaves without a result is followed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turns: dict[Hashable, Turn[T]] = {}

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[Turn[T]]:
        """Wait for the turn; raises BackendUnavailable where too many wait."""
        turn = self._turns.setdefault(key, Turn())
        if turn.wanted >= self._most:
            raise BackendUnavailable(f"{self._most} copies of the message wait for the backend")
        turn.wanted += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.wanted -= 1
            if self._turns.get(key) is turn and (turn.result is not None or not turn.wanted):
                del self._turns[key]  # who comes later asks anew


class Places:
    """How many are under way, by key."""

    def __init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def one(self, key: Hashable, most: int) -> Iterator[None]:
        """Take a place, if there is one; raises BackendUnavailable."""
        if self._taken[key] >= most:
            raise BackendUnavailable(f"{most} messages of this route wait for the backend (max_forwarded_per_route)")
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
