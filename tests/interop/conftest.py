"""A gateway that the cells of the matrix share: each message has an id of its own."""

from collections.abc import Iterator

import pytest

from tests.interop.gateway import Gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = Gateway(tmp_path_factory.mktemp("interop"))
    yield made
    made.close()
