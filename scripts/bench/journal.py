"""The figures of the journal: durable acceptances beside the bare disk, the list of a long one, the drain of a backlog.

Without TLS and AS2. The bare rate is that of one thread that commits one row of 20 kB at a time, and so syncs each: in
SQLite on the same disk, and for PostgreSQL in that server, too.
"""

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import trio

from mtlsd.journal.model import Acceptance, DeliveryState
from mtlsd.journal.search import Search
from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.postgres import PostgresJournal
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.services.group_commit import Committer
from scripts.bench.figures import Figure, table
from tests.support import postgres
from tests.support.examples import attempt, delivery, message

PARTS = ("accept", "list", "drain")
KINDS = ("sqlite", "postgresql")
AT_ONCE = 32
SHARE = 0.8  # of the bare rate
DOCUMENT = bytes(10_000)
FEW_ROWS = 10_000
GROUP = 1000  # acceptances in one commit, where a journal is only filled
CLAIMED = 16


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of journal: how one is opened in a folder, and what its bare commits are, in so many a second."""

    name: str
    open: Callable[[Path], Journal]
    bare: Callable[[Path, int], float]
    settle: Callable[[], object] = int  # once it is filled


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/journal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all")
    parser.add_argument("--count", type=int, help="acceptances (default: 20000; --quick: 1000)")
    parser.add_argument("--rows", type=int, help="of the long journal (default: 1000000; --quick: 20000)")
    parser.add_argument("--on", choices=KINDS, action="append", help="this kind; PostgreSQL is started for it")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be there more than once")
    options = parser.parse_args()
    figures = [figure for kind in options.on or KINDS for figure in measured_on(kind, options)]
    print(table(figures))
    sys.exit(any(figure.reached is False for figure in figures))


def measured_on(name: str, options: argparse.Namespace) -> Iterator[Figure]:
    if name == "sqlite":
        yield from measured(
            Kind("SQLite", lambda folder: SQLiteJournal(folder / "journal.sqlite"), bare_commits), options
        )
        return
    with postgres.running() as server:
        kind = Kind(
            "PostgreSQL",
            lambda _: PostgresJournal(server.journal()),
            lambda _, count: bare_commits_in_postgresql(server.url(), count),
            partial(server.execute, "ANALYZE"),  # what autovacuum does within a minute
        )
        yield from measured(kind, options)


def measured(kind: Kind, options: argparse.Namespace) -> Iterator[Figure]:
    """All that was asked for, each part on a journal of its own."""
    count = options.count or (1000 if options.quick else 20_000)
    rows = options.rows or (20_000 if options.quick else 1_000_000)
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "accept": lambda: accepting(kind, count),
        "list": lambda: listing(kind, rows),
        "drain": lambda: draining(kind, count),
    }
    for part, figures in parts.items():
        if options.only is None or part in options.only:
            print(f"measuring: {part}, {kind.name}", file=sys.stderr)
            yield from figures()


def acceptance(number: int) -> Acceptance:
    """One message of 10 kB, its original beside it, and its delivery."""
    key = f"{time.time_ns():020}-{number:08}"
    payload, original = f"journal/{key}.payload", f"journal/{key}.as2"
    texts = {"message_id": f"<{key}@bench.example>", "filename": f"order-{number:08}.edi"}
    made = message(number, id=key, payload=payload, original=original, **texts)
    return Acceptance(made, (delivery(made),), {payload: DOCUMENT, original: DOCUMENT})


# --- Accepting --------------------------------------------------------------------------------------------------------


def accepting(kind: Kind, count: int) -> Iterator[Figure]:
    """Acceptances a second, 32 at once, beside commits a second of one thread."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as folder:
        before = kind.bare(Path(folder, "before"), count // 4)
        with closing(kind.open(Path(folder))) as journal:
            rate = trio.run(accept_all, journal, count)
        bare = (before + kind.bare(Path(folder, "after"), count // 4)) / 2
        alone = bare_commits(Path(folder, "sqlite"), count // 4)
        synced = bare_syncs(Path(folder, "synced"), count // 4)
    beside = f"bare commits: {bare:.0f} a second; in SQLite: {alone:.0f}; write and fsync alone: {synced:.0f}"
    to_reach = f"{SHARE:.0%} of the bare commits"
    measured = f"{rate:.0f} a second, {rate / bare:.0%}"
    yield Figure(
        f"{kind.name}: durable acceptances, {AT_ONCE} at once", to_reach, measured, beside, rate >= SHARE * bare
    )


async def accept_all(journal: Journal, count: int) -> float:
    """Acceptances a second, as the connections of the daemon make them."""
    committer, waiting = Committer(journal), iter([acceptance(number) for number in range(count)])

    async def accept() -> None:
        for each in waiting:
            await committer.accept(each)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(accept)
    return count / (time.perf_counter() - began)


def bare_commits(path: Path, count: int) -> float:
    """Commits a second of one row of 20 kB each, with the settings of the journal."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE bare (data BLOB)")
        began = time.perf_counter()
        for _ in range(count):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO bare VALUES (?)", (DOCUMENT * 2,))
            db.execute("COMMIT")
        return count / (time.perf_counter() - began)


def bare_commits_in_postgresql(url: str, count: int) -> float:
    """The same in a server."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DROP TABLE IF EXISTS bare")
        db.execute("CREATE TABLE bare (data BYTEA)")
        began = time.perf_counter()
        for _ in range(count):
            db.execute("INSERT INTO bare VALUES (%s)", (DOCUMENT * 2,))
        return count / (time.perf_counter() - began)


def bare_syncs(path: Path, count: int) -> float:
    """Writes of 20 kB a second, each of them synced."""
    with path.open("wb", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(count):
            file.write(DOCUMENT * 2)
            os.fsync(file.fileno())
        return count / (time.perf_counter() - began)


# --- Listing ----------------------------------------------------------------------------------------------------------


def listing(kind: Kind, rows: int) -> Iterator[Figure]:
    """What `journal list`'s queries take on a long journal, beside a short one; all must be alike."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as folder, closing(kind.open(Path(folder))) as journal:
        fill(journal, FEW_ROWS)
        kind.settle()
        few = list_costs(journal)
        fill(journal, rows - FEW_ROWS)
        kind.settle()
        many = list_costs(journal)
    for query, cost in many.items():
        measured, beside = f"{cost:.2f} ms", f"at {FEW_ROWS} rows: {few[query]:.2f} ms"
        title = f"{kind.name}: journal list, {query}, {rows} rows"
        yield Figure(title, "twice a short one's", measured, beside, cost <= 2 * few[query])


def list_costs(journal: Journal) -> dict[str, float]:
    """Milliseconds of one page: the best of some, for a server's CPU time is not ours to read."""
    queries: dict[str, dict[str, Any]] = {
        "all": {},
        "of a partner": {"partner": "acme"},
        "pending": {"state": DeliveryState.PENDING},
        "failed": {"state": DeliveryState.FAILED},
        "of a file name": {"search": Search(filename="order-00004711*")},
        "of a file name that many begin with": {"search": Search(filename="order-*")},
        "of a text that nothing begins with": {"search": Search("nothing")},
    }
    return {name: milliseconds(lambda: journal.messages(limit=50, **wanted)) for name, wanted in queries.items()}  # noqa: B023


def milliseconds(act: Callable[[], object], rounds: int = 50) -> float:
    def once() -> float:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began

    return min(once() for _ in range(rounds)) * 1000


def fill(journal: Journal, count: int) -> None:
    """More messages, without documents, each with a pending delivery."""
    for first in range(0, count, GROUP):
        made = [acceptance(number) for number in range(first, min(first + GROUP, count))]
        journal.accept([Acceptance(each.message, each.deliveries) for each in made])


# --- Draining ---------------------------------------------------------------------------------------------------------


def draining(kind: Kind, count: int) -> Iterator[Figure]:
    """Deliveries a second from a backlog: the journal's part of each, the claim and the record of the attempt."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as folder, closing(kind.open(Path(folder))) as journal:
        fill(journal, count)
        began, cpu = time.perf_counter(), time.process_time()
        done = sum(1 for _ in drained(journal))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    measured = f"{done / seconds:.0f} a second, {cpu / done * 1000:.2f} ms of CPU each"
    yield Figure(f"{kind.name}: drain of {count} deliveries", "", measured, "claim and record, without a backend")


def drained(journal: Journal) -> Iterator[str]:
    """Claim as the worker does, and record each as delivered."""
    now = 2_000_000_000.0
    while claimed := journal.claim("bench", now, 15.0, CLAIMED):
        for each in claimed:
            journal.record(attempt(each), "bench", state=DeliveryState.DELIVERED, not_before=None, now=now)
            yield each.delivery.id


if __name__ == "__main__":
    main()
