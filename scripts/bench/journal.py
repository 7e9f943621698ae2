"""The figures of the journal: durable acceptances beside the bare disk, the list of a long one, the drain of a backlog.

Without TLS and AS2. The bare rate is that of one thread that commits one small row at a time, and so syncs each.
"""

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from mtlsd import journal as journals
from mtlsd.journal import Acceptance, DeliveryState, Journal, SQLiteJournal
from mtlsd.net.committer import Committer
from scripts.bench.figures import Figure, table
from tests.journal.examples import attempt, delivery, message

PARTS = ("accept", "list", "drain")
AT_ONCE = 32
SHARE = 0.8  # of the bare rate
DOCUMENT = bytes(10_000)
FEW_ROWS = 10_000
GROUP = 1000  # acceptances in one commit, where a journal is only filled
CLAIMED = 16

Open = Callable[[Path], Journal]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/journal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all")
    parser.add_argument("--count", type=int, help="acceptances (default: 20000; --quick: 1000)")
    parser.add_argument("--rows", type=int, help="of the long journal (default: 1000000; --quick: 20000)")
    parser.add_argument("--postgres", metavar="URL", help="measure PostgreSQL there, too; its tables must be empty")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be there more than once")
    options = parser.parse_args()
    figures = list(measured(options))
    print(table(figures))
    sys.exit(any(figure.reached is False for figure in figures))


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    """All that was asked for, on each kind of journal."""
    count = options.count or (1000 if options.quick else 20_000)
    rows = options.rows or (20_000 if options.quick else 1_000_000)
    parts: dict[str, Callable[[str, Open], Iterator[Figure]]] = {
        "accept": lambda name, open_it: accepting(name, open_it, count),
        "list": lambda name, open_it: listing(name, open_it, rows),
        "drain": lambda name, open_it: draining(name, open_it, count),
    }
    for name, open_it in kinds(options.postgres).items():
        for part, figures in parts.items():
            if options.only is None or part in options.only:
                print(f"measuring: {part}, {name}", file=sys.stderr)
                yield from figures(name, open_it)


def kinds(postgres: str | None) -> dict[str, Open]:
    """How to open each journal in a folder of its own."""
    opened: dict[str, Open] = {"SQLite": lambda folder: SQLiteJournal(folder / "journal.sqlite")}
    if postgres:
        made: Any = getattr(journals, "PostgresJournal", None)
        if made is None:
            sys.exit("this mtlsd has no journal in PostgreSQL")
        opened["PostgreSQL"] = lambda _: made(postgres)
    return opened


def acceptance(number: int) -> Acceptance:
    """One message of 10 kB, its original beside it, and its delivery."""
    key = f"{time.time_ns():020}-{number:08}"
    payload, original = f"journal/{key}.payload", f"journal/{key}.as2"
    made = message(number, id=key, message_id=f"<{key}@bench.example>", payload=payload, original=original)
    return Acceptance(made, (delivery(made),), {payload: DOCUMENT, original: DOCUMENT})


# --- Accepting --------------------------------------------------------------------------------------------------------


def accepting(name: str, open_it: Open, count: int) -> Iterator[Figure]:
    """Acceptances a second, 32 at once, beside commits a second of one thread."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as folder:
        before = bare_commits(Path(folder, "before"), count // 4)
        with closing(open_it(Path(folder))) as journal:
            rate = trio.run(accept_all, journal, count)
        bare = (before + bare_commits(Path(folder, "after"), count // 4)) / 2
        synced = bare_syncs(Path(folder, "synced"), count // 4)
    beside = f"bare commits: {bare:.0f} a second; write and fsync alone: {synced:.0f}"
    to_reach = f"{SHARE:.0%} of the bare commits"
    measured = f"{rate:.0f} a second, {rate / bare:.0%}"
    yield Figure(f"{name}: durable acceptances, {AT_ONCE} at once", to_reach, measured, beside, rate >= SHARE * bare)


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


def bare_syncs(path: Path, count: int) -> float:
    """Writes of 20 kB a second, each of them synced."""
    with path.open("wb", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(count):
            file.write(DOCUMENT * 2)
            os.fsync(file.fileno())
        return count / (time.perf_counter() - began)


# --- Listing ----------------------------------------------------------------------------------------------------------


def listing(name: str, open_it: Open, rows: int) -> Iterator[Figure]:
    """CPU time of `journal list`'s queries on a long journal, beside a short one; all must be alike."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as folder, closing(open_it(Path(folder))) as journal:
        fill(journal, FEW_ROWS)
        few = list_costs(journal)
        fill(journal, rows - FEW_ROWS)
        many = list_costs(journal)
    for query, cost in many.items():
        measured, beside = f"{cost:.2f} ms", f"at {FEW_ROWS} rows: {few[query]:.2f} ms"
        title = f"{name}: journal list, {query}, {rows} rows"
        yield Figure(title, "twice a short one's", measured, beside, cost <= 2 * few[query])


def list_costs(journal: Journal) -> dict[str, float]:
    """CPU milliseconds of one page; PostgreSQL's own are not counted."""
    queries: dict[str, dict[str, Any]] = {
        "all": {},
        "of a partner": {"partner": "acme"},
        "pending": {"state": DeliveryState.PENDING},
        "failed": {"state": DeliveryState.FAILED},
    }
    return {name: milliseconds(lambda: journal.messages(limit=50, **wanted)) for name, wanted in queries.items()}  # noqa: B023


def milliseconds(act: Callable[[], object], rounds: int = 50) -> float:
    began = time.process_time()
    for _ in range(rounds):
        act()
    return (time.process_time() - began) / rounds * 1000


def fill(journal: Journal, count: int) -> None:
    """More messages, without documents, each with a pending delivery."""
    for first in range(0, count, GROUP):
        made = [acceptance(number) for number in range(first, min(first + GROUP, count))]
        journal.accept([Acceptance(each.message, each.deliveries) for each in made])


# --- Draining ---------------------------------------------------------------------------------------------------------


def draining(name: str, open_it: Open, count: int) -> Iterator[Figure]:
    """Deliveries a second from a backlog: the journal's part of each, the claim and the record of the attempt."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as folder, closing(open_it(Path(folder))) as journal:
        fill(journal, count)
        began, cpu = time.perf_counter(), time.process_time()
        done = sum(1 for _ in drained(journal))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    measured = f"{done / seconds:.0f} a second, {cpu / done * 1000:.2f} ms of CPU each"
    yield Figure(f"{name}: drain of {count} deliveries", "", measured, "claim and record, without a backend")


def drained(journal: Journal) -> Iterator[str]:
    """Claim as the worker does, and record each as delivered."""
    now = 2_000_000_000.0
    while claimed := journal.claim("bench", now, 15.0, CLAIMED):
        for each in claimed:
            journal.record(attempt(each), "bench", state=DeliveryState.DELIVERED, not_before=None, now=now)
            yield each.delivery.id


if __name__ == "__main__":
    main()
