"""The hash chain in PostgreSQL, and what of the journal may go: the part of `PostgresJournal` that is its `proof`.

Whoever enters something locks the row of its node in `heads` until the commit, so that the entries of a node follow one
another, and two nodes never wait for each other. It is the last lock that a transaction takes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Protocol, TypeVar

from mtlsd.journal.model import DeliveriesOpen, Evidence, Message, Reason, Refusal
from mtlsd.journal.proof.chain import Entry, EntryKind, Head, Note, follow
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.pool import Database, transaction
from mtlsd.journal.sql.queries import load_queries

PROOF_QUERIES = load_queries("postgres_proof.sql")
ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ENTRY = attrgetter("node", "number", "at", "kind", "subject", "facts", "previous", "digest")
_FINISHED, _FAILED = "delivered", "failed"
_ERASE = ("erase_attempts", "erase_message_deliveries", "erase_refusal_deliveries", "erase_message", "erase_refusal")

Read = Callable[[], AbstractContextManager[Database]]
Result = TypeVar("Result")


class Write(Protocol):
    """Does work in one transaction, and again where PostgreSQL sacrificed it."""

    def __call__(self, work: Callable[[Database], Result]) -> Result: ...


def enter(db: Database, node: str, notes: Iterable[Note]) -> None:
    """Enter notes in the transaction that writes what they are about."""
    if noted := tuple(notes):
        _lock_chain(db, node)
        _each(db, "enter", map(_ENTRY, follow(_head(db, node), node, noted)))


def accept_certificates(db: Database, certificates: Mapping[str, bytes]) -> None:
    """Keep those that are not here yet; in their order, so that two nodes with the same ones agree."""
    _each(db, "accept_certificate", sorted(certificates.items()))


def salt_of(db: Database, subject: str) -> str:
    """The salt of a message or a refusal that is here; none where it is not, which the foreign key then says."""
    row = db.execute(PROOF_QUERIES["salt"], {"id": subject}).fetchone()
    return row["salt"] if row else ""


class PostgresProof:
    """`Proof` in the database of a `PostgresJournal`, whose transactions it borrows."""

    def __init__(self, read: Read, write: Write, node: str) -> None:
        self.node = node
        self._read = read
        self._write = write

    def enter(self, notes: Iterable[Note]) -> None:
        noted = tuple(notes)
        self._write(lambda db: enter(db, self.node, noted))

    def nodes(self) -> list[str]:
        with self._read() as db:
            return [row["node"] for row in db.execute(PROOF_QUERIES["chain_nodes"])]

    def head(self, node: str) -> Head:
        with self._read() as db:
            return _head(db, node)

    def entries(self, node: str, after: int, limit: int) -> list[Entry]:
        wanted = {"node": node, "after": after, "limit": limit}
        with self._read() as db:
            return [Entry(**row) for row in db.execute(PROOF_QUERIES["chain_entries"], wanted)]

    def subjects(self, after: str, limit: int) -> list[str]:
        with self._read() as db:
            return [row["id"] for row in db.execute(PROOF_QUERIES["subjects"], {"after": after, "limit": limit})]

    def evidence(self, subject: str) -> Evidence:
        with self._read() as db, transaction(db, ONE_MOMENT):
            key = {"id": subject, "subject": subject}
            entries = [Entry(**row) for row in db.execute(PROOF_QUERIES["entries_about"], key)]
            deliveries = [rows.delivery(row) for row in db.execute(PROOF_QUERIES["deliveries_of"], key)]
            attempts = [rows.attempt(row) for row in db.execute(PROOF_QUERIES["attempts_at"], key)]
            return Evidence(tuple(entries), _about(db, key), tuple(deliveries), tuple(attempts))

    def certificate(self, sha256: str) -> bytes | None:
        with self._read() as db:
            row = db.execute(PROOF_QUERIES["certificate"], {"sha256": sha256}).fetchone()
        return row["der"] if row else None

    def certificates(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        wanted = {"after": after, "limit": limit}
        with self._read() as db:
            return [(row["sha256"], row["der"]) for row in db.execute(PROOF_QUERIES["certificates"], wanted)]

    # --- Retention ------------------------------------------------------------------------------------------------

    def stored(self) -> dict[str, int]:
        with self._read() as db:
            return {row["partner"]: row["octets"] for row in db.execute(PROOF_QUERIES["stored_contents"])}

    def prunable(self, partner: str, before: float, limit: int) -> list[tuple[str, int]]:
        wanted = {"partner": partner, "before": before, "limit": limit}
        with self._read() as db:
            return [(row["id"], row["contents"]) for row in db.execute(PROOF_QUERIES["prunable"], wanted)]

    def prune(self, ids: Iterable[str], reason: Reason) -> list[str]:
        in_order = sorted(ids)  # so that two nodes agree on who is first

        def work(db: Database) -> list[str]:
            found = [(id_, db.execute(PROOF_QUERIES["prunable_message"], {"id": id_}).fetchone()) for id_ in in_order]
            pruned = {id_: [name for name in row.values() if name] for id_, row in found if row}
            removed = [name for names in pruned.values() for name in names]
            _each(db, "prune_contents", [{"id": id_} for id_ in pruned])
            _each(db, "prune_document", [{"name": name} for name in removed])
            enter(db, self.node, [_gone(EntryKind.PRUNED, id_, reason) for id_ in pruned])
            return removed

        return self._write(work)

    def refused_partners(self) -> list[str]:
        with self._read() as db:
            return [row["partner"] for row in db.execute(PROOF_QUERIES["refused_partners"])]

    def forgettable(self, partner: str, before: float, limit: int) -> list[str]:
        wanted = {"partner": partner, "before": before, "limit": limit}
        with self._read() as db:
            return [row["id"] for row in db.execute(PROOF_QUERIES["forgettable"], wanted)]

    def forget(self, ids: Iterable[str], reason: Reason) -> int:
        in_order = sorted(ids)  # so that two nodes agree on who is first

        def work(db: Database) -> int:
            query = PROOF_QUERIES["forgettable_refusal"]
            gone = [id_ for id_ in in_order if db.execute(query, {"id": id_}).fetchone()]
            _erase(db, gone)
            enter(db, self.node, [_gone(EntryKind.ERASED, id_, reason) for id_ in gone])
            return len(gone)

        return self._write(work)

    # --- Privacy --------------------------------------------------------------------------------------------------

    def refusals(self, partner: str, after: str, limit: int) -> list[Refusal]:
        wanted = {"partner": partner, "after": after, "limit": limit}
        with self._read() as db:
            return [rows.refusal(row) for row in db.execute(PROOF_QUERIES["refusals_of_partner"], wanted)]

    def open_deliveries(self, partner: str) -> int:
        with self._read() as db:
            return _open_deliveries(db, partner, _FINISHED)

    def erase(self, partner: str, reason: Reason, limit: int, *, undelivered: bool = False) -> tuple[int, list[str]]:
        wanted = {"partner": partner, "limit": limit}

        def work(db: Database) -> tuple[int, list[str]]:
            # Locked first, then counted: what another node promises meanwhile is either counted or not erased.
            messages = db.execute(PROOF_QUERIES["messages_to_erase"], wanted).fetchall()
            refusals = db.execute(PROOF_QUERIES["refusals_to_erase"], wanted).fetchall()
            if count := _open_deliveries(db, partner, _FAILED if undelivered else _FINISHED):
                raise DeliveriesOpen(f"{count} deliveries of {partner} are not delivered")
            erased = [str(row.pop("id")) for row in (*messages, *refusals)]
            names = [name for row in messages for name in row.values() if name]
            _each(db, "prune_document", [{"name": name} for name in names])
            _erase(db, erased)
            enter(db, self.node, [_gone(EntryKind.ERASED, id_, reason) for id_ in erased])
            return len(erased), names

        return self._write(work)


def _erase(db: Database, ids: Sequence[str]) -> None:
    for query in _ERASE:
        _each(db, query, [{"id": id_} for id_ in ids])


def _lock_chain(db: Database, node: str) -> None:
    key = {"node": node}
    if db.execute(PROOF_QUERIES["lock_chain"], key).fetchone() is None:
        db.execute(PROOF_QUERIES["begin_chain"], key)
        db.execute(PROOF_QUERIES["lock_chain"], key)  # it may be another process of this node that began it


def _head(db: Database, node: str) -> Head:
    row = db.execute(PROOF_QUERIES["chain_head"], {"node": node}).fetchone()
    return Head(**row) if row else Head()


def _about(db: Database, key: Mapping[str, str]) -> Message | Refusal | None:
    if row := db.execute(PROOF_QUERIES["message_of"], key).fetchone():
        return rows.message(row)
    row = db.execute(PROOF_QUERIES["refusal_of"], key).fetchone()
    return rows.refusal(row) if row else None


def _open_deliveries(db: Database, partner: str, allowed: str) -> int:
    row = db.execute(PROOF_QUERIES["open_deliveries"], {"partner": partner, "allowed": allowed}).fetchone()
    assert row is not None
    count: int = row["count"]
    return count


def _each(db: Database, query: str, values: Iterable[tuple[object, ...] | Mapping[str, object]]) -> None:
    with db.cursor() as cursor:
        cursor.executemany(PROOF_QUERIES[query], [*values])


def _gone(kind: EntryKind, subject: str, reason: Reason) -> Note:
    return Note(kind, subject, reason.at, {"by": reason.by, "why": reason.why})
