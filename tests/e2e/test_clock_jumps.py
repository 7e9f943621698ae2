"""A clock that jumps back and forth, by hours and by years: no delivery is lost, repeated or starved."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
import trio
import trio.testing

from mtlsd.journal.model import Acceptance, Delivery, DeliveryState
from mtlsd.net.deliveries.worker import Worker
from mtlsd.net.services.state import State
from tests.net.deliveries.test_worker import daemon as daemon_with
from tests.support.examples import delivery, message

NOW = 1_800_000_000.0
HOUR, YEAR = 3600.0, 365 * 86400.0
each_jump = pytest.mark.parametrize("jump", [-10 * YEAR, -HOUR, -5.0, 5.0, HOUR, 10 * YEAR])
NAME = "journal/0001.payload"
DIGESTS = (("payload", sha256(b"12345").hexdigest()),)


@dataclass
class World:
    """A worker in this process, its clock, and a backend that answers when it is told to."""

    daemon: State
    now: list[float]
    requests: int = 0
    statuses: list[int] = field(default_factory=list)
    answer: trio.Event = field(default_factory=trio.Event)
    target: str = ""

    def accept(self, *, wait: float = 0.0) -> None:
        """A message that is to be delivered in so many seconds."""
        accepted = message(1, payload=NAME, received_at=self.now[0], size=5, digests=DIGESTS)
        promised = delivery(accepted, self.now[0] + wait, targets=(self.target,))
        self.daemon.journal.accept([Acceptance(accepted, (promised,), {NAME: b"12345"})])
        self.daemon.due.set()

    async def jump(self, seconds: float) -> None:
        """Let the worker settle, move the clock, and have the worker look."""
        await self.settle()
        self.now[0] += seconds
        self.daemon.due.set()
        await self.settle()

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked(0.02)

    async def until(self, state: DeliveryState, attempts: int) -> Delivery:
        """Wait for this state; the clock of the deadlines may run, and the wall clock does not."""
        with trio.fail_after(10):
            while True:
                found = self.daemon.journal.deliveries("0001")[0]
                if (found.state, found.attempts) == (state, attempts):
                    return found
                self.daemon.due.set()
                await self.settle()

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            received = b""
            while not received.endswith(b"12345"):
                received += await stream.receive_some()
            self.requests += 1
            await self.answer.wait()
            status = self.statuses.pop(0) if self.statuses else 200
            await stream.send_all(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)


@pytest.fixture
def now() -> list[float]:
    """The wall clock."""
    return [NOW]


@pytest.fixture
def daemon(tmp_path: Path, now: list[float]) -> Iterator[State]:
    """Its journal is closed after the worker has stopped."""
    made = daemon_with(tmp_path, lambda: now[0])
    with closing(made.journal):
        yield made


async def started(daemon: State, now: list[float], nursery: trio.Nursery) -> World:
    made = World(daemon, now)
    listeners = await nursery.start(partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1"))
    made.target = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/inbound"
    nursery.start_soon(Worker(daemon).run)
    await made.settle()
    return made


@pytest.fixture
async def world(daemon: State, now: list[float], nursery: trio.Nursery) -> World:
    return await started(daemon, now, nursery)


@each_jump
async def test_before_the_claim(world: World, jump: float) -> None:
    """It was to be delivered in an hour by the clock of the acceptance."""
    world.answer.set()
    world.accept(wait=HOUR)
    await world.jump(jump)
    if 0 < jump < HOUR:
        await world.jump(HOUR)
    await world.until(DeliveryState.DELIVERED, 1)
    assert world.requests == 1


@each_jump
async def test_during_an_attempt(world: World, jump: float) -> None:
    """Its lease is neither over nor endless: nobody makes it a second time."""
    world.accept()
    await world.until(DeliveryState.CLAIMED, 1)
    for moved in (jump, -jump):
        await world.jump(moved)
        while (await world.until(DeliveryState.CLAIMED, 1)).lease_until != world.now[0] + 15:
            await world.settle()
    world.answer.set()
    await world.until(DeliveryState.DELIVERED, 1)
    assert world.requests == 1


@each_jump
async def test_between_an_attempt_and_the_next(world: World, jump: float) -> None:
    """Ten seconds are the age at which it is given up, and it is not that old, whatever the clock says."""
    world.statuses = [503, 503]
    world.answer.set()
    world.accept()
    await world.until(DeliveryState.PENDING, 1)
    await world.jump(jump)
    await world.until(DeliveryState.PENDING, 2)
    await world.jump(-jump)
    if jump < 0:
        await world.jump(1)
    await world.until(DeliveryState.DELIVERED, 3)
    assert world.requests == 3


@pytest.mark.parametrize("ahead", [5.0, HOUR, 10 * YEAR])
async def test_while_the_daemon_is_down(
    tmp_path: Path, daemon: State, now: list[float], nursery: trio.Nursery, ahead: float
) -> None:
    """At the start nobody knows of a jump, but nothing waits longer than the longest wait between two attempts."""
    before = daemon_with(tmp_path, lambda: NOW + ahead)
    World(before, [NOW + ahead], target="http://127.0.0.1:9/").accept()
    before.journal.close()
    world = await started(daemon, now, nursery)
    await world.jump(1)
    claimed = await world.until(DeliveryState.PENDING, 1)
    assert claimed.last_reason == "upstream_unreachable"
