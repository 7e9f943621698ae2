"""A clock that jumps back and forth, by hours and by years: no delivery is lost, repeated or starved."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
import trio
import trio.testing

from mtlsd.journal.model import Acceptance, Delivery, DeliveryState
from mtlsd.net.deliveries.worker import Worker
from mtlsd.net.services.state import Daemon
from tests.journal.examples import delivery, message
from tests.net.test_worker import daemon as daemon_with

NOW = 1_800_000_000.0
HOUR, YEAR = 3600.0, 365 * 86400.0
each_jump = pytest.mark.parametrize("jump", [-10 * YEAR, -HOUR, -5.0, 5.0, HOUR, 10 * YEAR])
NAME = "journal/0001.payload"
DIGESTS = (("payload", sha256(b"12345").hexdigest()),)


@dataclass
class World:
    """A worker in this process, its clock, and a backend that answers when it is told to."""

    daemon: Daemon
    now: list[float]
    requests: int = 0
    statuses: list[int] = field(default_factory=list)
    answer: trio.Event = field(default_factory=trio.Event)
    target: str = ""

    def accept(self, *, wait: float = 0.0) -> None:
        """A message that is to be delivered in so many seconds."""
        accepted = message(1, payload=NAME, received_at=self.now[0], size=5, digests=DIGESTS)
        promised = delivery(accepted, self.now[0] + wait, target=self.target)
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


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    now = [NOW]
    made = World(daemon_with(tmp_path, lambda: now[0]), now)
    async with trio.open_nursery() as nursery:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        made.target = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/inbound"
        nursery.start_soon(trio.serve_listeners, made.serve, [listener])
        nursery.start_soon(Worker(made.daemon).run)
        await made.settle()
        yield made
        nursery.cancel_scope.cancel()
    made.daemon.journal.close()


def play(tmp_path: Path, scenario: Callable[[World], object]) -> None:
    async def main() -> None:
        async with world(tmp_path) as made:
            await scenario(made)  # type: ignore[misc]

    trio.run(main)


@each_jump
def test_before_the_claim(tmp_path: Path, jump: float) -> None:
    """It was to be delivered in an hour by the clock of the acceptance."""

    async def scenario(world: World) -> None:
        world.answer.set()
        world.accept(wait=HOUR)
        await world.jump(jump)
        if 0 < jump < HOUR:
            await world.jump(HOUR)
        await world.until(DeliveryState.DELIVERED, 1)
        assert world.requests == 1

    play(tmp_path, scenario)


@each_jump
def test_during_an_attempt(tmp_path: Path, jump: float) -> None:
    """Its lease is neither over nor endless: nobody makes it a second time."""

    async def scenario(world: World) -> None:
        world.accept()
        await world.until(DeliveryState.CLAIMED, 1)
        for moved in (jump, -jump):
            await world.jump(moved)
            while (await world.until(DeliveryState.CLAIMED, 1)).lease_until != world.now[0] + 15:
                await world.settle()
        world.answer.set()
        await world.until(DeliveryState.DELIVERED, 1)
        assert world.requests == 1

    play(tmp_path, scenario)


@each_jump
def test_between_an_attempt_and_the_next(tmp_path: Path, jump: float) -> None:
    """Ten seconds are the age at which it is given up, and it is not that old, whatever the clock says."""

    async def scenario(world: World) -> None:
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

    play(tmp_path, scenario)


@pytest.mark.parametrize("ahead", [5.0, HOUR, 10 * YEAR])
def test_while_the_daemon_is_down(tmp_path: Path, ahead: float) -> None:
    """At the start nobody knows of a jump, but nothing waits longer than the longest wait between two attempts."""
    before = daemon_with(tmp_path, lambda: NOW + ahead)
    planned = World(before, [NOW + ahead], target="http://127.0.0.1:9/")
    planned.accept()
    before.journal.close()

    async def scenario(world: World) -> None:
        await world.jump(1)
        claimed = await world.until(DeliveryState.PENDING, 1)
        assert claimed.last_reason == "upstream_unreachable"

    play(tmp_path, scenario)
