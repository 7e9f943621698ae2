"""A connection of the daemon in this process, on a clock that jumps: deadlines pass without anybody waiting."""

import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mtlsd import log
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.server.connection import Connection
from mtlsd.net.services.state import State
from mtlsd.snapshot.snapshot import load_snapshot
from tests.support.client import context
from tests.support.daemon import Tree
from tests.support.pki import Issued

NOW = 1_800_000_000.0  # seconds of the epoch: 2027-01-15
ADDRESS = "192.0.2.1"


@dataclass
class World:
    """What a test acts on. `now` is the wall clock; `jump` moves the clock of the deadlines."""

    daemon: State
    clock: MockClock
    nursery: trio.Nursery
    text: io.StringIO
    now: list[float] = field(default_factory=lambda: [NOW])
    clients: list[trio.SocketStream] = field(default_factory=list)

    async def jump(self, seconds: float) -> None:
        """Let time pass once nobody has anything to do."""
        await wait_all_tasks_blocked(0.01)
        self.clock.jump(seconds)
        await wait_all_tasks_blocked(0.01)

    def connect(self) -> trio.SocketStream:
        """A new connection, without TLS so far."""
        ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
        self.nursery.start_soon(self._serve, ours)
        self.clients.append(theirs)
        return theirs

    async def _serve(self, stream: trio.SocketStream) -> None:
        now = datetime.fromtimestamp(self.daemon.clock(), UTC)
        listener = next(iter(self.daemon.snapshot.listeners.values())).at(now)
        async with stream:
            await Connection(self.daemon, listener, stream, ADDRESS).serve()

    async def secure(self, issued: Issued | None, sni: str = "as2.example.com") -> "Secure":
        stream = trio.SSLStream(self.connect(), context(issued), server_hostname=sni)
        await stream.do_handshake()
        return Secure(stream)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@dataclass
class Secure:
    """The client's end of a connection with TLS."""

    stream: "trio.SSLStream[trio.SocketStream]"

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self) -> bytes:
        """One answer, its header at least; empty at a proper end of the connection."""
        return bytes(await self.stream.receive_some(65536))

    async def request(self, data: bytes) -> bytes:
        await self.send(data)
        return await self.answer()

    async def is_closed(self) -> bool:
        """Whether the daemon said close_notify; hang up, too."""
        ended = await self.answer() == b""
        await trio.aclose_forcefully(self.stream)
        return ended


@asynccontextmanager
async def in_process(tree: Tree) -> AsyncIterator[World]:
    """A daemon without listeners; in the end no connection may be left over."""
    clock, text, now = trio.lowlevel.current_clock(), io.StringIO(), [NOW]
    assert isinstance(clock, MockClock), "the test itself has to ask for `mock_clock`, too"
    snapshot, logger = load_snapshot(tree.configuration, None, time.time()), log.configure(text, console=False)
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        daemon = State(snapshot, journal, Spool(tree.state / "spool"), logger, clock=lambda: now[0])
        async with trio.open_nursery() as nursery:
            world = World(daemon, clock, nursery, text, now)
            try:
                yield world
            finally:
                for client in world.clients:
                    await trio.aclose_forcefully(client)
    assert "internal_error" not in text.getvalue()
