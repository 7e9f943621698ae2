"""The journal in PostgreSQL: for several nodes that share it.

Everything runs at READ COMMITTED. Two nodes that accept one key at the same time meet at its unique index, where the
second waits for the first; keys are written in one order, so that no two wait for each other. What is due is claimed
with SKIP LOCKED, lane by lane; of an ordered lane the first delivery is locked, or the lane is left alone.
The SQL is in `sql/`: `postgres_queries.sql`, and the migrations, which `journal_version` counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

from psycopg import errors

from mtlsd.errors import JournalUnavailable
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
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.pool import NUL_SHOWN, Connections, Database, connect, postgres_errors, transaction
from mtlsd.journal.sql.postgres_proof import PostgresProof, accept_certificates, enter, salt_of
from mtlsd.journal.sql.queries import load_migrations, load_queries

QUERIES = load_queries("postgres_queries.sql")
MIGRATIONS = load_migrations("postgres")
TRIES = 4  # of a transaction that PostgreSQL ends in favour of another one

Result = TypeVar("Result")
Record = TypeVar("Record", Message, Refusal, Attempt)


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


class PostgresJournal:
    """A journal in a PostgreSQL database whose version is ours; `migrate` makes it so.

    `node` is who we are among those who share it, and `chain` the name of our key, whose chain takes the entries. A
    connection that is lost is opened again by the next call.
    """

    def __init__(self, url: str, *, node: str = "", chain: str = UNNAMED, password: str | None = None) -> None:
        self._node_lock = _lock_key(f"node {node}")
        self._connections = Connections(partial(_open, url, password, f"mtlsd {node}".strip()))
        self.proof = PostgresProof(self._read, self._write, chain)
        with self._read():  # what is wrong shows at once
            pass

    def accept(self, acceptances: Iterable[Acceptance], refusals: Iterable[Refusal] = ()) -> list[Message]:
        # The lock is for `spool_names`: a restart must not miss what an earlier life is committing.
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared({self._node_lock})"
        refused = [_shown(each) for each in refusals]
        work = partial(_accept_all, chain=self.proof.node, acceptances=tuple(acceptances), refusals=refused)
        return self._write(work, begin)

    def promise(self, delivery: Delivery, refusal: Refusal | None = None) -> None:
        def work(db: Database) -> None:
            if not refusal and _is_to_be_made(db, delivery):
                return
            note = _refuse(db, _shown(refusal), delivery) if refusal else _promise_more(db, delivery)
            db.execute(QUERIES["accept_delivery"], rows.delivery_values(delivery))
            enter(db, self.proof.node, [note])

        self._write(work)

    def answer(self, message: Message, mdn: StoredMDN, now: float) -> Message:
        def work(db: Database) -> Message:
            if db.execute(QUERIES["answer_message"], (*rows.mdn_values(mdn), message.id)).rowcount:
                enter(db, self.proof.node, [entries.answered(message.id, message.salt, mdn, now)])
            row = db.execute(QUERIES["message"], {"id": message.id}).fetchone()
            assert row, "nobody removes a message but an operator"
            return rows.message(row)

        return self._write(work)

    def is_settled(self) -> bool:
        """Whether PostgreSQL has ended every `accept` of this node, those too whose connection was lost."""
        row = self._write(lambda db: db.execute(QUERIES["try_node_lock"], {"key": self._node_lock}).fetchone())
        return row is not None and row["free"]

    def document(self, name: str) -> bytes | None:
        with self._read() as db:
            row = db.execute(QUERIES["document"], {"name": name}).fetchone()
        return row["data"] if row else None

    def find(self, as2_from: str, as2_to: str, message_id: str) -> Message | None:
        with self._read() as db:
            return _find(db, as2_from, as2_to, message_id)

    def message(self, id_or_message_id: str) -> Message | None:
        with self._read() as db:
            row = (
                db.execute(QUERIES["message"], {"id": id_or_message_id}).fetchone()
                or db.execute(QUERIES["message_by_message_id"], _newest(id_or_message_id)).fetchone()
            )
        return rows.message(row) if row else None

    def refusal(self, id_or_message_id: str) -> Refusal | None:
        with self._read() as db:
            row = (
                db.execute(QUERIES["refusal"], {"id": id_or_message_id}).fetchone()
                or db.execute(QUERIES["refusal_by_message_id"], _newest(id_or_message_id)).fetchone()
            )
        return rows.refusal(row) if row else None

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
        wanted |= {"since": since, "until": until, "after": after, "before": before}
        with self._read() as db:
            found = db.execute(QUERIES[rows.list_query(partner, state, reason)], wanted, prepare=False)
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
        wanted: dict[str, object] = {"limit": limit, "partner": partner, "reason": reason}
        wanted |= {"since": since, "until": until, "after": after, "before": before}
        with self._read() as db:
            return [rows.refusal(row) for row in db.execute(QUERIES["list_refusals"], wanted, prepare=False)]

    def claim(
        self, owner: str, now: float, lease: float, limit: int, room: Mapping[Lane, int] = NO_LANES
    ) -> list[Claimed]:
        def work(db: Database) -> list[Claimed]:
            due = (each for lane in _lanes(db) for each in _due(db, lane, now, min(limit, room.get(lane, limit))))
            oldest = sorted(due, key=lambda each: (each.not_before, each.id))[:limit]
            return _claim(db, [rows.leased(each, owner, now + lease) for each in oldest])

        return self._write(work)

    def renew(self, delivery_id: str, owner: str, until: float) -> None:
        wanted = {"id": delivery_id, "owner": owner, "until": until}
        if not self._write(lambda db: db.execute(QUERIES["renew_lease"], wanted).rowcount):
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

        def work(db: Database) -> None:
            delivery = rows.held(_lock(db, attempt.delivery_id), attempt, owner, state)
            db.execute(QUERIES["record_attempt"], rows.attempt_values(attempt))
            db.execute(QUERIES["record_outcome"], outcome)
            if state is not DeliveryState.PENDING:
                enter(db, self.proof.node, [_outcome(db, delivery, attempt, state, now)])

        self._write(work)

    def take_back(self, owner: str, now: float) -> int:
        return self._write(lambda db: db.execute(QUERIES["take_back_leases"], {"owner": owner, "now": now}).rowcount)

    def hasten(self, latest: float) -> int:
        return self._write(lambda db: db.execute(QUERIES["hasten_deliveries"], {"latest": latest}).rowcount)

    def requeue(self, delivery_id: str, now: float, *, unpin: bool = False) -> None:
        def work(db: Database) -> None:
            delivery = rows.to_requeue(_lock(db, delivery_id), delivery_id)
            db.execute(QUERIES["requeue_delivery"], {"id": delivery_id, "now": now, "unpin": unpin})
            enter(db, self.proof.node, [entries.replayed(rows.subject(delivery), delivery_id, now)])

        self._write(work)

    def drop(self, delivery_id: str, now: float) -> None:
        def work(db: Database) -> None:
            delivery = rows.for_operators(_lock(db, delivery_id), delivery_id, DeliveryState.DROPPED)
            db.execute(QUERIES["drop_delivery"], {"id": delivery_id, "now": now})
            enter(db, self.proof.node, [_dropped(db, delivery, now)])

        self._write(work)

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
            counted = {row["state"]: row["count"] for row in db.execute(QUERIES["counts"])}
        return {state: counted.get(state, 0) for state in DeliveryState}

    def backlog(self) -> list[Backlog]:
        with self._read() as db:
            found = db.execute(QUERIES["backlog"]).fetchall()
        return [
            Backlog(DeliveryKind(row["kind"]), DeliveryState(row["state"]), row["count"], row["oldest"])
            for row in found
        ]

    def probe(self) -> None:
        self._write(lambda db: db.execute(QUERIES["probe"]))  # the same again: a commit that is written and synced

    def spool_names(self) -> Iterator[str]:
        """Yield every spool name; before the first one, wait until this node's earlier life has nothing under way.

        A process that was killed while PostgreSQL made its commit has a message that we would not see yet.
        """
        self._write(self._wait_for_earlier_life)
        after = ""
        while page := self._spool_page(after):
            for after, *names, contents in page:  # noqa: B007  # the last one begins the next page
                yield from filter(None, names if contents else ())

    def close(self) -> None:
        self._connections.close()

    def _wait_for_earlier_life(self, db: Database) -> None:
        db.execute("SET LOCAL lock_timeout = '25s'")
        db.execute("SELECT pg_advisory_xact_lock(%s)", [self._node_lock])

    def _spool_page(self, after: str) -> list[tuple[Any, ...]]:
        with self._read() as db:
            page = db.execute(QUERIES["spool_names"], {"after": after, "limit": rows.PAGE})
            return [tuple(row.values()) for row in page]

    @contextmanager
    def _read(self) -> Iterator[Database]:
        with postgres_errors(), self._connections.one() as db:
            yield db

    def _write(self, work: Callable[[Database], Result], begin: str = "BEGIN ISOLATION LEVEL READ COMMITTED") -> Result:
        """Do it in one transaction, once more where PostgreSQL sacrificed it to another one."""
        with postgres_errors():
            for _ in range(TRIES - 1):
                try:
                    return self._transact(work, begin)
                except (errors.DeadlockDetected, errors.SerializationFailure):
                    continue
            return self._transact(work, begin)

    def _transact(self, work: Callable[[Database], Result], begin: str) -> Result:
        with self._connections.one() as db, transaction(db, begin):
            return work(db)


# --- The database -------------------------------------------------------------------------------------------


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
        return f"the journal has version {version}, from a newer mtlsd; this one knows {len(MIGRATIONS)}"
    what = f"has version {version}, of an older mtlsd" if version else "has no journal yet"
    return f"the database {what}: run `mtlsd journal migrate`, which makes version {len(MIGRATIONS)}"


def _check_encoding(db: Database) -> None:
    row = db.execute("SHOW server_encoding").fetchone()
    if row is None or row["server_encoding"] != "UTF8":
        raise JournalUnavailable("the database has another encoding than UTF8: make one with ENCODING 'UTF8'")


def _lock_key(name: str) -> int:
    """A key for an advisory lock: 64 bits with a sign."""
    return int.from_bytes(sha256(f"mtlsd journal: {name}".encode()).digest()[:8], "big", signed=True)


# --- Parts of transactions ----------------------------------------------------------------------------------


def _accept_all(
    db: Database, chain: str, acceptances: Sequence[Acceptance], refusals: Iterable[Refusal] = ()
) -> list[Message]:
    """In the order of the keys, so that two nodes with the same ones never wait for each other."""
    in_order = sorted(acceptances, key=lambda each: _key(each.message))
    new = [each for each, is_new in zip(in_order, _accept_messages(db, in_order), strict=True) if is_new]
    accept_certificates(db, {name: der for each in new for name, der in each.certificates.items()})
    _execute_all(db, "accept_document", [pair for each in new for pair in each.documents.items()])
    _execute_all(db, "accept_delivery", [rows.delivery_values(one) for each in new for one in each.deliveries])
    _execute_all(db, "record_attempt", [rows.attempt_values(one) for each in new for one in each.attempts])
    refused = [_refuse(db, each) for each in refusals]
    enter(db, chain, [*(note for each in new for note in entries.accepted(_as_kept(each))), *refused])
    ours = {id(each) for each in new}
    return [each.message if id(each) in ours else _held(db, each.message) for each in acceptances]


def _accept_messages(db: Database, acceptances: Sequence[Acceptance]) -> list[bool]:
    """Whether each is new, asked in one go: a round trip for each would cost more than all the rest."""
    if not acceptances:
        return []
    with db.cursor() as cursor:
        values = [rows.message_values(_shown(each.message)) for each in acceptances]
        cursor.executemany(QUERIES["accept_message"], values, returning=True)
        return [cursor.rowcount == 1, *(cursor.rowcount == 1 for _ in iter(cursor.nextset, None))]


def _execute_all(db: Database, query: str, values: Sequence[Any]) -> None:
    if values:
        with db.cursor() as cursor:
            cursor.executemany(QUERIES[query], values)


def _held(db: Database, message: Message) -> Message:
    """What came earlier under the key of this message."""
    earlier = _find(db, message.as2_from, message.as2_to, message.message_id)
    assert earlier is not None
    return earlier


def _key(message: Message) -> tuple[str, str, str]:
    return message.message_id, message.as2_from, message.as2_to


def _as_kept(acceptance: Acceptance) -> Acceptance:
    attempts = tuple(map(_shown, acceptance.attempts))
    return replace(acceptance, message=_shown(acceptance.message), attempts=attempts)


def _shown(record: Record) -> Record:
    """The record as it can be read again, without NUL: the chain is about that one."""
    texts = ((each.name, getattr(record, each.name)) for each in fields(record))
    odd = {name: text for name, text in texts if isinstance(text, str) and "\0" in text}
    shown: dict[str, Any] = {name: text.replace("\0", NUL_SHOWN) for name, text in odd.items()}
    return replace(record, **shown) if shown else record


def _refuse(db: Database, refusal: Refusal, *deliveries: Delivery) -> Note:
    db.execute(QUERIES["accept_refusal"], rows.refusal_values(refusal))
    return entries.refused(refusal, deliveries)


def _outcome(db: Database, delivery: Delivery, attempt: Attempt, state: DeliveryState, now: float) -> Note:
    subject = rows.subject(delivery)
    return entries.outcome(subject, salt_of(db, subject), attempt, state, now, _attempts(db, delivery.id))


def _dropped(db: Database, delivery: Delivery, now: float) -> Note:
    subject = rows.subject(delivery)
    return entries.dropped(subject, salt_of(db, subject), delivery.id, now, _attempts(db, delivery.id))


def _attempts(db: Database, delivery_id: str) -> list[Attempt]:
    return [rows.attempt(row) for row in db.execute(QUERIES["attempts"], {"delivery_id": delivery_id})]


def _is_to_be_made(db: Database, delivery: Delivery) -> bool:
    """Whether there is the like of it; two nodes that promise the same ask one after the other."""
    db.execute(QUERIES["lock_message"], {"id": delivery.message_id})
    return db.execute(QUERIES["delivery_to_be_made"], rows.like_values(delivery)).fetchone() is not None


def _promise_more(db: Database, delivery: Delivery) -> Note:
    subject = rows.subject(delivery)
    return entries.promised(subject, salt_of(db, subject), delivery)


def _newest(message_id: str, limit: int = 1) -> dict[str, str | int]:
    return {"message_id": message_id, "limit": limit}


def _find(db: Database, as2_from: str, as2_to: str, message_id: str) -> Message | None:
    key = {"as2_from": as2_from, "as2_to": as2_to, "message_id": message_id}
    row = db.execute(QUERIES["find_message"], key).fetchone()
    return rows.message(row) if row else None


def _lock(db: Database, delivery_id: str) -> Delivery | None:
    """The delivery, which nobody else changes until we commit."""
    row = db.execute(QUERIES["lock_delivery"], {"id": delivery_id}).fetchone()
    return rows.delivery(row) if row else None


def _lanes(db: Database) -> list[Lane]:
    return [columns.lane(row["lane"]) for row in db.execute(QUERIES["open_lanes"])]


def _due(db: Database, lane: Lane, now: float, limit: int) -> list[Delivery]:
    """What may be claimed in a lane, oldest first, and is locked now; of an ordered one the first, if it is due."""
    if limit <= 0:
        return []
    if not lane.ordered:
        wanted = {"lane": columns.lane_text(lane), "now": now, "limit": limit}
        return [rows.delivery(row) for row in db.execute(QUERIES["due_in_lane"], wanted)]
    due = rows.due_at(first := _lock_first(db, lane))
    return [first] if first and due is not None and due <= now else []


def _lock_first(db: Database, lane: Lane) -> Delivery | None:
    """The first of an ordered lane as it is now; none where another node has it: the next one is not to overtake it."""
    first = _first(db, lane)
    row = first and db.execute(QUERIES["lock_first"], {"id": first.id}).fetchone()
    return rows.delivery(row) if row else None


def _next_due(db: Database, lane: Lane) -> float | None:
    if lane.ordered:
        return rows.due_at(_first(db, lane))
    row = db.execute(QUERIES["next_due_in_lane"], {"lane": columns.lane_text(lane)}).fetchone()
    return row["due"] if row else None


def _first(db: Database, lane: Lane) -> Delivery | None:
    row = db.execute(QUERIES["first_in_lane"], {"lane": columns.lane_text(lane)}).fetchone()
    return rows.delivery(row) if row else None


def _claim(db: Database, leased: Sequence[Delivery]) -> list[Claimed]:
    if not leased:
        return []
    lease = {"ids": [each.id for each in leased], "owner": leased[0].lease_owner, "until": leased[0].lease_until}
    db.execute(QUERIES["lease_deliveries"], lease)
    about = _about(db, leased)
    return [Claimed(each, about[each.message_id or each.refusal_id]) for each in leased]


def _about(db: Database, deliveries: Sequence[Delivery]) -> dict[str | None, Message | Refusal]:
    """The messages and refusals of these deliveries, by our ids of them."""
    messages = [each.message_id for each in deliveries if each.message_id]
    refusals = [each.refusal_id for each in deliveries if each.refusal_id]
    found: dict[str | None, Message | Refusal] = {}
    if messages:
        found |= {row["id"]: rows.message(row) for row in db.execute(QUERIES["messages_of"], {"ids": messages})}
    if refusals:
        found |= {row["id"]: rows.refusal(row) for row in db.execute(QUERIES["refusals_of"], {"ids": refusals})}
    return found
