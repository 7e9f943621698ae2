"""Fair shares of CPU time: the next turn goes to the payer that has used the least.

The rules, and why:

- The payer of a piece of work is the partner if TLS proved one, from whatever address, and otherwise the network of the
  client. Connections have no shares: a client can open as many connections as it likes.
- Payers compete as groups first, then within their group. An attacker gets networks cheaply, so all networks together
  get no more than all partners together. New connections, whose client is not known yet, are a third group.
- Each payer has an account of the seconds that it used (start-time fair queueing). The smallest account is served
  next; equal accounts are served in the order of arrival. A payer that was idle has saved nothing: its account begins
  at the account of the payer that was served last.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush, heapreplace
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K")

MAX_ACCOUNTS = 10_000


class Group(Enum):
    """Payers that compete as one before they compete with each other."""

    OPENING = "opening"  # by network: connections until the header of the first request has been read
    PARTNER = "partner"  # by name, if TLS proved the partner
    NETWORK = "network"  # by network, if TLS proved nobody

    __hash__ = object.__hash__  # Enum's own runs in Python, several times a turn


class Payer(NamedTuple):
    """Whose share a piece of work is."""

    group: Group
    name: str


@dataclass(slots=True)
class _Accounts(Generic[K]):
    """The seconds that each key used."""

    level: float = 0.0  # the account of the key that was served last
    used: dict[K, float] = field(default_factory=dict)

    def of(self, key: K) -> float:
        return max(self.used.get(key, 0.0), self.level)

    def serve(self, key: K) -> None:
        self.level = self.of(key)

    def charge(self, key: K, seconds: float) -> None:
        self.used[key] = self.of(key) + seconds
        if len(self.used) > MAX_ACCOUNTS:
            self._forget()

    def _forget(self) -> None:
        """Drop the accounts that the level has overtaken, or else the smaller half."""
        self.used = {key: used for key, used in self.used.items() if used > self.level}
        if len(self.used) > MAX_ACCOUNTS // 2:
            largest = sorted(self.used.items(), key=itemgetter(1))[-MAX_ACCOUNTS // 2 :]
            self.used = dict(largest)


class FairQueue(Generic[T]):
    """Work that waits for its turn, by payer, and what each payer used."""

    def __init__(self) -> None:
        self._groups = _Accounts[Group]()
        self._accounts = {group: _Accounts[Payer]() for group in Group}
        self._payers: dict[Group, list[tuple[float, int, Payer]]] = {group: [] for group in Group}  # heaps
        self._in_heap: set[Payer] = set()  # also payers whose work was removed meanwhile
        self._work: dict[Payer, deque[T]] = {}
        self._arrivals = 0

    def __bool__(self) -> bool:
        return bool(self._work)

    def add(self, payer: Payer, work: T) -> None:
        """Let the work wait for its payer's turn."""
        if payer in self._work:
            self._work[payer].append(work)
            return
        self._work[payer] = deque([work])
        self._wait(payer)

    def remove(self, payer: Payer, work: T) -> None:
        """Forget work that waits; raises ValueError or KeyError if it does not wait."""
        self._work[payer].remove(work)
        if not self._work[payer]:
            del self._work[payer]

    def next(self) -> T | None:
        """The work to do next, which no longer waits; None if none waits."""
        while busy := [group for group in Group if self._payers[group]]:
            payer = self._first(min(busy, key=self._groups.of))
            if payer in self._work:  # otherwise its work was removed
                self.serve(payer)
                return self._take(payer)
        return None

    def serve(self, payer: Payer) -> None:
        """Note that work of this payer begins, without having waited or after `next`."""
        self._groups.serve(payer.group)
        self._accounts[payer.group].serve(payer)

    def charge(self, payer: Payer, seconds: float) -> None:
        """Add what a piece of work used to the accounts of its payer and of the group."""
        self._groups.charge(payer.group, seconds)
        self._accounts[payer.group].charge(payer, seconds)

    def _first(self, group: Group) -> Payer:
        """Take the payer with the smallest account."""
        accounts, heap = self._accounts[group], self._payers[group]
        account, arrival, payer = heap[0]
        while account != accounts.of(payer):  # it was charged, or overtaken by the level, while it waited
            heapreplace(heap, (accounts.of(payer), arrival, payer))
            account, arrival, payer = heap[0]
        heappop(heap)
        self._in_heap.remove(payer)
        return payer

    def _take(self, payer: Payer) -> T:
        waiting = self._work[payer]
        work = waiting.popleft()
        if waiting:
            self._wait(payer)
        else:
            del self._work[payer]
        return work

    def _wait(self, payer: Payer) -> None:
        if payer in self._in_heap:
            return
        self._in_heap.add(payer)
        self._arrivals += 1
        account = self._accounts[payer.group].of(payer)
        heappush(self._payers[payer.group], (account, self._arrivals, payer))
