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
class SharedCall(Generic[T]):
    """`result` is the result of an earlier caller; a caller that finds None makes the call and sets `result`."""

    result: T | None = None
    lock: trio.Lock = field(default_factory=trio.Lock)
    callers: int = 0  # with those that wait


class SharedCalls(Generic[T]):
    """One caller at a time per key, and at most `most` callers, including those that wait.

    If a caller leaves without a result, the next waiting caller makes the call.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: dict[Hashable, SharedCall[T]] = {}

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[SharedCall[T]]:
        """Wait until no other caller has the key; raises BackendUnavailable if too many callers wait."""
        call = self._calls.setdefault(key, SharedCall())
        if call.callers >= self._most:
            raise BackendUnavailable(f"{self._most} copies of the message wait for the backend")
        call.callers += 1
        try:
            async with call.lock:
                yield call
        finally:
            call.callers -= 1
            if self._calls.get(key) is call and (call.result is not None or not call.callers):
                del self._calls[key]  # later callers ask again


class CountLimit:
    """Limits the messages in progress, by key."""

    def __init__(self) -> None:
        self._counts: Counter[Hashable] = Counter()

    @contextmanager
    def one(self, key: Hashable, most: int) -> Iterator[None]:
        """Count one message until the block ends; raises BackendUnavailable if `most` messages are in progress."""
        if self._counts[key] >= most:
            raise BackendUnavailable(f"{most} messages of this route wait for the backend (max_forwarded_per_route)")
        self._counts[key] += 1
        try:
            yield
        finally:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
