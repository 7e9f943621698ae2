"""A long backlog: the start, a claim and the wait for the next one cost what they cost with a short one."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from mtlsd.journal.model import Acceptance, DeliveryState
from mtlsd.journal.sql.sqlite import QUERIES, SQLiteJournal
from tests.support import backend as backends
from tests.support.daemon import Tree, resident, running
from tests.support.examples import delivery, message

MIB = 1 << 20
DIGESTS = (("payload", sha256(b"12345").hexdigest()),)
GROUP = 1000
QUERIES_OF_THE_WORKER = (
    *("open_lanes", "due_in_lane", "first_in_lane", "next_due_in_lane"),
    *("lease_delivery", "renew_lease", "record_outcome"),
)
BACKLOG = pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])


def fill(path: Path, count: int, target: str = "http://127.0.0.1:9/") -> None:
    """A journal with so many pending deliveries."""
    with closing(SQLiteJournal(path)) as journal:
        for first in range(1, count + 1, GROUP):
            journal.accept(list(acceptances(range(first, min(first + GROUP, count + 1)), target)))


def acceptances(numbers: range, target: str) -> Iterator[Acceptance]:
    for number in numbers:
        name = f"journal/{number:08}.payload"
        made = message(number, id=f"{number:08}", payload=name, size=5, received_at=1000.0, digests=DIGESTS)
        yield Acceptance(made, (delivery(made, targets=(target,)),), {name: b"12345"})


@pytest.mark.parametrize("name", QUERIES_OF_THE_WORKER)
def test_no_query_of_the_worker_sorts_or_reads_the_whole_backlog(tmp_path: Path, name: str) -> None:
    fill(path := tmp_path / "journal.sqlite", 10)
    values = dict.fromkeys(re.findall(r":(\w+)", QUERIES[name]), 1)
    with closing(sqlite3.connect(path)) as db:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {QUERIES[name]}", values)]
    assert plan
    assert not [line for line in plan if "TEMP B-TREE" in line]
    assert not [line for line in plan if line.startswith("SCAN deliveries") and "INDEX" not in line]


@BACKLOG
def test_a_daemon_starts_on_a_long_backlog_with_flat_memory(tmp_path: Path, count: int) -> None:
    used = []
    for size in (0, count):
        tree = Tree(tmp_path / str(size), delivery="give_up_after_seconds = 31536000\nconcurrency = 1")
        tree.state.mkdir()
        fill(tree.state / "journal.sqlite", size)
        with running(tree) as daemon:
            used.append(resident(daemon))
            daemon.kill()
    assert used[1] - used[0] < 32 * MIB


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.long)])
def test_all_of_a_backlog_is_delivered_once(tmp_path: Path, count: int) -> None:
    with backends.running() as backend:
        tree = Tree(tmp_path / "tree", backend.url)
        tree.state.mkdir()
        fill(tree.state / "journal.sqlite", count, backend.url)
        with running(tree) as daemon:
            before = resident(daemon)
            keys = {backend.requests.get(timeout=60).get("Idempotency-Key") for _ in range(count)}
            for _ in range(count):
                assert daemon.wait_for("delivery_finished")["state"] == "delivered"
            assert resident(daemon) - before < 32 * MIB
        with closing(SQLiteJournal(tree.state / "journal.sqlite", read_only=True)) as journal:
            assert journal.counts()[DeliveryState.DELIVERED] == count
    assert len(keys) == backend.count == count
