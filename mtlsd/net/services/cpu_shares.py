"""The CPU time that connections use for their clients, handed out in turns by fair shares.

Two kinds of turns: on the event loop, one at a time and a few milliseconds each; and in threads, for what may take
longer. Nobody holds a turn while waiting for a socket, a disk or a backend. With nobody else at work a turn costs a few
microseconds.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import trio

from mtlsd.access.fair_shares import FairQueue, Group, Payer
from mtlsd.access.rate_limits import network_of

T = TypeVar("T")

TURN_SECONDS = 0.002  # a longer piece of work on the event loop should be split
THREADS = max(1, (os.cpu_count() or 1) - 1)  # one processor is left for the event loop


class TurnQueue:
    """At most `places` turns at a time; whoever must wait gets the next turn by fair shares."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._queue = FairQueue[trio.lowlevel.Task]()

    async def begin(self, payer: Payer) -> None:
        """Wait for a turn; whoever gets one must call `end`."""
        if self._taken < self._places and not self._queue:
            self._taken += 1
            self._queue.serve(payer)
            return
        task = trio.lowlevel.current_task()
        self._queue.add(payer, task)

        def leave(_: object) -> trio.lowlevel.Abort:
            self._queue.remove(payer, task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    def end(self, payer: Payer, seconds: float) -> None:
        """End a turn that used so much CPU time: the next one begins."""
        self._queue.charge(payer, seconds)
        self._taken -= 1
        self._fill()

    def resize(self, places: int) -> None:
        """Change the number of places; with 0, all must wait."""
        self._places = places
        self._fill()

    def _fill(self) -> None:
        while self._taken < self._places and (task := self._queue.next()) is not None:
            self._taken += 1
            trio.lowlevel.reschedule(task)


class CPUShares:
    """The turns of all connections."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        """`clock` gives the CPU time of the current thread in seconds."""
        self._clock = clock
        self._on_loop = LoopTurns(clock)
        self._in_threads = TurnQueue(THREADS)

    def turn(self, payer: Payer) -> AbstractAsyncContextManager[None]:
        """Work on the event loop inside of the block, without awaiting anything there."""
        return _LoopTurn(self._on_loop, payer)

    async def in_thread(self, payer: Payer, work: Callable[[Callable[[], None]], T]) -> T:
        """Do the work in a thread, and return its result.

        The work gets a function to call between its pieces: it gives up the turn, if the turn has lasted long enough,
        and waits for another one. It raises trio.Cancelled if the task is cancelled.
        """
        turn = _ThreadTurn(self._in_threads, payer, self._clock)
        await turn.begin()
        try:
            return await trio.to_thread.run_sync(turn.run, work)
        finally:
            turn.end()


class LoopTurns:
    """The turns on the event loop: in each of its rounds as many as take about TURN_SECONDS together.

    A round for each turn would cost as much as a short turn does.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._turns = TurnQueue(1)
        self._mean = TURN_SECONDS  # seconds of one turn, of late
        self._since_pause = 0.0  # seconds of turns
        self._is_paused = False

    async def begin(self, payer: Payer) -> None:
        """Wait for a turn; whoever gets one must call `end`."""
        await self._turns.begin(payer)

    async def end(self, payer: Payer, seconds: float) -> None:
        """End a turn that used so much CPU time."""
        self._mean += (seconds - self._mean) / 16
        self._since_pause += seconds
        pauses = self._since_pause > TURN_SECONDS and not self._is_paused
        if pauses:
            self._turns.resize(0)
        self._turns.end(payer, seconds)
        if pauses:
            await self._pause()

    async def _pause(self) -> None:
        """Let the tasks that became ready meanwhile queue, instead of following at once."""
        self._is_paused = True
        try:
            await trio.lowlevel.cancel_shielded_checkpoint()
        finally:
            self._is_paused, self._since_pause = False, 0.0
            self._turns.resize(max(1, int(TURN_SECONDS / self._mean)))


class _LoopTurn:
    """One turn on the event loop."""

    def __init__(self, turns: LoopTurns, payer: Payer) -> None:
        self._turns = turns
        self._payer = payer

    async def __aenter__(self) -> None:
        await self._turns.begin(self._payer)
        self._began = self._turns.clock()

    async def __aexit__(self, *_: object) -> None:
        await self._turns.end(self._payer, self._turns.clock() - self._began)


class _ThreadTurn:
    """The turns of one piece of work, one after another."""

    def __init__(self, turns: TurnQueue, payer: Payer, clock: Callable[[], float]) -> None:
        self._turns = turns
        self._payer = payer
        self._clock = clock
        self._is_on = False
        self._used = 0.0
        self._began = 0.0

    async def begin(self) -> None:
        await self._turns.begin(self._payer)
        self._is_on, self._used = True, 0.0

    def end(self) -> None:
        if self._is_on:
            self._is_on = False
            self._turns.end(self._payer, self._used)

    def run(self, work: Callable[[Callable[[], None]], T]) -> T:
        """In the thread: do the work."""
        self._began = self._clock()
        try:
            return work(self._pause)
        finally:
            self._used = self._clock() - self._began

    def _pause(self) -> None:
        self._used = self._clock() - self._began
        if self._used >= TURN_SECONDS:
            trio.from_thread.run(self._renew)
            self._began = self._clock()

    async def _renew(self) -> None:
        await trio.lowlevel.checkpoint()  # also if nobody else waits: the task may have been cancelled
        self.end()
        await self.begin()


class Share:
    """The share of one connection's client: first of its network, later of the partner that TLS proved, if any."""

    def __init__(self, shares: CPUShares, address: str) -> None:
        self._shares = shares
        self._network = network_of(address)
        self.payer = Payer(Group.OPENING, self._network)
        self._pause: Callable[[], None] | None = None  # of the work in a thread

    def belongs_to(self, partner: str | None) -> None:
        """Note whom TLS proved; None if nobody."""
        self.payer = Payer(Group.PARTNER, partner) if partner else Payer(Group.NETWORK, self._network)

    @property
    def is_proven(self) -> bool:
        """Whether TLS proved a partner."""
        return self.payer.group is Group.PARTNER

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Work on the event loop when the client's turn comes."""
        return self._shares.turn(self.payer)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do the work in a thread when the client's turn comes."""

        def with_pauses(pause: Callable[[], None]) -> T:
            self._pause = pause
            try:
                return work()
            finally:
                self._pause = None

        return await self._shares.in_thread(self.payer, with_pauses)

    def pause(self) -> None:
        """Let others work, if this is in a thread and has lasted long; raises trio.Cancelled."""
        if self._pause is not None:
            self._pause()
