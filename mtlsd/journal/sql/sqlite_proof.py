"""The hash chain in SQLite, and what of the journal may go: the part of `SQLiteJournal` that is its `proof`."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter

from mtlsd.journal.model import DeliveriesOpen, Evidence, Message, Reason, Refusal
from mtlsd.journal.proof.chain import Entry, EntryKind, Head, Note, follow
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.queries import load_queries

PROOF_QUERIES = load_queries("sqlite_proof.sql")
_ENTRY = attrgetter("node", "number", "at", "kind", "subject", "facts", "previous", "digest")
SECURE_DELETE = "PRAGMA secure_delete = ON"  # the octets go, not the rows alone
_FINISHED, _FAILED = "delivered", "failed"

Transaction = Callable[[], AbstractContextManager[sqlite3.Connection]]


def enter(db: sqlite3.Connection, node: str, notes: Iterable[Note]) -> None:
    """Enter notes in the transaction that writes what they are about."""
    entries = follow(_head(db, node), node, notes)
    db.executemany(PROOF_QUERIES["enter"], map(_ENTRY, entries))


def accept_certificates(db: sqlite3.Connection, certificates: Mapping[str, bytes]) -> None:
    """Keep those that are not here yet."""
    db.executemany(PROOF_QUERIES["accept_certificate"], certificates.items())


def salt_of(db: sqlite3.Connection, subject: str) -> str:
    """The salt of a message or a refusal that is here; none where it is not, which the foreign key then says."""
    row = db.execute(PROOF_QUERIES["salt"], {"id": subject}).fetchone()
    return row[0] if row else ""


class SQLiteProof:
    """`Proof` in the file of a `SQLiteJournal`, whose transactions it borrows."""

    def __init__(self, read: Transaction, write: Transaction, node: str) -> None:
        self.node = node
        self._read = read
        self._write = write

    def enter(self, notes: Iterable[Note]) -> None:
        with self._write() as db:
            enter(db, self.node, notes)

    def nodes(self) -> list[str]:
        with self._read() as db:
            return [node for (node,) in db.execute(PROOF_QUERIES["chain_nodes"])]

    def head(self, node: str) -> Head:
        with self._read() as db:
            return _head(db, node)

    def entries(self, node: str, after: int, limit: int) -> list[Entry]:
        wanted = {"node": node, "after": after, "limit": limit}
        with self._read() as db:
            return [Entry(**dict(row)) for row in db.execute(PROOF_QUERIES["chain_entries"], wanted)]

    def subjects(self, after: str, limit: int) -> list[str]:
        with self._read() as db:
            return [id_ for (id_,) in db.execute(PROOF_QUERIES["subjects"], {"after": after, "limit": limit})]

    def evidence(self, subject: str) -> Evidence:
        with self._read() as db:
            db.execute("BEGIN")  # the rows and the entries of one moment
            try:
                return self._evidence(db, subject)
            finally:
                db.execute("ROLLBACK")

    def _evidence(self, db: sqlite3.Connection, subject: str) -> Evidence:
        key = {"id": subject, "subject": subject}
        entries = [Entry(**dict(row)) for row in db.execute(PROOF_QUERIES["entries_about"], key)]
        deliveries = [rows.delivery(row) for row in db.execute(PROOF_QUERIES["deliveries_of"], key)]
        attempts = [rows.attempt(row) for row in db.execute(PROOF_QUERIES["attempts_at"], key)]
        return Evidence(tuple(entries), self._about(db, key), tuple(deliveries), tuple(attempts))

    def _about(self, db: sqlite3.Connection, key: Mapping[str, str]) -> Message | Refusal | None:
        if row := db.execute(PROOF_QUERIES["message_of"], key).fetchone():
            return rows.message(row)
        row = db.execute(PROOF_QUERIES["refusal_of"], key).fetchone()
        return rows.refusal(row) if row else None

    def certificate(self, sha256: str) -> bytes | None:
        with self._read() as db:
            row = db.execute(PROOF_QUERIES["certificate"], {"sha256": sha256}).fetchone()
        return row and bytes(row[0])

    def certificates(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        wanted = {"after": after, "limit": limit}
        with self._read() as db:
            return [(sha256, bytes(der)) for sha256, der in db.execute(PROOF_QUERIES["certificates"], wanted)]

    # --- Retention ------------------------------------------------------------------------------------------------

    def stored(self) -> dict[str, int]:
        with self._read() as db:
            return dict(db.execute(PROOF_QUERIES["stored_contents"]).fetchall())

    def prunable(self, partner: str, before: float, limit: int) -> list[tuple[str, int]]:
        wanted = {"partner": partner, "before": before, "limit": limit}
        with self._read() as db:
            return [(id_, contents) for id_, contents in db.execute(PROOF_QUERIES["prunable"], wanted)]

    def prune(self, ids: Iterable[str], reason: Reason) -> list[str]:
        removed: list[str] = []
        with self._write() as db:
            found = [(id_, db.execute(PROOF_QUERIES["prunable_message"], {"id": id_}).fetchone()) for id_ in ids]
            pruned = [(id_, [name for name in row if name]) for id_, row in found if row]
            for id_, names in pruned:
                db.execute(PROOF_QUERIES["prune_contents"], {"id": id_})
                db.executemany(PROOF_QUERIES["prune_document"], [{"name": name} for name in names])
                removed += names
            enter(db, self.node, [_gone(EntryKind.PRUNED, id_, reason) for id_, _ in pruned])
        return removed

    def refused_partners(self) -> list[str]:
        with self._read() as db:
            return [partner for (partner,) in db.execute(PROOF_QUERIES["refused_partners"])]

    def forgettable(self, partner: str, before: float, limit: int) -> list[str]:
        wanted = {"partner": partner, "before": before, "limit": limit}
        with self._read() as db:
            return [id_ for (id_,) in db.execute(PROOF_QUERIES["forgettable"], wanted)]

    def forget(self, ids: Iterable[str], reason: Reason) -> int:
        with self._write() as db:
            db.execute(SECURE_DELETE)
            gone = [id_ for id_ in ids if db.execute(PROOF_QUERIES["forgettable_refusal"], {"id": id_}).fetchone()]
            _erase(db, gone)
            enter(db, self.node, [_gone(EntryKind.ERASED, id_, reason) for id_ in gone])
        return len(gone)

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
        with self._write() as db:
            db.execute(SECURE_DELETE)
            if count := _open_deliveries(db, partner, _FAILED if undelivered else _FINISHED):
                raise DeliveriesOpen(f"{count} deliveries of {partner} are not delivered")
            messages = db.execute(PROOF_QUERIES["messages_to_erase"], wanted).fetchall()
            refusals = db.execute(PROOF_QUERIES["refusals_to_erase"], wanted).fetchall()
            names = [name for _, *names in messages for name in names if name]
            db.executemany(PROOF_QUERIES["prune_document"], [{"name": name} for name in names])
            erased = [str(id_) for id_, *_ in (*messages, *refusals)]
            _erase(db, erased)
            enter(db, self.node, [_gone(EntryKind.ERASED, id_, reason) for id_ in erased])
        return len(erased), names


_ERASE = ("erase_attempts", "erase_message_deliveries", "erase_refusal_deliveries", "erase_message", "erase_refusal")


def _erase(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    for query in _ERASE:
        db.executemany(PROOF_QUERIES[query], [{"id": id_} for id_ in ids])


def _head(db: sqlite3.Connection, node: str) -> Head:
    row = db.execute(PROOF_QUERIES["chain_head"], {"node": node}).fetchone()
    return Head(*row) if row else Head()


def _open_deliveries(db: sqlite3.Connection, partner: str, allowed: str) -> int:
    wanted = {"partner": partner, "allowed": allowed}
    count: int = db.execute(PROOF_QUERIES["open_deliveries"], wanted).fetchone()[0]
    return count


def _gone(kind: EntryKind, subject: str, reason: Reason) -> Note:
    return Note(kind, subject, reason.at, {"by": reason.by, "why": reason.why})
