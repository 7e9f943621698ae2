"""Single flight: concurrent callers with the same key share one call and its result."""

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
    """`result` is the result of an earlier caller; a caller that finds None makes the call and sets `result`."""

    result: T | None = None
    lock: trio.Lock = field(default_factory=trio.Lock)
    wanted: int = 0


class Turns(Generic[T]):
    """One caller at a time per key, and at most `most` including those that wait.

    If a caller leaves without a result, the next one that waits takes the turn.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._turns: dict[Hashable, Turn[T]] = {}

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[Turn[T]]:
        """Wait for the turn; raises BackendUnavailable if too many callers wait."""
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
                del self._turns[key]  # later callers ask again


class Places:
    """Counts the messages in progress, by key."""

    def __init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def one(self, key: Hashable, most: int) -> Iterator[None]:
        """Take a place until the block ends; raises BackendUnavailable if no place is free."""
        if self._taken[key] >= most:
            raise BackendUnavailable(f"{most} messages of this route wait for the backend (max_forwarded_per_route)")
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
