"""A loss of power, which takes what is not synced: all that an answer stands for is on the disk before the answer.

A kill leaves the system's caches alone, so the order of the steps is looked at. What happens within a COMMIT is
SQLite's: with `synchronous = FULL` it syncs its log, and the directory where it made that.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support.daemon import Daemon, Tree
from tests.support.forked import starting
from tests.support.partner import disposition, layered, message, send
from tests.support.steps import Plan, Step, read

ACCEPTED = "INSERT INTO messages"


@pytest.fixture(scope="module", params=["accepted", "delivered"])
def steps(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Step]:
    """All that a daemon does in a state directory that it has to make, up to a delivery of two large files."""
    with backends.running() as backend:
        tree = Tree(tmp_path_factory.mktemp("power"), backend.url, route=f'mdn = "{request.param}"')
        daemon = Daemon(tree, start=starting(Plan(from_start=True)))
        daemon.wait_for("started")
        sent = message("<power@acme.example>", layered("sE", bytes(200_000)))
        assert disposition(send(daemon, sent), sent) == "processed"
        daemon.kill()
        return read(tree.root / "steps")


def commit_of_the_message(steps: list[Step]) -> int:
    """The place of the COMMIT that accepts it."""
    inserted = next(at for at, step in enumerate(steps) if step.what.startswith(ACCEPTED))
    return next(at for at in range(inserted, len(steps)) if steps[at].what == "COMMIT")


def changed(steps: list[Step]) -> Iterator[tuple[str, Path]]:
    """What each step leaves to be synced, or syncs: a file's content, or the names in a directory."""
    for step in steps:
        match step.kind:
            case "create" | "write" | "fsync":
                yield step.kind, Path(step.what)
            case "rename" | "replace":
                yield "rename", Path(step.what)
                yield "name", Path(step.to).parent
            case "mkdir":
                yield "name", Path(step.what).parent


def test_a_file_is_synced_before_it_has_its_name(steps: list[Step]) -> None:
    unsynced: set[Path] = set()
    renamed = 0
    for kind, path in changed(steps):
        if kind in ("create", "write"):
            unsynced.add(path)
        elif kind == "fsync":
            unsynced.discard(path)
        elif kind == "rename":
            assert path not in unsynced
            renamed += "/spool/" in str(path)
    assert renamed == 3  # the message, its document, and what was signed


def test_every_name_is_synced_before_the_commit_that_speaks_of_it(steps: list[Step]) -> None:
    unsynced: set[Path] = set()
    for kind, path in changed(steps[: commit_of_the_message(steps)]):
        if kind == "name":
            unsynced.add(path)
        elif kind == "fsync":
            unsynced.discard(path)
    assert not unsynced


def test_a_commit_is_synced(steps: list[Step]) -> None:
    connections = [step.what for step in steps if step.what.startswith("PRAGMA ")]
    assert connections.count("PRAGMA synchronous = FULL") == connections.count("PRAGMA journal_mode = WAL") == 2


def test_the_answer_comes_after_the_commit(steps: list[Step]) -> None:
    commit = commit_of_the_message(steps)
    sends = [(at, step.to) for at, step in enumerate(steps) if step.kind == "send"]
    partner = sends[0][1]  # the handshake
    spooled = [at for at, step in enumerate(steps) if step.kind == "create" and "/spool/tmp/" in step.what]
    received = next(at for at in spooled if at > sends[0][0])  # the daemon tries the spool before
    assert not [at for at, peer in sends if peer == partner and received < at < commit]
    assert [at for at, peer in sends if peer == partner and commit < at]
