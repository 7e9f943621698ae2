"""PostgreSQL behind the journal, for several nodes that share it. The hard part is its locks; these are the rules.

Every transaction runs at READ COMMITTED: each statement sees what was committed when that statement began. A
transaction that has waited for a lock continues with the row as the other one left it. At a stricter isolation level
it would fail instead and start again, most often when the load is highest. The price is that nothing protects a
decision but the locks that the transaction takes:

1. A unique key decides who is first, not a look beforehand. If two nodes accept the same message at once, they meet
   at the index of its key: `ON CONFLICT DO NOTHING` waits until the first transaction ends. If it committed, the
   second one inserts nothing, and its next statement reads the message that holds the key. If it rolled back, the
   second holds it.
2. Locks are taken in a fixed order, so that transactions cannot wait for each other in a circle: messages in the
   order of their keys, certificates in that of their SHA-256, records to be pruned or forgotten in that of their ids.
   New deliveries and documents have ids that no other node writes, so nobody waits for them.
3. Lock first, then decide. `record`, `requeue` and `drop` lock the delivery before they judge its state. `promise`
   locks the message before it looks for an equal promise. `prune` and `forget` lock the record in the query that
   finds whether it may go. `erase` locks the records, then counts the open deliveries: a new delivery needs a share
   of the lock of its message, for its foreign key, so it is either committed before and counted, or it waits and then
   fails. `promise` takes FOR NO KEY UPDATE, because FOR UPDATE would make other deliveries of the message wait for
   that share.
4. The head of the chain is locked last. Entries are numbered without gaps, so everything that writes entries to one
   chain is serialized from this lock to the commit, and whatever came after it would slow down every other commit.
   Locking the newest entry itself would not work: a transaction that has waited for it would hold what is no longer
   the newest. Therefore the table `heads` has a row for each node, and the newest entry is read after that row is
   locked. Every node has a chain of its own, so nodes never wait for each other here.
5. Due deliveries are claimed with SKIP LOCKED, lane by lane: two nodes take different deliveries, and neither waits.
   In an ordered lane, skipping the first delivery would mean overtaking it. So the first is found without a lock,
   then locked by its id with SKIP LOCKED and judged by its present state; if another node has it, the lane is left
   alone.
6. Each node has an advisory lock. Every `accept` of the node shares it, in the same round trip as BEGIN. If a
   connection is lost during COMMIT, PostgreSQL may still be committing; once the lock is free the transaction has
   ended, and the message either exists or does not. A node that starts waits for this lock before it sweeps the
   spool.

A deadlock remains possible if two transactions update many deliveries at once, as `hasten` does, or if an operator
works on the tables. PostgreSQL then ends one of the two after a second, and `write` repeats it. Every wait has a
limit, which `pool` sets.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields, replace
from functools import partial
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import DictRow

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.proof.checkpoints import UNNAMED
from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.pool import NUL_SHOWN, Connections, Database, connect, postgres_errors, transaction
from mtlsd.journal.sql.port import Record, Result, Values
from mtlsd.journal.sql.queries import load_migrations, load_queries, newer_version

TRIES = 4  # of a transaction that PostgreSQL ends in favour of another one
READ_COMMITTED = "BEGIN ISOLATION LEVEL READ COMMITTED"
ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NAMED = re.compile(r"(?<!:):(\w+)")  # and no cast


def _for_psycopg(sql: str) -> str:
    return _NAMED.sub(r"%(\1)s", sql).replace("?", "%s")


QUERIES = load_queries("postgres", _for_psycopg)
MIGRATIONS = load_migrations("postgres")


class PostgresJournal(Journal):
    """A journal in a PostgreSQL database whose version is ours; `migrate` makes it so.

    `node` is who we are among those who share it, and `chain` the name of our key, whose chain takes the entries.
    """

    def __init__(self, url: str, *, node: str = "", chain: str = UNNAMED, password: str | None = None) -> None:
        super().__init__(PostgresPort(url, node, password), chain)


class PostgresPort:
    """`Port` to a database that nodes share. A connection that is lost is opened again by the next call."""

    def __init__(self, url: str, node: str, password: str | None) -> None:
        self._node_lock = _lock_key(f"node {node}")
        self._connections = Connections(partial(_open, url, password, f"mtlsd {node}".strip()))
        with self.read():  # what is wrong shows at once
            pass

    @contextmanager
    def read(self) -> Iterator["PostgresStatements"]:
        with postgres_errors(), self._connections.one() as db:
            yield PostgresStatements(db)

    @contextmanager
    def read_one_moment(self) -> Iterator["PostgresStatements"]:
        with postgres_errors(), self._connections.one() as db, transaction(db, ONE_MOMENT):
            yield PostgresStatements(db)

    def write(self, work: Callable[["PostgresStatements"], Result], begin: str = READ_COMMITTED) -> Result:
        with postgres_errors():
            for _ in range(TRIES - 1):
                with suppress(errors.DeadlockDetected, errors.SerializationFailure):
                    return self._transact(work, begin)
            return self._transact(work, begin)

    def accept(self, work: Callable[["PostgresStatements"], Result]) -> Result:
        return self.write(work, f"{READ_COMMITTED}; SELECT pg_advisory_xact_lock_shared({self._node_lock})")

    def is_settled(self) -> bool:
        row = self.write(lambda db: db.one("try_node_lock", key=self._node_lock))
        return row is not None and row["free"]

    def wait_for_earlier_life(self) -> None:
        """A process that was killed while PostgreSQL made its commit has a message that nobody would see yet."""

        def work(db: PostgresStatements) -> None:
            db.execute("SET LOCAL lock_timeout = '25s'")
            db.execute(f"SELECT pg_advisory_xact_lock({self._node_lock})")

        self.write(work)

    def probe(self) -> None:
        self.write(lambda db: db.change("probe"))  # the same again: a commit that is written and synced

    def as_kept(self, record: Record) -> Record:
        """PostgreSQL has no NUL in text, and so another character is in its place: see `pool`."""
        texts = ((each.name, getattr(record, each.name)) for each in fields(record))
        odd = {name: text for name, text in texts if isinstance(text, str) and "\0" in text}
        shown: dict[str, Any] = {name: text.replace("\0", NUL_SHOWN) for name, text in odd.items()}
        return replace(record, **shown) if shown else record

    def close(self) -> None:
        self._connections.close()

    def _transact(self, work: Callable[["PostgresStatements"], Result], begin: str) -> Result:
        with self._connections.one() as db, transaction(db, begin):
            return work(PostgresStatements(db))


class PostgresStatements:
    """`Statements` on a connection. Those for many values are pipelined: one round trip, or a few, for all of them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def execute(self, statement: str) -> None:
        """Run a statement that is none of the journal's queries."""
        self._db.execute(statement)

    def all(self, query: str, /, **values: object) -> list[DictRow]:
        planned_anew = False if query.startswith("list_") else None  # by the values: a NULL makes another query of it
        return self._db.execute(QUERIES[query], values, prepare=planned_anew).fetchall()

    def one(self, query: str, /, **values: object) -> DictRow | None:
        return self._db.execute(QUERIES[query], values).fetchone()

    def change(self, query: str, /, **values: object) -> int:
        return self._db.execute(QUERIES[query], values).rowcount

    def each(self, query: str, many: Sequence[Values]) -> None:
        if many:
            with self._db.cursor() as cursor:
                cursor.executemany(QUERIES[query], many)

    def each_changed(self, query: str, many: Sequence[Values]) -> list[bool]:
        return [cursor.rowcount == 1 for cursor in self._results(query, many)]

    def each_one(self, query: str, many: Sequence[Values]) -> list[DictRow | None]:
        return [cursor.fetchone() for cursor in self._results(query, many)]

    def lock_chain(self, node: str) -> None:
        if self.one("lock_chain", node=node) is None:
            self.change("begin_chain", node=node)
            self.one("lock_chain", node=node)  # it may be another process of this node that began it

    def delete_securely(self) -> None:
        """VACUUM frees the space of deleted rows, and PostgreSQL has no way to overwrite them."""

    def _results(self, query: str, many: Sequence[Values]) -> Iterator[psycopg.Cursor[DictRow]]:
        """The cursor, once at the result of each."""
        if not many:
            return
        with self._db.cursor() as cursor:
            cursor.executemany(QUERIES[query], many, returning=True)
            yield cursor
            while cursor.nextset():
                yield cursor


