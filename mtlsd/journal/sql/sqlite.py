"""The journal in SQLite: the default, for one node.

One connection writes, under a lock, in short transactions; one reads, under a lock of its own, and never
waits for a commit (WAL). `synchronous=FULL` brings every commit to the disk before `COMMIT` returns.
The SQL is in `sql/`: `sqlite_queries.sql`, and the migrations, which `PRAGMA user_version` counts.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from errno import EACCES
from pathlib import Path
from threading import Lock
from typing import Any

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.journal import columns
from mtlsd.journal.model import (
    NO_LANES,
    Acceptance,
    Attempt,
    Backlog,
    Claimed,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Lane,
    LeaseLost,
    Listed,
    Message,
    Refusal,
    StoredMDN,
)
from mtlsd.journal.proof import entries
from mtlsd.journal.proof.chain import Note
from mtlsd.journal.proof.checkpoints import UNNAMED
from mtlsd.journal.spool import disk_errors, make_directory
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.queries import load_migrations, load_queries
from mtlsd.journal.sql.sqlite_proof import SQLiteProof, accept_certificates, enter, salt_of

BUSY_TIMEOUT = 5.0  # seconds that we wait for another process, such as the command line
_OPTIONS: dict[str, Any] = {"timeout": BUSY_TIMEOUT, "isolation_level": None, "check_same_thread": False}
_ROLLED_BACK = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}  # of a COMMIT: nothing was written
QUERIES = load_queries("sqlite_queries.sql")
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
    """The version of a journal that is there, of whoever's mtlsd; raises JournalUnavailable."""
    with sqlite_errors(), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, **_OPTIONS)) as db:
        return _version(db)


