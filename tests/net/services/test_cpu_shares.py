"""TurnQueue on the event loop and in threads: one after another, by fair shares, and never lost."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
import trio
from trio.testing import Sequencer, wait_all_tasks_blocked

from mtlsd.access.fair_shares import Group, Payer
from mtlsd.net.services.cpu_shares import THREADS, TURN_SECONDS, CPUShares, Share, TurnQueue

ACME, BETA = Payer(Group.PARTNER, "acme"), Payer(Group.PARTNER, "beta")


def costing(seconds: float) -> CPUShares:
    """Shares by whose clock every turn uses so many seconds."""
    times: Iterator[float] = (number * seconds for number in count())
    return CPUShares(lambda: next(times))


async def test_a_turn_costs_no_wait_if_nobody_else_works() -> None:
    shares = costing(TURN_SECONDS / 10)
    with trio.CancelScope() as scope:
        scope.cancel()  # a wait would raise now
        async with shares.turn(ACME):
            pass
    assert not scope.cancelled_caught


async def test_turns_of_one_round_end_once_they_used_their_time(nursery: trio.Nursery) -> None:
    """Tasks that become ready in the same round must not all work, one after another, before a partner may."""
    shares, served = costing(TURN_SECONDS * 2), list[str]()

    async def work(payer: Payer) -> None:
        async with shares.turn(payer):
            served.append(payer.name)

    nursery.start_soon(work, BETA)
    await wait_all_tasks_blocked()
    for _ in range(10):
        nursery.start_soon(work, BETA)
    nursery.start_soon(work, ACME)
    await wait_all_tasks_blocked()
    assert served[:4].count("acme") == 1
    assert sorted(served) == ["acme"] + ["beta"] * 11


class Rounds(trio.abc.Instrument):
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(TURN_SECONDS / 10, 20, 60), (TURN_SECONDS, 200, 400)])
async def test_short_turns_share_a_round_and_long_ones_do_not(
    seconds: float, fewest: int, most: int, nursery: trio.Nursery
) -> None:
    shares, rounds = costing(seconds), Rounds()

    async def work(turns: int) -> None:
        for _ in range(turns):
            async with shares.turn(BETA):
                pass

    nursery.start_soon(work, 100)  # the first turns tell what a turn costs
    await wait_all_tasks_blocked()
    trio.lowlevel.add_instrument(rounds)
    for _ in range(20):
        nursery.start_soon(work, 10)
    await wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(rounds)
    assert fewest <= rounds.count <= most


async def test_a_partner_waits_for_one_turn_of_a_flood(nursery: trio.Nursery) -> None:
    shares, served = costing(TURN_SECONDS * 2), list[str]()

    async def work(payer: Payer, turns: int) -> None:
        for _ in range(turns):
            async with shares.turn(payer):
                served.append(payer.name)

    for _ in range(50):
        nursery.start_soon(work, BETA, 20)
    nursery.start_soon(work, ACME, 10)
    await wait_all_tasks_blocked()
    last = max(at for at, name in enumerate(served) if name == "acme")
    assert last <= 60  # among 1,010 turns: the tasks' first ones, then every other one
    assert len(served) == 1010


async def test_who_is_cancelled_while_waiting_holds_nobody_up(nursery: trio.Nursery) -> None:
    turns = TurnQueue(1)
    await turns.begin(ACME)
    with trio.move_on_after(0):
        await turns.begin(BETA)
    order = Sequencer()

    async def wait() -> None:
        async with order(0):
            await turns.begin(BETA)

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    turns.end(ACME, 1.0)
    async with order(1):
        turns.end(BETA, 1.0)
    await turns.begin(ACME)


async def test_an_error_ends_the_turn() -> None:
    shares = costing(TURN_SECONDS * 2)
    for _ in range(3):
        with pytest.raises(ValueError, match="wrong"):
            async with shares.turn(ACME):
                raise ValueError("wrong")
        with pytest.raises(ValueError, match="wrong"):
            await shares.in_thread(ACME, lambda _: int("wrong"))


async def test_so_many_threads_work_and_no_more(nursery: trio.Nursery) -> None:
    shares, go, at_work = CPUShares(), threading.Event(), list[int]()
    started = threading.Semaphore(0)

    def work(_: object) -> None:
        at_work.append(1)
        started.release()
        go.wait(10)

    for _ in range(THREADS + 3):
        nursery.start_soon(shares.in_thread, BETA, work)
    for _ in range(THREADS):
        await trio.to_thread.run_sync(started.acquire)
    await wait_all_tasks_blocked()
    assert len(at_work) == THREADS
    go.set()


async def test_work_in_a_thread_returns_its_result() -> None:
    assert await CPUShares().in_thread(ACME, lambda _: threading.current_thread() is threading.main_thread()) is False


@pytest.mark.parametrize(
    ("address", "network"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::/64"), ("::1", "::/64")]
)
async def test_a_share_is_the_network_s_until_tls_has_proved_a_partner(address: str, network: str) -> None:
    share = Share(CPUShares(), address)
    assert (share.payer, share.is_proven) == (Payer(Group.OPENING, network), False)
    share.belongs_to(None)
    assert (share.payer, share.is_proven) == (Payer(Group.NETWORK, network), False)
    share.belongs_to("acme")
    assert (share.payer, share.is_proven) == (Payer(Group.PARTNER, "acme"), True)


async def test_long_work_in_a_thread_gives_up_its_place_between_its_pieces(nursery: trio.Nursery) -> None:
    shares, order = CPUShares(), list[str]()
    began, go = threading.Semaphore(0), threading.Event()

    def long(pause: Callable[[], None]) -> None:
        began.release()
        go.wait(10)
        order.append("piece")
        until = time.thread_time() + 2 * TURN_SECONDS
        while time.thread_time() < until:
            pass
        pause()
        order.append("rest")

    async def short() -> None:
        await shares.in_thread(ACME, lambda _: order.append("short"))

    for _ in range(THREADS):
        nursery.start_soon(shares.in_thread, BETA, long)
    for _ in range(THREADS):
        await trio.to_thread.run_sync(began.acquire)
    nursery.start_soon(short)
    await wait_all_tasks_blocked()
    go.set()
    while len(order) < 2 * THREADS + 1:
        await trio.lowlevel.checkpoint()
    assert order.index("short") < len(order) - 1  # before the last of the rest
    assert order.count("rest") == THREADS


async def test_a_cancelled_task_ends_its_work_at_the_next_pause_and_its_place_is_free() -> None:
    shares, began = CPUShares(), threading.Event()
    ended = list[str]()

    def endless(pause: Callable[[], None]) -> None:
        began.set()
        try:
            while True:
                pause()
        finally:
            ended.append("ended")

    async def cancel(scope: trio.CancelScope) -> None:
        await trio.to_thread.run_sync(began.wait)
        scope.cancel()

    for _ in range(THREADS + 2):
        began.clear()
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel, scope)
                await shares.in_thread(BETA, endless)
        assert scope.cancelled_caught
    assert len(ended) == THREADS + 2
    assert await shares.in_thread(ACME, lambda _: 1) == 1
