"""The journal in any SQL database: the queries of each method, in one transaction.

The database is a `Port`; the queries are in the `.sql` files beside this module. The parts that several methods share
are in `accept`, `lanes` and `rows`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict, Unpack

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
    TransitionRefused,
)
from mtlsd.journal.notices import CLAIM_SECONDS, WRONG_CLOCK_SECONDS, NoticeStanding
from mtlsd.journal.proof import entries
from mtlsd.journal.search import Search
from mtlsd.journal.sql import lanes, rows
from mtlsd.journal.sql.accept import accept_all, as_kept, find, is_to_be_made, promised, refuse
from mtlsd.journal.sql.port import Port, Statements, read_all, read_one
from mtlsd.journal.sql.proof import Proof, document_names, enter, salt_of

PAGE = 1000  # messages per read of `spool_names`
FEW = 1000  # messages that a search finds by an index and sorts; if there are more, a page is soon full without it


class Filter(TypedDict, total=False):
    """The messages or refusals to list; `after` and `before` are ids of ours."""

    partner: str | None
    reason: str | None
    since: float | None
    until: float | None
    after: str | None
    before: str | None


_EVERYTHING: dict[str, None] = dict.fromkeys(Filter.__optional_keys__)


class Journal:
    """The records of our promises, in the database behind a port; `node` is the name of the chain for new entries.

    Every method is one transaction, and safe to call from any thread. Every method may raise `JournalUnavailable`;
    methods that write may raise `SpoolFull`. What is written is entered in the chain in the same transaction.
    """

    def __init__(self, port: Port, node: str) -> None:
        self.port = port
        self.proof = Proof(port, node)
        self._write = port.write

    def accept(self, acceptances: Iterable[Acceptance], refusals: Iterable[Refusal] = ()) -> list[Message]:
        """Write messages with all their records, and return for each the message that holds its key.

        `refusals` are written in the same commit.

        The key is AS2-From, AS2-To and Message-ID. If an earlier message holds the key, the earlier message is returned
        and nothing of the later message is written: compare ids. Everything is one commit, and durable on return. After
        CommitUnclear it may be durable or not; once a later commit has succeeded, `is_settled` returns whether that is
        decided. After any other error nothing is written.
        """
        given = tuple(acceptances)
        kept = [as_kept(self.port, each) for each in given]
        refused = [self.port.as_kept(each) for each in refusals]
        held = self.port.accept(lambda db: accept_all(db, self.proof.node, kept, refused))
        triples = zip(given, kept, held, strict=True)
        return [each.message if holder is its.message else holder for each, its, holder in triples]

    def is_settled(self) -> bool:
        """Whether every commit of ours that failed with CommitUnclear is now either made or not."""
        return self.port.is_settled()

    def promise(self, delivery: Delivery, refusal: Refusal | None = None) -> None:
        """Write another delivery, for this refusal, which is also written, or for a stored message.

        If the message already has an open delivery of the same kind to the same target, no delivery is added.
        """
        refused = [self.port.as_kept(refusal)] if refusal else []

        def work(db: Statements) -> None:
            if not refused and is_to_be_made(db, delivery):
                return
            notes = refuse(db, refused, delivery) or [promised(db, delivery)]
            db.each("accept_delivery", [rows.delivery_values(delivery)])
            enter(db, self.proof.node, notes)

        self._write(work)

    def repeat(self, delivery: Delivery) -> None:
        """Write another delivery of a message to its backend, which was delivered; raises `TransitionRefused`.

        The contents must be stored, and no equal delivery may be open.
        """

        def work(db: Statements) -> None:
            row = db.one("lock_contents", id=delivery.message_id)
            if row is None or not row["contents"]:
                raise TransitionRefused("the contents of the message were deleted: only its record and MDN are stored")
            if is_to_be_made(db, delivery):
                raise TransitionRefused("the message is already to be delivered once more")
            db.each("accept_delivery", [rows.delivery_values(delivery)])
            enter(db, self.proof.node, [promised(db, delivery)])

        self._write(work)

    def answer(self, message: Message, mdn: StoredMDN, now: float) -> Message:
        """Add the MDN to a message without MDN; return the message with its MDN, which may be an earlier MDN."""
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
        """Return a document that `accept` wrote."""
        row = read_one(self.port, "document", name=name)
        return row["data"] if row else None

    def find(self, as2_from: str, as2_to: str, message_id: str) -> Message | None:
        """Return the message that holds this key."""
        with self.port.read() as db:
            return find(db, as2_from, as2_to, message_id)

    def message(self, id_or_message_id: str) -> Message | None:
        """Return the message with this id of ours, or else the newest message with this Message-ID."""
        with self.port.read() as db:
            row = db.one("message", id=id_or_message_id)
            row = row or db.one("message_by_message_id", message_id=id_or_message_id, limit=1)
        return rows.message(row) if row else None

    def refusal(self, id_or_message_id: str) -> Refusal | None:
        """Return the refusal with this id of ours, or else the newest refusal with this Message-ID."""
        with self.port.read() as db:
            row = db.one("refusal", id=id_or_message_id)
            row = row or db.one("refusal_by_message_id", message_id=id_or_message_id, limit=1)
        return rows.refusal(row) if row else None

    def named(self, message_id: str, limit: int) -> list[Message | Refusal]:
        """Return up to `limit` messages with this Message-ID, the newest first, and then up to `limit` refusals.

        Two partners may use one Message-ID, and one partner may use it in several messages that are refused.
        """
        with self.port.read() as db:
            messages = db.all("message_by_message_id", message_id=message_id, limit=limit)
            refusals = db.all("refusal_by_message_id", message_id=message_id, limit=limit)
        return [*map(rows.message, messages), *map(rows.refusal, refusals)]

    def messages(
        self,
        *,
        limit: int,
        state: DeliveryState | None = None,
        search: Search | None = None,
        **wanted: Unpack[Filter],
    ) -> list[ListedMessage]:
        """List messages, the newest first; `before` is the last id of the previous page.

        `state` is the state of the newest delivery to the backend, `reason` the last reason of any delivery. `since <=
        received_at < until` is compared for each message; the ids `after` and `before` limit the number of messages.
        """
        query, values = rows.list_query(wanted.get("partner"), state, wanted.get("reason")), _EVERYTHING | wanted
        with self.port.read() as db:
            if search is not None:
                query, values = f"list_messages_that_{_how(db, search)}", search.values() | values
            return [rows.listed(row) for row in db.all(query, limit=limit, state=state, **values)]

    def refusals(self, *, limit: int, search: Search | None = None, **wanted: Unpack[Filter]) -> list[Refusal]:
        """List the refusals, like `messages`; `reason` is the reason of the refusal.

        A refusal has no file name, so `search` compares the text with the Message-ID only.
        """
        query, values = "list_refusals", _EVERYTHING | wanted
        with self.port.read() as db:
            if search is not None and search.text:
                how = "begin" if search.is_indexed else "contain"  # refusals are few
                query, values = f"list_refusals_that_{how}", search.values() | values
            return [rows.refusal(row) for row in db.all(query, limit=limit, **values)]

    def deliveries(self, id: str) -> list[Delivery]:  # noqa: A002  # the field's name
        """List the deliveries of the message or refusal with this id of ours."""
        return [rows.delivery(row) for row in read_all(self.port, "deliveries", id=id)]

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """List the recorded attempts at a delivery, oldest first."""
        with self.port.read() as db:
            return _attempts(db, delivery_id)

    def counts(self) -> dict[DeliveryState, int]:
        """Count the deliveries by state; the result has every state."""
        counted = {row["state"]: row["count"] for row in read_all(self.port, "counts")}
        return {state: counted.get(state, 0) for state in DeliveryState}

    def backlog(self) -> list[Backlog]:
        """Count the open deliveries by kind and state; the effort depends on the backlog, not on the whole journal."""
        return [
            Backlog(DeliveryKind(row["kind"]), DeliveryState(row["state"]), row["count"], row["oldest"])
            for row in read_all(self.port, "backlog")
        ]

    # --- The life of a delivery -------------------------------------------------------------------------------------

    def claim(
        self, owner: str, now: float, lease: float, limit: int, room: Mapping[Lane, int] = NO_LANES
    ) -> list[Claimed]:
        """Claim deliveries that are due, or whose lease expired, for `lease` seconds, the oldest first.

        `room` has the limit of each lane; other lanes have `limit`. In an ordered lane only one can be claimed.
        """

        def work(db: Statements) -> list[Claimed]:
            due = lanes.due(db, now, limit, room)
            return lanes.claim(db, [rows.leased(each, owner, now + lease) for each in due])

        return self._write(work)

    def renew(self, delivery_id: str, owner: str, until: float) -> None:
        """Move the end of a lease; raises `LeaseLost`."""
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
        """Write an attempt and the next state of its delivery; raises `LeaseLost` or `TransitionRefused`.

        `not_before` is for PENDING only. `pinned` is the target that may have accepted the delivery. After its lease
        expired, an owner may still record as long as nobody else has claimed the delivery.
        """
        pending = state is DeliveryState.PENDING
        assert pending == (not_before is not None), "not_before goes with PENDING"
        outcome = {"state": state, "reason": attempt.reason, "not_before": not_before, "pinned": pinned}

        def work(db: Statements) -> None:
            delivery = rows.held(_lock(db, attempt.delivery_id), attempt, owner, state)
            db.each("record_attempt", [rows.attempt_values(attempt)])
            db.change("record_outcome", id=delivery.id, finished_at=None if pending else now, **outcome)
            if not pending:
                subject, made = rows.subject(delivery), _attempts(db, delivery.id)
                note = entries.outcome(subject, salt_of(db, subject), attempt, state, now, made)
                enter(db, self.proof.node, [note])

        self._write(work)

    def take_back(self, owner: str, now: float) -> int:
        """End the leases of an earlier process of this owner, and return their number."""
        return self._write(lambda db: db.change("take_back_leases", owner=owner, now=now))

    def hasten(self, latest: float) -> int:
        """Make pending deliveries due at this time at the latest, and return their number: for a clock set back."""
        return self._write(lambda db: db.change("hasten_deliveries", latest=latest))

    def requeue(self, delivery_id: str, now: float, *, unpin: bool = False) -> None:
        """Make a FAILED or PENDING delivery due; raises `TransitionRefused`.

        With `unpin`, any of its targets may get the delivery.
        """

        def work(db: Statements) -> None:
            delivery = rows.to_requeue(_lock(db, delivery_id), delivery_id)
            db.change("requeue_delivery", id=delivery_id, now=now, unpin=unpin)
            enter(db, self.proof.node, [entries.replayed(rows.subject(delivery), delivery_id, now)])

        self._write(work)

    def drop(self, delivery_id: str, now: float) -> None:
        """Give up a PENDING or FAILED delivery; raises `TransitionRefused`."""

        def work(db: Statements) -> None:
            delivery = rows.for_operators(_lock(db, delivery_id), delivery_id, DeliveryState.DROPPED)
            db.change("drop_delivery", id=delivery_id, now=now)
            subject, made = rows.subject(delivery), _attempts(db, delivery_id)
            enter(db, self.proof.node, [entries.dropped(subject, salt_of(db, subject), delivery_id, now, made)])

        self._write(work)

    def next_due(self, now: float, room: Mapping[Lane, int] = NO_LANES) -> float | None:
        """Return the time when the next delivery can be claimed; `now` if one can be claimed already.

        Lanes without `room` do not count.
        """
        with self.port.read() as db:
            return min((max(each, now) for each in lanes.next_due(db, room)), default=None)

    def ahead(self, delivery: Delivery) -> Delivery | None:
        """Return the delivery that this delivery waits for, which is the first of an ordered lane."""
        if not delivery.lane.ordered:
            return None
        with self.port.read() as db:
            first = lanes.first(db, delivery.lane)
        return first if first and first.id < delivery.id else None

    # --- Notices of expiry ------------------------------------------------------------------------------------------

    def claim_notice(self, certificate: str, days: int, now: float) -> NoticeStanding:
        """Claim the notice that a certificate (sha256) expires in so many days, unless it was given or is claimed."""
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
        """Record that notices were given, each named by the sha256 of its certificate and the days."""
        many = [(now, certificate, days) for certificate, days in sorted(given)]
        self._write(lambda db: db.each("give_notice", many))

    # --- The database -----------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Make a durable write without effect, as a test; raises if `accept` would fail."""
        self.port.probe()

    def spool_names(self) -> Iterator[str]:
        """Yield every document name that a message refers to; no lock is held between two names."""
        self.port.wait_for_earlier_life()
        after = ""
        while page := read_all(self.port, "spool_names", after=after, limit=PAGE):
            for row in page:
                yield from document_names(row) if row["contents"] else ()
            after = page[-1]["id"]

    def close(self) -> None:
        """Close the database; using the journal after that is a bug."""
        self.port.close()


def _lock(db: Statements, delivery_id: str) -> Delivery | None:
    """The delivery, locked until the commit."""
    row = db.one("lock_delivery", id=delivery_id)
    return rows.delivery(row) if row else None


def _how(db: Statements, search: Search) -> str:
    """The query for a search: by an index, or by reading the newest records until a page is full."""
    if not search.is_indexed:
        return "contain"
    row = db.one("list_breadth", **search.values(), most=FEW)
    return "begin" if row and row["count"] < FEW else "contain"


def _attempts(db: Statements, delivery_id: str) -> list[Attempt]:
    return [rows.attempt(row) for row in db.all("attempts", delivery_id=delivery_id)]
