"""The daemon that most of these tests share. Nothing of theirs may reach the backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import backend
from tests.support.backend import Backend
from tests.support.daemon import Daemon, Tree, running


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
