"""Connections to PostgreSQL: opened when needed, kept for the next call, and closed after any error.

This small pool is our own. The pool of psycopg reconnects in its own threads while callers wait, but if PostgreSQL is
down our callers need an error at once, to answer 503. Every wait is limited: ours, the network's and the server's.
"""

import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.string import StrDumperUnknown

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull

Database = psycopg.Connection[DictRow]

POOL_SIZE = 8  # concurrent connections: one accepts, the others claim, renew, record and read
POOL_TIMEOUT = 10.0  # seconds to wait for a free connection
NUL_SHOWN = "\N{SYMBOL FOR NULL}"

# Settings of libpq; those in the URL have precedence. A silent loss of the server is noticed within half a minute.
_NETWORK: Mapping[str, Any] = MappingProxyType(
    {
        "connect_timeout": 5,  # seconds
        "tcp_user_timeout": 20_000,  # milliseconds
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "application_name": "mtlsd",
    }
)
# A host that hangs within a transaction holds its locks no longer than a lease.
# `on` and `remote_apply` wait for the disk, and for a synchronous standby if there is one; other values do not.
_SESSION = """
SET statement_timeout = '30s';
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '10s';
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
"""
_BUGS = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError)
_NOT_BUGS = (  # subclasses of ProgrammingError whose cause is the database or its permissions
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.DuplicateTable,
    errors.InvalidSchemaName,
    errors.InvalidCatalogName,
)


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Translate PostgreSQL's errors to `SpoolFull` or `JournalUnavailable`, except errors that are our bugs."""
    try:
        yield
    except errors.DiskFull as error:
        raise SpoolFull(_words(error)) from error
    except psycopg.Error as error:
        if isinstance(error, _BUGS) and not isinstance(error, _NOT_BUGS):
            raise
        raise JournalUnavailable(_words(error)) from error


def connect(url: str, password: str | None = None, application_name: str = "mtlsd") -> Database:
    """Open a connection with our settings; raises JournalUnavailable."""
    settings: dict[str, Any] = {"client_encoding": "UTF8", "application_name": application_name}
    settings |= {"password": password} if password else {}
    with postgres_errors():
        settings |= {name: value for name, value in _NETWORK.items() if name not in _parsed(url) | settings.keys()}
        db: Database = psycopg.connect(url, autocommit=True, row_factory=dict_row, **settings)
        try:
            db.adapters.register_dumper(str, _NoNul)
            db.execute(_SESSION)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def transaction(db: Database, begin: str = "BEGIN ISOLATION LEVEL READ COMMITTED") -> Iterator[Database]:
    """Commit when the block ends, and roll back if it raises; if even the rollback fails, the connection is closed."""
    db.execute(begin)
    try:
        yield db
        _commit(db)
    except BaseException:
        with suppress(psycopg.Error):  # the first error is raised
            if db.info.transaction_status is not TransactionStatus.IDLE:
                db.execute("ROLLBACK")
        raise


def _commit(db: Database) -> None:
    """Raises CommitUnclear if the connection was lost before PostgreSQL answered."""
    try:
        db.execute("COMMIT")
    except psycopg.Error as error:
        if db.info.transaction_status is TransactionStatus.IDLE:
            raise  # PostgreSQL answered: nothing was written
        raise CommitUnclear(_words(error)) from error


class Connections:
    """A few connections, for any thread; `connect` opens a connection, or raises the error for the caller."""

    def __init__(self, connect: Callable[[], Database], size: int = POOL_SIZE) -> None:
        self._connect = connect
        self._free = BoundedSemaphore(size)
        self._lock = Lock()
        self._idle: list[Database] = []
        self._closed = False

    @contextmanager
    def one(self, timeout: float = POOL_TIMEOUT) -> Iterator[Database]:
        """Lend an idle connection; raises JournalUnavailable if all stay in use."""
        if not self._free.acquire(timeout=timeout):
            raise JournalUnavailable("every connection to PostgreSQL is in use")
        try:
            db = self._idle_one() or self._connect()
            try:
                yield db
            except psycopg.Error:
                db.close()  # after any error: the next connection checks the version again
                raise
            finally:
                self._take_back(db)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the idle connections now, and the others when they are returned."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def _idle_one(self) -> Database | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                db = self._idle.pop()
            if _is_quiet(db):
                return db
            db.close()

    def _take_back(self, db: Database) -> None:
        with self._lock:
            if not self._closed and db.info.transaction_status is TransactionStatus.IDLE:
                self._idle.append(db)
                return
        db.close()


def _is_quiet(db: Database) -> bool:
    """Whether the server has sent nothing since its last answer; it would only send that it closes the connection."""
    if db.closed:
        return False
    poll = select.poll()
    poll.register(db.fileno(), select.POLLIN)
    return not poll.poll(0)


class _NoNul(StrDumperUnknown):
    """Replaces NUL, which PostgreSQL does not allow in text; it occurs only in text for people, never in ids."""

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", NUL_SHOWN).encode()


def _parsed(url: str) -> set[str]:
    try:
        return {*conninfo_to_dict(url)}
    except psycopg.ProgrammingError as error:
        raise JournalUnavailable(_words(error)) from error


def _words(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
