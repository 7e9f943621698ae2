"""What tests in several directories share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import postgres as postgres_server
from tests.support.postgres import Server

settings.register_profile("mtlsd", deadline=None)  # a slow machine is no failure
settings.load_profile("mtlsd")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for whoever asks first; without fsync, for nobody pulls its plug."""
    with postgres_server.running(fsync=False) as server:
        yield server
