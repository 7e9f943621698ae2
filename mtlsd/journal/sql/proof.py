"""The hash chain beside the journal, and the deletion of records: `Journal.proof`."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from mtlsd.journal.model import DeliveriesOpen, DeliveryState, Evidence, Message, Reason, Refusal
from mtlsd.journal.proof.chain import Entry, EntryKind, Head, Note, follow
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.port import Port, Statements, read_all, read_one
from mtlsd.journal.sql.rows import Row

_ENTRY = attrgetter("node", "number", "at", "kind", "subject", "facts", "previous", "digest")
_DOCUMENTS = ("payload", "original", "signed", "signature")
_ERASE = ("erase_attempts", "erase_message_deliveries", "erase_refusal_deliveries", "erase_message", "erase_refusal")


def enter(db: Statements, node: str, notes: Iterable[Note]) -> None:
    """Enter notes in the transaction that writes their records; nothing may be locked after this."""
    if noted := tuple(notes):
        db.lock_chain(node)
        db.each("enter", [_ENTRY(entry) for entry in follow(_head(db, node), node, noted)])


def accept_certificates(db: Statements, certificates: Mapping[str, bytes]) -> None:
    """Store new certificates; sorted, so that two nodes with the same certificates do not wait in a circle."""
    db.each("accept_certificate", sorted(certificates.items()))


def salt_of(db: Statements, subject: str) -> str:
    """The salt of a message or a refusal; empty if there is none, which the foreign key then reports."""
    row = db.one("salt", id=subject)
    return row["salt"] if row else ""


def document_names(row: Row) -> list[str]:
    """The names of the documents of a message."""
    return [row[column] for column in _DOCUMENTS if row[column]]


class Proof:
    """The hash chain of this node, and the deletion of records. Every method is one transaction."""

    def __init__(self, port: Port, node: str) -> None:
        self.node = node
        self._port = port

    def enter(self, notes: Iterable[Note]) -> None:
        """Enter events that have no row in the journal."""
        noted = tuple(notes)
        self._port.write(lambda db: enter(db, self.node, noted))

    def nodes(self) -> list[str]:
        """The nodes that have a chain in this journal."""
        return [row["node"] for row in read_all(self._port, "chain_nodes")]

    def head(self, node: str) -> Head:
        """The head of a chain."""
        with self._port.read() as db:
            return _head(db, node)

    def entries(self, node: str, after: int, limit: int) -> list[Entry]:
        """The entries after a number, in their order."""
        return [
            Entry(**dict(row)) for row in read_all(self._port, "chain_entries", node=node, after=after, limit=limit)
        ]

    def subjects(self, after: str, limit: int) -> list[str]:
        """The ids of messages and refusals, in their order."""
        return _ids(read_all(self._port, "subjects", after=after, limit=limit))

    def evidence(self, subject: str) -> Evidence:
        """All records of the message or refusal with this id."""
        with self._port.read_one_moment() as db:
            entries = [Entry(**dict(row)) for row in db.all("entries_about", subject=subject)]
            deliveries = [rows.delivery(row) for row in db.all("deliveries", id=subject)]
            attempts = [rows.attempt(row) for row in db.all("attempts_at", id=subject)]
            return Evidence(tuple(entries), _about(db, subject), tuple(deliveries), tuple(attempts))

    def certificate(self, sha256: str) -> bytes | None:
        """A certificate of a signer, in DER."""
        row = read_one(self._port, "certificate", sha256=sha256)
        return row["der"] if row else None

    def certificates(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """The SHA-256 and the DER of the signers' certificates, in the order of SHA-256, from `after` on."""
        return [(row["sha256"], row["der"]) for row in read_all(self._port, "certificates", after=after, limit=limit)]

    # --- Retention ------------------------------------------------------------------------------------------------

    def stored(self) -> dict[str, int]:
        """The size of the stored contents in octets, by partner."""
        return {row["partner"]: row["octets"] for row in read_all(self._port, "stored_contents")}

    def prunable(self, partner: str, before: float, limit: int) -> list[tuple[str, int]]:
        """The ids and sizes of delivered messages with contents that were received before a time, the oldest first."""
        found = read_all(self._port, "prunable", partner=partner, before=before, limit=limit)
        return [(row["id"], row["contents"]) for row in found]

    def prune(self, ids: Iterable[str], reason: Reason) -> list[str]:
        """Delete the contents of delivered messages, and return the names to delete from the spool."""
        in_order = sorted(ids)  # so that two nodes agree on who is first

        def work(db: Statements) -> list[str]:
            found = db.each_one("prunable_message", [{"id": id_} for id_ in in_order])
            pruned = {id_: document_names(row) for id_, row in zip(in_order, found, strict=True) if row}
            removed = [name for names in pruned.values() for name in names]
            db.each("prune_contents", [{"id": id_} for id_ in pruned])
            db.each("prune_document", [{"name": name} for name in removed])
            enter(db, self.node, _gone(EntryKind.PRUNED, pruned, reason))
            return removed

        return self._port.write(work)

    def refused_partners(self) -> list[str]:
        """The partners that have refusals."""
        return [row["partner"] for row in read_all(self._port, "refused_partners")]

    def forgettable(self, partner: str, before: float, limit: int) -> list[str]:
        """The ids of refusals from before a time that have no MDN to deliver, the oldest first."""
        return _ids(read_all(self._port, "forgettable", partner=partner, before=before, limit=limit))

    def forget(self, ids: Iterable[str], reason: Reason) -> int:
        """Erase refusals that have no MDN to deliver, with their deliveries, and return their number."""
        in_order = sorted(ids)  # so that two nodes agree on who is first

        def work(db: Statements) -> int:
            found = db.each_one("forgettable_refusal", [{"id": id_} for id_ in in_order])
            return self._erase(db, [row["id"] for row in found if row], reason)

        return self._port.write(work)

    # --- Privacy --------------------------------------------------------------------------------------------------

    def erase(self, partner: str, reason: Reason, limit: int, *, undelivered: bool = False) -> tuple[int, list[str]]:
        """Erase up to `limit` records of a partner; return their number, and the names to delete from the spool.

        Raises DeliveriesOpen if a delivery is open; with `undelivered`, failed deliveries do not count as open.
        """

        def work(db: Statements) -> tuple[int, list[str]]:
            # Locked first, then counted: what another node promises meanwhile is either counted or not erased.
            messages = db.all("messages_to_erase", partner=partner, limit=limit)
            refusals = db.all("refusals_to_erase", partner=partner, limit=limit)
            allowed = DeliveryState.FAILED if undelivered else DeliveryState.DELIVERED
            [found] = db.all("open_deliveries", partner=partner, allowed=allowed)
            if found["count"]:
                raise DeliveriesOpen(f"{found['count']} deliveries of {partner} are not delivered")
            names = [name for row in messages for name in document_names(row)]
            return self._erase(db, _ids([*messages, *refusals]), reason, names), names

        return self._port.write(work)

    def _erase(self, db: Statements, ids: Sequence[str], reason: Reason, documents: Iterable[str] = ()) -> int:
        """Erase records with everything that belongs to them; return their number."""
        db.delete_securely()
        db.each("prune_document", [{"name": name} for name in documents])
        for query in _ERASE:
            db.each(query, [{"id": id_} for id_ in ids])
        enter(db, self.node, _gone(EntryKind.ERASED, ids, reason))
        return len(ids)


def _ids(found: Iterable[Row]) -> list[str]:
    return [row["id"] for row in found]


def _head(db: Statements, node: str) -> Head:
    row = db.one("chain_head", node=node)
    return Head(**dict(row)) if row else Head()


def _about(db: Statements, subject: str) -> Message | Refusal | None:
    if row := db.one("message", id=subject):
        return rows.message(row)
    row = db.one("refusal", id=subject)
    return rows.refusal(row) if row else None


def _gone(kind: EntryKind, subjects: Iterable[str], reason: Reason) -> list[Note]:
    return [Note(kind, each, reason.at, {"by": reason.by, "why": reason.why}) for each in subjects]
