"""SQLite behind the journal: the default, for one node.

One connection writes, under a lock, in short transactions. Another connection reads, under its own lock, and never
waits for a commit (WAL). With `synchronous=FULL` every commit is on disk before `COMMIT` returns. `PRAGMA user_version`
counts the migrations.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from errno import EACCES
from pathlib import Path
from threading import Lock
from typing import Any

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.files.private import make_directory, open_private
from mtlsd.journal.proof.checkpoints import UNNAMED
from mtlsd.journal.spool import disk_errors
from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.port import Record, Result, Values
from mtlsd.journal.sql.queries import load_migrations, load_queries, newer_version

BUSY_TIMEOUT = 5.0  # seconds that we wait for another process, such as the command line
_OPTIONS: dict[str, Any] = {"timeout": BUSY_TIMEOUT, "isolation_level": None, "check_same_thread": False}
_ROLLED_BACK = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}  # of a COMMIT: nothing was written
_ROW_LOCK = re.compile(r"\s+FOR (NO KEY )?UPDATE( OF \w+)?( SKIP LOCKED)?")  # a writer has locked the whole file
QUERIES = load_queries("sqlite", lambda sql: _ROW_LOCK.sub("", sql))
MIGRATIONS = load_migrations("sqlite")


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Translate SQLite's errors to `SpoolFull` or `JournalUnavailable`; our own bugs stay what they are."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise (SpoolFull if full else JournalUnavailable)(str(error)) from error


def version_of(path: Path) -> int:
    """The version of an existing journal, made by any version of mtlsd; raises JournalUnavailable."""
    with sqlite_errors(), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, **_OPTIONS)) as db:
        return _version(db)


class SQLiteJournal(Journal):
    """A journal in one SQLite file, which is created or migrated if needed.

    With `read_only` it is neither, and its version must be ours; methods that write raise `JournalUnavailable`.
    `node` is the name of the chain for new entries.
    """

    def __init__(self, path: Path, *, read_only: bool = False, node: str = UNNAMED) -> None:
        super().__init__(SQLitePort(path, read_only=read_only), node)


class SQLitePort:
    """`Port` to one file; only one process of this node ever writes new messages to it."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._write_lock = Lock()
        self._read_lock = Lock()
        self._writer, self._reader = _open_to_read(path) if read_only else _open(path)

    @contextmanager
    def read(self) -> Iterator["SQLiteStatements"]:
        with self._read_lock, sqlite_errors():
            yield SQLiteStatements(self._reader)

    @contextmanager
    def read_one_moment(self) -> Iterator["SQLiteStatements"]:
        with self.read() as db:
            self._reader.execute("BEGIN")
            try:
                yield db
            finally:
                self._reader.execute("ROLLBACK")

    def write(self, work: Callable[["SQLiteStatements"], Result]) -> Result:
        with self._write_lock, sqlite_errors(), _transaction(self._writer) as db:
            return work(SQLiteStatements(db))

    def accept(self, work: Callable[["SQLiteStatements"], Result]) -> Result:
        return self.write(work)

    def is_settled(self) -> bool:
        """The next commit overwrites the rest of an unclear commit, or follows it."""
        return True

    def wait_for_earlier_life(self) -> None:
        """Nothing of a process remains after its end."""

    def probe(self) -> None:
        with self._write_lock, sqlite_errors(), _transaction(self._writer) as db:
            db.execute(f"PRAGMA user_version = {_version(db)}")  # the same value: SQLite writes and syncs the page

    def as_kept(self, record: Record) -> Record:
        """SQLite keeps any text unchanged."""
        return record

    def close(self) -> None:
        with self._write_lock, self._read_lock, sqlite_errors():
            self._reader.close()
            self._writer.close()


