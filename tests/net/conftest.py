"""The daemon that most of these tests share. Nothing of theirs may reach the backend."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.support import backend
from tests.support.backend import Backend
from tests.support.daemon import Daemon, Tree, running
from tests.support.inprocess import World, in_process


@pytest.fixture(scope="session")
def untouched() -> Iterator[Backend]:
    """A backend that must never be called."""
    with backend.running() as listening:
        yield listening
        assert listening.count == 0


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, untouched: Backend) -> Iterator[Daemon]:
    """Three hosts on one address; ACME and GLOBEX are known."""
    with running(Tree(tmp_path_factory.mktemp("daemon"), untouched.url)) as running_daemon:
        yield running_daemon


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for daemons in this process, one after another: to make a spool takes many system calls."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
async def world(shared: Path) -> AsyncIterator[World]:
    """A daemon in this process; its test has to ask for `mock_clock`, too."""
    async with in_process(Tree(shared)) as made:
        yield made


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> MockClock:
    """Time jumps only after a moment in which nothing happened: octets may be on their way from socket to socket."""
    autojump_clock.autojump_threshold = 0.05
    return autojump_clock