# --- Versions -----------------------------------------------------------------------------------------------


def migrate(url: str, password: str | None = None) -> tuple[int, int]:
    """Bring the database to our version in one transaction; return its version before and after.

    Raises JournalUnavailable, also where the version is newer than ours.
    """
    with postgres_errors(), closing(connect(url, password)) as db, transaction(db):
        db.execute("SELECT pg_advisory_xact_lock(%s)", [_lock_key("migrate")])
        db.execute("SET LOCAL statement_timeout = 0")  # a large table takes its time, and an operator watches
        version = _version(db)
        if version > len(MIGRATIONS):
            raise JournalUnavailable(_other_version(version))
        _check_encoding(db)
        for script in MIGRATIONS[version:]:
            db.execute(script)
        db.execute("DELETE FROM journal_version")
        db.execute("INSERT INTO journal_version VALUES (%s)", [len(MIGRATIONS)])
    return version, len(MIGRATIONS)


def _open(url: str, password: str | None, application_name: str) -> Database:
    db = connect(url, password, application_name)
    try:
        if (version := _version(db)) != len(MIGRATIONS):
            raise JournalUnavailable(_other_version(version))
    except BaseException:
        db.close()
        raise
    return db


def _version(db: Database) -> int:
    """The version of the database; 0 where there is no journal."""
    found = db.execute("SELECT to_regclass('journal_version') AS found").fetchone()
    if found is None or found["found"] is None:
        return 0
    row = db.execute("SELECT max(version) AS version FROM journal_version").fetchone()
    return row["version"] or 0 if row else 0


def _other_version(version: int) -> str:
    if version > len(MIGRATIONS):
        return newer_version(version, len(MIGRATIONS))
    what = f"has version {version}, of an older mtlsd" if version else "has no journal yet"
    return f"the database {what}: run `mtlsd journal migrate`, which makes version {len(MIGRATIONS)}"


def _check_encoding(db: Database) -> None:
    row = db.execute("SHOW server_encoding").fetchone()
    if row is None or row["server_encoding"] != "UTF8":
        raise JournalUnavailable("the database has another encoding than UTF8: make one with ENCODING 'UTF8'")


def _lock_key(name: str) -> int:
    """A key for an advisory lock: 64 bits with a sign."""
    return int.from_bytes(sha256(f"mtlsd journal: {name}".encode()).digest()[:8], "big", signed=True)