class SQLiteStatements:
    """`Statements` on a connection; the database is in this process, so there are no round trips to save."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def all(self, query: str, /, **values: object) -> list[sqlite3.Row]:
        return self._db.execute(QUERIES[query], values).fetchall()

    def one(self, query: str, /, **values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(QUERIES[query], values).fetchone()
        return row

    def change(self, query: str, /, **values: object) -> int:
        return self._db.execute(QUERIES[query], values).rowcount

    def each(self, query: str, many: Sequence[Values]) -> None:
        self._db.executemany(QUERIES[query], many)

    def each_changed(self, query: str, many: Sequence[Values]) -> list[bool]:
        return [self._db.execute(QUERIES[query], each).rowcount == 1 for each in many]

    def each_one(self, query: str, many: Sequence[Values]) -> list[sqlite3.Row | None]:
        return [self._db.execute(QUERIES[query], each).fetchone() for each in many]

    def lock_chain(self, node: str) -> None:
        """A writer has locked the whole file."""

    def delete_securely(self) -> None:
        self._db.execute("PRAGMA secure_delete = ON")  # overwrites the octets of deleted rows


# --- The file -----------------------------------------------------------------------------------------------


def _open(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """The connection that writes, and the connection that reads."""
    _create(path)
    with ExitStack() as on_error, sqlite_errors():
        writer = on_error.enter_context(closing(_connect(path)))
        _migrate(writer)
        reader = on_error.enter_context(closing(_connect(path)))
        reader.execute("PRAGMA query_only = ON")
        on_error.pop_all()
    return writer, reader


def _open_to_read(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Open without a trace: if there is no write-ahead log, no process has the file open, and no lock is needed.

    Otherwise SQLite would create files beside it that belong to the caller, and leave them there.
    """
    with disk_errors():
        real = path.resolve(strict=True)
        if not os.access(real, os.R_OK):
            raise PermissionError(EACCES, os.strerror(EACCES), str(real))  # SQLite would not give the reason
    at_rest = not real.with_name(f"{real.name}-wal").exists()
    address = f"{real.as_uri()}?mode=ro{'&immutable=1' if at_rest else ''}"
    with ExitStack() as on_error, sqlite_errors():
        db = sqlite3.connect(address, uri=True, **_OPTIONS)
        on_error.enter_context(closing(db))
        db.row_factory = sqlite3.Row
        _check_version(db)
        on_error.pop_all()
    return db, db


def _check_version(db: sqlite3.Connection) -> None:
    version = _version(db)
    if version > len(MIGRATIONS):
        raise JournalUnavailable(newer_version(version, len(MIGRATIONS)))
    if version < len(MIGRATIONS):
        advice = f"this mtlsd reads version {len(MIGRATIONS)}; `mtlsd run` or `mtlsd journal migrate` upgrades it"
        raise JournalUnavailable(f"the journal has version {version}, of an older mtlsd or none: {advice}")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _create(path: Path) -> None:
    """Create the file with our mode: SQLite gives the same mode to the files beside it."""
    with disk_errors():
        make_directory(path.parent)
        os.close(open_private(path))


def _connect(path: Path) -> sqlite3.Connection:
    db: sqlite3.Connection = sqlite3.connect(path, **_OPTIONS)
    db.row_factory = sqlite3.Row
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        _commit(db)
    except BaseException:
        if db.in_transaction:  # SQLite rolls back by itself after some errors
            with suppress(sqlite3.Error):  # the first error is raised
                db.execute("ROLLBACK")
        raise


def _commit(db: sqlite3.Connection) -> None:
    """Raises CommitUnclear if the commit failed after its record may have been written."""
    try:
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in _ROLLED_BACK:
            raise
        raise CommitUnclear(str(error)) from error


def _migrate(db: sqlite3.Connection) -> None:
    with _transaction(db):
        version = _version(db)
        if version > len(MIGRATIONS):
            raise JournalUnavailable(newer_version(version, len(MIGRATIONS)))
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _statements(script: str) -> Iterator[str]:
    """Split a script, because `executescript` would end our transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
