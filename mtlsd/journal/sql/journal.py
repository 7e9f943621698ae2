"""The journal in any SQL database: the queries of each method, in one transaction.

The database is a `Port`; the queries are in the `.sql` files beside this module. The parts that several methods share
are in `accept`, `lanes` and `rows`.
"""

from collections.abc import Iterable, Iterator, Mapping

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
    ListedMessage,
    Message,
    Refusal,
    StoredMDN,
)
from mtlsd.journal.notices import CLAIM_SECONDS, WRONG_CLOCK_SECONDS, NoticeStanding
from mtlsd.journal.proof import entries
from mtlsd.journal.sql import lanes, rows
from mtlsd.journal.sql.accept import accept_all, as_kept, find, is_to_be_made, promised, refuse
from mtlsd.journal.sql.port import Port, Statements
from mtlsd.journal.sql.proof import SQLProof, document_names, enter, salt_of

PAGE = 1000  # messages per read of `spool_names`


class SQLJournal:
    """`Journal` in the database behind a port; `node` is the name of the chain for new entries."""

    def __init__(self, port: Port, node: str) -> None:
        self.port = port
        self.proof = SQLProof(port, node)
        self._read = port.read
        self._write = port.write

    def accept(self, acceptances: Iterable[Acceptance], refusals: Iterable[Refusal] = ()) -> list[Message]:
        given = tuple(acceptances)
        kept = [as_kept(self.port, each) for each in given]
        refused = [self.port.as_kept(each) for each in refusals]
        held = self.port.accept(lambda db: accept_all(db, self.proof.node, kept, refused))
        triples = zip(given, kept, held, strict=True)
        return [each.message if holder is its.message else holder for each, its, holder in triples]

    def is_settled(self) -> bool:
        return self.port.is_settled()

    def promise(self, delivery: Delivery, refusal: Refusal | None = None) -> None:
        refused = [self.port.as_kept(refusal)] if refusal else []

        def work(db: Statements) -> None:
            if not refused and is_to_be_made(db, delivery):
                return
            notes = refuse(db, refused, delivery) or [promised(db, delivery)]
            db.each("accept_delivery", [rows.delivery_values(delivery)])
            enter(db, self.proof.node, notes)

        self._write(work)

    def answer(self, message: Message, mdn: StoredMDN, now: float) -> Message:
        headers, body = rows.mdn_values(mdn)

        def work(db: Statements) -> Message:
            if db.change("answer_message", id=message.id, headers=headers, body=body):
                enter(db, self.proof.node, [entries.answered(message.id, message.salt, mdn, now)])
            row = db.one("message", id=message.id)
            assert row, "only an operator erases a message"
            return rows.message(row)

        return self._write(work)

    # --- Reading ----------------------------------------------------------------------------------------------------

    def document(self, name: str) -> bytes | None:
        with self._read() as db:
            row = db.one("document", name=name)
        return row["data"] if row else None

    def find(self, as2_from: str, as2_to: str, message_id: str) -> Message | None:
        with self._read() as db:
            return find(db, as2_from, as2_to, message_id)

    def message(self, id_or_message_id: str) -> Message | None:
        with self._read() as db:
            row = db.one("message", id=id_or_message_id)
            row = row or db.one("message_by_message_id", message_id=id_or_message_id, limit=1)
        return rows.message(row) if row else None

    def refusal(self, id_or_message_id: str) -> Refusal | None:
        with self._read() as db:
            row = db.one("refusal", id=id_or_message_id)
            row = row or db.one("refusal_by_message_id", message_id=id_or_message_id, limit=1)
        return rows.refusal(row) if row else None

    def named(self, message_id: str, limit: int) -> list[Message | Refusal]:
        with self._read() as db:
            messages = db.all("message_by_message_id", message_id=message_id, limit=limit)
            refusals = db.all("refusal_by_message_id", message_id=message_id, limit=limit)
        return [*map(rows.message, messages), *map(rows.refusal, refusals)]

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
    ) -> list[ListedMessage]:
        wanted = {"limit": limit, "partner": partner, "state": state, "reason": reason}
        between = {"since": since, "until": until, "after": after, "before": before or None}
        with self._read() as db:
            found = db.all(rows.list_query(partner, state, reason), **wanted, **between)
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
        wanted = {"limit": limit, "partner": partner, "reason": reason}
        between = {"since": since, "until": until, "after": after, "before": before or None}
        with self._read() as db:
            found = db.all("list_refusals", **wanted, **between)
        return [rows.refusal(row) for row in found]

    def deliveries(self, id: str) -> list[Delivery]:  # noqa: A002  # the field's name
        with self._read() as db:
            return [rows.delivery(row) for row in db.all("deliveries", id=id)]

    def attempts(self, delivery_id: str) -> list[Attempt]:
        with self._read() as db:
            return _attempts(db, delivery_id)

    def counts(self) -> dict[DeliveryState, int]:
        with self._read() as db:
            counted = {row["state"]: row["count"] for row in db.all("counts")}
        return {state: counted.get(state, 0) for state in DeliveryState}

    def backlog(self) -> list[Backlog]:
        with self._read() as db:
            return [
                Backlog(DeliveryKind(row["kind"]), DeliveryState(row["state"]), row["count"], row["oldest"])
                for row in db.all("backlog")
            ]

    # --- The life of a delivery -------------------------------------------------------------------------------------

    def claim(
        self, owner: str, now: float, lease: float, limit: int, room: Mapping[Lane, int] = NO_LANES
    ) -> list[Claimed]:
        def work(db: Statements) -> list[Claimed]:
            due = lanes.due(db, now, limit, room)
            return lanes.claim(db, [rows.leased(each, owner, now + lease) for each in due])

        return self._write(work)

    def renew(self, delivery_id: str, owner: str, until: float) -> None:
        if not self._write(lambda db: db.change("renew_lease", id=delivery_id, owner=owner, until=until)):
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

        def work(db: Statements) -> None:
            delivery = rows.held(_lock(db, attempt.delivery_id), attempt, owner, state)
            db.each("record_attempt", [rows.attempt_values(attempt)])
            db.change("record_outcome", **outcome)
            if state is not DeliveryState.PENDING:
                subject, made = rows.subject(delivery), _attempts(db, delivery.id)
                note = entries.outcome(subject, salt_of(db, subject), attempt, state, now, made)
                enter(db, self.proof.node, [note])

        self._write(work)

    def take_back(self, owner: str, now: float) -> int:
        return self._write(lambda db: db.change("take_back_leases", owner=owner, now=now))

    def hasten(self, latest: float) -> int:
        return self._write(lambda db: db.change("hasten_deliveries", latest=latest))

    def requeue(self, delivery_id: str, now: float, *, unpin: bool = False) -> None:
        def work(db: Statements) -> None:
            delivery = rows.to_requeue(_lock(db, delivery_id), delivery_id)
            db.change("requeue_delivery", id=delivery_id, now=now, unpin=unpin)
            enter(db, self.proof.node, [entries.replayed(rows.subject(delivery), delivery_id, now)])

        self._write(work)

    def drop(self, delivery_id: str, now: float) -> None:
        def work(db: Statements) -> None:
            delivery = rows.for_operators(_lock(db, delivery_id), delivery_id, DeliveryState.DROPPED)
            db.change("drop_delivery", id=delivery_id, now=now)
            subject, made = rows.subject(delivery), _attempts(db, delivery_id)
            enter(db, self.proof.node, [entries.dropped(subject, salt_of(db, subject), delivery_id, now, made)])

        self._write(work)

    def next_due(self, now: float, room: Mapping[Lane, int] = NO_LANES) -> float | None:
        with self._read() as db:
            return min((max(each, now) for each in lanes.next_due(db, room)), default=None)

    def ahead(self, delivery: Delivery) -> Delivery | None:
        if not delivery.lane.ordered:
            return None
        with self._read() as db:
            first = lanes.first(db, delivery.lane)
        return first if first and first.id < delivery.id else None

    # --- Notices of expiry ------------------------------------------------------------------------------------------

    def claim_notice(self, certificate: str, days: int, now: float) -> NoticeStanding:
        latest, until = now + WRONG_CLOCK_SECONDS, now + CLAIM_SECONDS
        asked = {"certificate": certificate, "days": days, "latest": latest}

        def work(db: Statements) -> NoticeStanding:
            if db.one("notice_given", **asked):
                return NoticeStanding.GIVEN
            if db.change("claim_notice", **asked, node=self.proof.node, until=until, now=now):
                return NoticeStanding.OURS
            if db.one("notice_given", **asked):  # between the two statements
                return NoticeStanding.GIVEN
            row = db.one("notice_claimed", certificate=certificate, days=days)
            assert row, "a claim fails only if the row exists"
            return NoticeStanding.OURS if row["claimed_by"] == self.proof.node else NoticeStanding.THEIRS

        return self._write(work)

    def give_notices(self, given: Iterable[tuple[str, int]], now: float) -> None:
        many = [(now, certificate, days) for certificate, days in sorted(given)]
        self._write(lambda db: db.each("give_notice", many))

    # --- The database -----------------------------------------------------------------------------------------------

    def probe(self) -> None:
        self.port.probe()

    def spool_names(self) -> Iterator[str]:
        self.port.wait_for_earlier_life()
        after = ""
        while page := self._spool_page(after):
            for row in page:
                yield from document_names(row) if row["contents"] else ()
            after = page[-1]["id"]

    def close(self) -> None:
        self.port.close()

    def _spool_page(self, after: str) -> list[rows.Row]:
        with self._read() as db:
            return [*db.all("spool_names", after=after, limit=PAGE)]


def _lock(db: Statements, delivery_id: str) -> Delivery | None:
    """The delivery, locked until the commit."""
    row = db.one("lock_delivery", id=delivery_id)
    return rows.delivery(row) if row else None


def _attempts(db: Statements, delivery_id: str) -> list[Attempt]:
    return [rows.attempt(row) for row in db.all("attempts", delivery_id=delivery_id)]
