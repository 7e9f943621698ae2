"""One daemon, with its backend, for the tests that send to it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import backend
from tests.support.daemon import Tree, acme, keys, running
from tests.support.site import Site, issued


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder below what everybody may search, which `tmp_path` is not; so is what is made in it."""
    before = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            yield Path(name)
    finally:
        os.umask(before)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon with its backend, for as long as the tests of this folder run."""
    folder = tmp_path_factory.mktemp("partner")
    issued(keys("ACME")).write(folder, "as2.pem", "as2.key")
    issued(keys("OTHER")).write(folder, "other.pem", "other.key")
    issued(keys("EXAMPLE")).write(folder, "example.pem", "example.key")
    acme().write(folder, "tls.pem", "tls.key")
    (folder / "order.edi").write_bytes(b"UNB+UNOA:1+ACME+EXAMPLE'\r\n")
    with backend.running() as receiver:
        tree = Tree(tmp_path_factory.mktemp("site"), backend=receiver.url)
        with running(tree) as daemon:
            yield Site(tree, daemon, receiver, folder)
