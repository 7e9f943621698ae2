"""A cache that partners share: bounded in entries and in octets, and no partner can take the places of all others.

A partner with a CA of its own can make as many certificates as it likes. It evicts its own entries first.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_ENTRIES = 4096
MAX_OCTETS = 16 * 1024 * 1024
MAX_ENTRIES_OF_ONE = 256
MAX_OCTETS_OF_ONE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    owner: str  # the name of a partner
    octets: int


class SharedCache(Generic[K, V]):
    """Evicts the entry that was used least recently: of the same partner if it has too many, otherwise of all."""

    def __init__(
        self,
        max_entries: int = MAX_ENTRIES,
        max_octets: int = MAX_OCTETS,
        max_entries_of_one: int = MAX_ENTRIES_OF_ONE,
        max_octets_of_one: int = MAX_OCTETS_OF_ONE,
    ) -> None:
        self._max_entries = max_entries
        self._max_octets = max_octets
        self._max_entries_of_one = max_entries_of_one
        self._max_octets_of_one = max_octets_of_one
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._keys: dict[str, OrderedDict[K, None]] = {}  # by owner
        self._octets: Counter[str] = Counter()  # by owner
        self.octets = 0  # in all

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, which is now the last one to be evicted."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        self._keys[entry.owner].move_to_end(key)
        return entry.value

    def keep(self, key: K, value: V, owner: str, octets: int) -> None:
        """Keep a value of `octets` for this partner."""
        self.remove(key)
        self._entries[key] = _Entry(value, owner, octets)
        own = self._keys.setdefault(owner, OrderedDict())
        own[key] = None
        self.octets += octets
        self._octets[owner] += octets
        while len(own) > self._max_entries_of_one or self._octets[owner] > self._max_octets_of_one:
            self.remove(next(iter(own)))
        while len(self._entries) > self._max_entries or self.octets > self._max_octets:
            self.remove(next(iter(self._entries)))

    def remove(self, key: K) -> None:
        """Remove the entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.octets -= entry.octets
        self._octets[entry.owner] -= entry.octets
        del self._keys[entry.owner][key]
        if not self._keys[entry.owner]:
            del self._keys[entry.owner], self._octets[entry.owner]
