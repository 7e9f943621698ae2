"""A daemon and a backend that these tests share: each message has an id of its own."""

from collections.abc import Iterator

import pytest

from tests.support import backend as backends
from tests.support import postgres
from tests.support.backend import Backend
from tests.support.daemon import Daemon, Tree, running
from tests.support.postgres import Server


@pytest.fixture(scope="session")
def backend() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Daemon]:
    tree = Tree(tmp_path_factory.mktemp("daemon"), backend.url, limits="max_failures_per_hour = 100_000")
    with running(tree) as running_daemon:
        yield running_daemon


@pytest.fixture(scope="session")
def durable_postgres() -> Iterator[Server]:
    """A PostgreSQL server that brings every commit to the disk."""
    with postgres.running() as server:
        yield server