class SQLiteJournal:
    """A journal in one SQLite file, which is created or migrated as needed.

    With `read_only` it is neither, and its version must be ours; whatever writes raises `JournalUnavailable`.
    `node` is whose chain takes the entries.
    """

    def __init__(self, path: Path, *, read_only: bool = False, node: str = UNNAMED) -> None:
        self._write_lock = Lock()
        self._read_lock = Lock()
        self._writer, self._reader = _open_to_read(path) if read_only else _open(path)
        self.proof = SQLiteProof(self._read, self._write, node)

    def accept(self, acceptances: Iterable[Acceptance], refusals: Iterable[Refusal] = ()) -> list[Message]:
        with self._write() as db:
            written = [(each, _accept(db, each.message)) for each in acceptances]
            new = [each for each, holder in written if holder is each.message]
            _accept_parts(db, new)
            refused = [_refuse(db, each) for each in refusals]
            enter(db, self.proof.node, [*(note for each in new for note in entries.accepted(each)), *refused])
            return [holder for _, holder in written]

    def is_settled(self) -> bool:
        """The next commit writes over what is left of an unclear one, or behind it."""
        return True

    def promise(self, delivery: Delivery, refusal: Refusal | None = None) -> None:
        with self._write() as db:
            if refusal:
                note = _refuse(db, refusal, delivery)
            elif _is_to_be_made(db, delivery):
                return
            else:
                subject = rows.subject(delivery)
                note = entries.promised(subject, salt_of(db, subject), delivery)
            db.execute(QUERIES["accept_delivery"], rows.delivery_values(delivery))
            enter(db, self.proof.node, [note])

    def answer(self, message: Message, mdn: StoredMDN, now: float) -> Message:
        with self._write() as db:
            if db.execute(QUERIES["answer_message"], (*rows.mdn_values(mdn), message.id)).rowcount:
                enter(db, self.proof.node, [entries.answered(message.id, message.salt, mdn, now)])
            return rows.message(db.execute(QUERIES["message"], {"id": message.id}).fetchone())

    def document(self, name: str) -> bytes | None:
        with self._read() as db:
            row = db.execute(QUERIES["document"], {"name": name}).fetchone()
        return row and bytes(row[0])

    def find(self, as2_from: str, as2_to: str, message_id: str) -> Message | None:
        with self._read() as db:
            return _find(db, as2_from, as2_to, message_id)

    def message(self, id_or_message_id: str) -> Message | None:
        with self._read() as db:
            row = (
                db.execute(QUERIES["message"], {"id": id_or_message_id}).fetchone()
                or db.execute(QUERIES["message_by_message_id"], _newest(id_or_message_id)).fetchone()
            )
        return row and rows.message(row)

    def refusal(self, id_or_message_id: str) -> Refusal | None:
        with self._read() as db:
            row = (
                db.execute(QUERIES["refusal"], {"id": id_or_message_id}).fetchone()
                or db.execute(QUERIES["refusal_by_message_id"], _newest(id_or_message_id)).fetchone()
            )
        return row and rows.refusal(row)

    def named(self, message_id: str, limit: int) -> list[Message | Refusal]:
        wanted = _newest(message_id, limit)
        with self._read() as db:
            messages = [rows.message(row) for row in db.execute(QUERIES["message_by_message_id"], wanted)]
            return [*messages, *(rows.refusal(row) for row in db.execute(QUERIES["refusal_by_message_id"], wanted))]

    def messages(
        self,
        *,
        limit: int,
        partner: str | None = None,
        state: DeliveryState | None = None,
        reason: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> list[Listed]:
        wanted: dict[str, object] = {"limit": limit, "partner": partner, "state": state, "reason": reason}
        wanted |= rows.range_values(since, until, after, before)
        with self._read() as db:
            found = db.execute(QUERIES[rows.list_query(partner, state, reason)], wanted)
            return [rows.listed(row) for row in found]

    def refusals(
        self,
        *,
        limit: int,
        partner: str | None = None,
        reason: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> list[Refusal]:
        wanted = {"limit": limit, "partner": partner, "reason": reason} | rows.range_values(since, until, after, before)
        with self._read() as db:
            return [rows.refusal(row) for row in db.execute(QUERIES["list_refusals"], wanted)]

    def claim(
        self, owner: str, now: float, lease: float, limit: int, room: Mapping[Lane, int] = NO_LANES
    ) -> list[Claimed]:
        with self._write() as db:
            due = (each for lane in _lanes(db) for each in _due(db, lane, now, min(limit, room.get(lane, limit))))
            oldest = sorted(due, key=lambda each: (each.not_before, each.id))[:limit]
            return [_claim(db, rows.leased(delivery, owner, now + lease)) for delivery in oldest]

    def renew(self, delivery_id: str, owner: str, until: float) -> None:
        wanted = {"id": delivery_id, "owner": owner, "until": until}
        with self._write() as db:
            if not db.execute(QUERIES["renew_lease"], wanted).rowcount:
                raise LeaseLost(delivery_id)

    def record(
        self,
        attempt: Attempt,
        owner: str,
        *,
        state: DeliveryState,
        not_before: float | None,
        now: float,
        pinned: str | None = None,
    ) -> None:
        outcome = rows.outcome_values(attempt, state, not_before, now, pinned)
        with self._write() as db:
            delivery = rows.held(_delivery(db, attempt.delivery_id), attempt, owner, state)
            db.execute(QUERIES["record_attempt"], rows.attempt_values(attempt))
            db.execute(QUERIES["record_outcome"], outcome)
            if state is not DeliveryState.PENDING:
                enter(db, self.proof.node, [_outcome(db, delivery, attempt, state, now)])

    def take_back(self, owner: str, now: float) -> int:
        with self._write() as db:
            return db.execute(QUERIES["take_back_leases"], {"owner": owner, "now": now}).rowcount

    def hasten(self, latest: float) -> int:
        with self._write() as db:
            return db.execute(QUERIES["hasten_deliveries"], {"latest": latest}).rowcount

    def requeue(self, delivery_id: str, now: float, *, unpin: bool = False) -> None:
        with self._write() as db:
            delivery = rows.to_requeue(_delivery(db, delivery_id), delivery_id)
            db.execute(QUERIES["requeue_delivery"], {"id": delivery_id, "now": now, "unpin": unpin})
            enter(db, self.proof.node, [entries.replayed(rows.subject(delivery), delivery_id, now)])

    def drop(self, delivery_id: str, now: float) -> None:
        with self._write() as db:
            delivery = rows.for_operators(_delivery(db, delivery_id), delivery_id, DeliveryState.DROPPED)
            db.execute(QUERIES["drop_delivery"], {"id": delivery_id, "now": now})
            enter(db, self.proof.node, [_dropped(db, delivery, now)])

    def next_due(self, now: float, room: Mapping[Lane, int] = NO_LANES) -> float | None:
        with self._read() as db:
            due = [_next_due(db, lane) for lane in _lanes(db) if room.get(lane, 1) > 0]
        return min((max(each, now) for each in due if each is not None), default=None)

    def deliveries(self, id: str) -> list[Delivery]:  # noqa: A002  # the field's name
        with self._read() as db:
            return [rows.delivery(row) for row in db.execute(QUERIES["deliveries"], {"id": id})]

    def ahead(self, delivery: Delivery) -> Delivery | None:
        with self._read() as db:
            first = _first(db, delivery.lane) if delivery.lane.ordered else None
        return first if first and first.id < delivery.id else None

    def attempts(self, delivery_id: str) -> list[Attempt]:
        with self._read() as db:
            return _attempts(db, delivery_id)

    def counts(self) -> dict[DeliveryState, int]:
        with self._read() as db:
            counted = dict(db.execute(QUERIES["counts"]).fetchall())
        return {state: counted.get(state, 0) for state in DeliveryState}

    def backlog(self) -> list[Backlog]:
        with self._read() as db:
            found = db.execute(QUERIES["backlog"]).fetchall()
        return [Backlog(DeliveryKind(kind), DeliveryState(state), *rest) for kind, state, *rest in found]

    def probe(self) -> None:
        with self._write() as db:
            db.execute(f"PRAGMA user_version = {_version(db)}")  # the same again: SQLite writes the page, and syncs it

    def spool_names(self) -> Iterator[str]:
        after = ""
        while page := self._spool_page(after):
            for after, *names, contents in page:  # noqa: B007  # the last one begins the next page
                yield from filter(None, names if contents else ())

    def close(self) -> None:
        with self._write_lock, self._read_lock, sqlite_errors():
            self._reader.close()
            self._writer.close()

    def _spool_page(self, after: str) -> list[sqlite3.Row]:
        with self._read() as db:
            return db.execute(QUERIES["spool_names"], {"after": after, "limit": rows.PAGE}).fetchall()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, sqlite_errors():
            yield self._reader

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, sqlite_errors(), _transaction(self._writer) as db:
            yield db


# --- The file -----------------------------------------------------------------------------------------------


Connections = tuple[sqlite3.Connection, sqlite3.Connection]  # one to write, one to read


def _open(path: Path) -> Connections:
    _create(path)
    with ExitStack() as on_error, sqlite_errors():
        writer = on_error.enter_context(closing(_connect(path)))
        _migrate(writer)
        reader = on_error.enter_context(closing(_connect(path)))
        reader.execute("PRAGMA query_only = ON")
        on_error.pop_all()
    return writer, reader


def _open_to_read(path: Path) -> Connections:
    """Open without a trace: where there is no write-ahead log, nobody has the file open, and nothing is to be locked.

    Otherwise SQLite would make the files beside it, and leave them there, for whoever called us to own.
    """
    with disk_errors():
        real = path.resolve(strict=True)
        if not os.access(real, os.R_OK):
            raise PermissionError(EACCES, os.strerror(EACCES), str(real))  # SQLite would not say why
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
    if version != len(MIGRATIONS):
        whose = "a newer mtlsd" if version > len(MIGRATIONS) else "an older mtlsd or none"
        advice = f"this one reads version {len(MIGRATIONS)}, which `mtlsd run` makes of an older one"
        raise JournalUnavailable(f"the journal has version {version}, of {whose}; {advice}")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _create(path: Path) -> None:
    """Make the file ourselves, for its mode: SQLite gives the same one to the files beside it."""
    with disk_errors():
        make_directory(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


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
            with suppress(sqlite3.Error):  # the first error is the one to tell
                db.execute("ROLLBACK")
        raise


def _commit(db: sqlite3.Connection) -> None:
    """Raises CommitUnclear where it failed after the record of the commit may have been written."""
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
            raise JournalUnavailable(
                f"the journal has version {version}, from a newer mtlsd; this one knows {len(MIGRATIONS)}"
            )
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _statements(script: str) -> Iterator[str]:
    """Split a script, because `executescript` would end the transaction that we are in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


# --- Rows ---------------------------------------------------------------------------------------------------


def _accept(db: sqlite3.Connection, message: Message) -> Message:
    if db.execute(QUERIES["accept_message"], rows.message_values(message)).rowcount:
        return message
    earlier = _find(db, message.as2_from, message.as2_to, message.message_id)
    assert earlier is not None
    return earlier


def _accept_parts(db: sqlite3.Connection, new: Sequence[Acceptance]) -> None:
    """What belongs to messages that are written now; a statement for all of them is quicker than one for each."""
    db.executemany(QUERIES["accept_document"], (pair for each in new for pair in each.documents.items()))
    db.executemany(QUERIES["accept_delivery"], (rows.delivery_values(one) for each in new for one in each.deliveries))
    db.executemany(QUERIES["record_attempt"], (rows.attempt_values(one) for each in new for one in each.attempts))
    accept_certificates(db, {name: der for each in new for name, der in each.certificates.items()})


def _refuse(db: sqlite3.Connection, refusal: Refusal, *deliveries: Delivery) -> Note:
    db.execute(QUERIES["accept_refusal"], rows.refusal_values(refusal))
    return entries.refused(refusal, deliveries)


def _outcome(db: sqlite3.Connection, delivery: Delivery, attempt: Attempt, state: DeliveryState, now: float) -> Note:
    subject = rows.subject(delivery)
    return entries.outcome(subject, salt_of(db, subject), attempt, state, now, _attempts(db, delivery.id))


def _dropped(db: sqlite3.Connection, delivery: Delivery, now: float) -> Note:
    subject = rows.subject(delivery)
    return entries.dropped(subject, salt_of(db, subject), delivery.id, now, _attempts(db, delivery.id))


def _attempts(db: sqlite3.Connection, delivery_id: str) -> list[Attempt]:
    return [rows.attempt(row) for row in db.execute(QUERIES["attempts"], {"delivery_id": delivery_id})]


def _is_to_be_made(db: sqlite3.Connection, delivery: Delivery) -> bool:
    """Whether there is the like of it; never of a refusal, each of which is a new one."""
    return db.execute(QUERIES["delivery_to_be_made"], rows.like_values(delivery)).fetchone() is not None


def _newest(message_id: str, limit: int = 1) -> dict[str, str | int]:
    return {"message_id": message_id, "limit": limit}


def _find(db: sqlite3.Connection, as2_from: str, as2_to: str, message_id: str) -> Message | None:
    key = {"as2_from": as2_from, "as2_to": as2_to, "message_id": message_id}
    row = db.execute(QUERIES["find_message"], key).fetchone()
    return row and rows.message(row)


def _delivery(db: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    row = db.execute(QUERIES["delivery"], {"id": delivery_id}).fetchone()
    return row and rows.delivery(row)


def _lanes(db: sqlite3.Connection) -> list[Lane]:
    return [columns.lane(text) for (text,) in db.execute(QUERIES["open_lanes"])]


def _due(db: sqlite3.Connection, lane: Lane, now: float, limit: int) -> list[Delivery]:
    """What may be claimed in a lane, oldest first; of an ordered one the first, if it is due."""
    if limit <= 0:
        return []
    if not lane.ordered:
        wanted = {"lane": columns.lane_text(lane), "now": now, "limit": limit}
        return [rows.delivery(row) for row in db.execute(QUERIES["due_in_lane"], wanted)]
    due = rows.due_at(first := _first(db, lane))
    return [first] if first and due is not None and due <= now else []


def _next_due(db: sqlite3.Connection, lane: Lane) -> float | None:
    if lane.ordered:
        return rows.due_at(_first(db, lane))
    due: float | None = db.execute(QUERIES["next_due_in_lane"], {"lane": columns.lane_text(lane)}).fetchone()[0]
    return due


def _first(db: sqlite3.Connection, lane: Lane) -> Delivery | None:
    row = db.execute(QUERIES["first_in_lane"], {"lane": columns.lane_text(lane)}).fetchone()
    return row and rows.delivery(row)


def _claim(db: sqlite3.Connection, leased: Delivery) -> Claimed:
    lease = {
        "id": leased.id,
        "attempts": leased.attempts,
        "owner": leased.lease_owner,
        "until": leased.lease_until,
    }
    db.execute(QUERIES["lease_delivery"], lease)
    return Claimed(leased, _about(db, leased))


def _about(db: sqlite3.Connection, delivery: Delivery) -> Message | Refusal:
    if delivery.refusal_id is not None:
        return rows.refusal(db.execute(QUERIES["refusal"], {"id": delivery.refusal_id}).fetchone())
    return rows.message(db.execute(QUERIES["message"], {"id": delivery.message_id}).fetchone())
