"""The methods of a journal and of its hash chain, for every database."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from mtlsd.journal.model import (
    NO_LANES,
    Acceptance,
    Attempt,
    Backlog,
    Claimed,
    Delivery,
    DeliveryState,
    Evidence,
    Lane,
    ListedMessage,
    Message,
    Reason,
    Refusal,
    StoredMDN,
)
from mtlsd.journal.notices import NoticeStanding
from mtlsd.journal.proof.chain import Entry, Head, Note


class Proof(Protocol):
    """The hash chain of this node, and the deletion of records. Every method is one transaction.

    The methods of `Journal` enter what they write themselves, in the same transaction.
    """

    node: str

    def enter(self, notes: Iterable[Note]) -> None:
        """Enter events that have no row in the journal."""

    def nodes(self) -> list[str]:
        """The nodes that have a chain in this journal."""

    def head(self, node: str) -> Head:
        """The head of a chain."""

    def entries(self, node: str, after: int, limit: int) -> list[Entry]:
        """The entries after a number, in their order."""

    def subjects(self, after: str, limit: int) -> list[str]:
        """The ids of messages and refusals, in their order."""

    def evidence(self, subject: str) -> Evidence:
        """All records of the message or refusal with this id."""

    def certificate(self, sha256: str) -> bytes | None:
        """A certificate of a signer, in DER."""

    def certificates(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """The SHA-256 and the DER of the signers' certificates, in the order of SHA-256, from `after` on."""

    def stored(self) -> dict[str, int]:
        """The size of the stored contents in octets, by partner."""

    def prunable(self, partner: str, before: float, limit: int) -> list[tuple[str, int]]:
        """The ids and sizes of delivered messages with contents that were received before a time, the oldest first."""

    def prune(self, ids: Iterable[str], reason: Reason) -> list[str]:
        """Delete the contents of delivered messages, and return the names to delete from the spool."""

    def refused_partners(self) -> list[str]:
        """The partners that have refusals."""

    def forgettable(self, partner: str, before: float, limit: int) -> list[str]:
        """The ids of refusals from before a time that have no MDN to deliver, the oldest first."""

    def forget(self, ids: Iterable[str], reason: Reason) -> int:
        """Erase refusals that have no MDN to deliver, with their deliveries, and return their number."""

    def refusals(self, partner: str, after: str, limit: int) -> list[Refusal]:
        """The refusals of a partner, the oldest first; `after` is the last id of the previous page."""

    def open_deliveries(self, partner: str) -> int:
        """The number of deliveries of a partner that are not delivered."""

    def erase(self, partner: str, reason: Reason, limit: int, *, undelivered: bool = False) -> tuple[int, list[str]]:
        """Erase up to `limit` records of a partner; return their number, and the names to delete from the spool.

        Raises DeliveriesOpen if a delivery is open; with `undelivered`, failed deliveries do not count as open.
        """


class Journal(Protocol):
    """The records of our promises. Every method is one transaction, and safe to call from any thread.

    Every method may raise `JournalUnavailable`; methods that write may raise `SpoolFull`.
    """

    def accept(self, acceptances: Iterable[Acceptance], refusals: Iterable[Refusal] = ()) -> list[Message]:
        """Write messages with all their records, and return for each the message that holds its key.

        `refusals` are written in the same commit.

        The key is AS2-From, AS2-To and Message-ID. If an earlier message holds the key, the earlier message is returned
        and nothing of the later message is written: compare ids. Everything is one commit, and durable on return. After
        CommitUnclear it may be durable or not; once a later commit has succeeded, `is_settled` returns whether that is
        decided. After any other error nothing is written.
        """

    def is_settled(self) -> bool:
        """Whether every commit of ours that failed with CommitUnclear is now either made or not."""

    def promise(self, delivery: Delivery, refusal: Refusal | None = None) -> None:
        """Write another delivery, for this refusal, which is also written, or for a stored message.

        If the message already has an open delivery of the same kind to the same target, no delivery is added.
        """

    def answer(self, message: Message, mdn: StoredMDN, now: float) -> Message:
        """Add the MDN to a message without MDN; return the message with its MDN, which may be an earlier MDN."""

    def document(self, name: str) -> bytes | None:
        """Return a document that `accept` wrote."""

    def find(self, as2_from: str, as2_to: str, message_id: str) -> Message | None:
        """Return the message that holds this key."""

    def message(self, id_or_message_id: str) -> Message | None:
        """Return the message with this id of ours, or else the newest message with this Message-ID."""

    def refusal(self, id_or_message_id: str) -> Refusal | None:
        """Return the refusal with this id of ours, or else the newest refusal with this Message-ID."""

    def named(self, message_id: str, limit: int) -> list[Message | Refusal]:
        """Return up to `limit` messages with this Message-ID, the newest first, and then up to `limit` refusals.

        Two partners may use one Message-ID, and one partner may use it in several messages that are refused.
        """

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
        """List messages, the newest first; `before` is the last id of the previous page.

        `state` is the state of the delivery to the backend, `reason` the last reason of any delivery. `since <=
        received_at < until` is compared for each message; the ids `after` and `before` limit the number of messages.
        """

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
        """List the refusals, like `messages`; `reason` is the reason of the refusal."""

    def claim(
        self, owner: str, now: float, lease: float, limit: int, room: Mapping[Lane, int] = NO_LANES
    ) -> list[Claimed]:
        """Claim deliveries that are due, or whose lease expired, for `lease` seconds, the oldest first.

        `room` has the limit of each lane; other lanes have `limit`. In an ordered lane only one can be claimed.
        """

    def renew(self, delivery_id: str, owner: str, until: float) -> None:
        """Move the end of a lease; raises `LeaseLost`."""

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

    def take_back(self, owner: str, now: float) -> int:
        """End the leases of an earlier process of this owner, and return their number."""

    def hasten(self, latest: float) -> int:
        """Make pending deliveries due at this time at the latest, and return their number: for a clock set back."""

    def requeue(self, delivery_id: str, now: float, *, unpin: bool = False) -> None:
        """Make a FAILED or PENDING delivery due; raises `TransitionRefused`.

        With `unpin`, any of its targets may get the delivery.
        """

    def drop(self, delivery_id: str, now: float) -> None:
        """Give up a PENDING or FAILED delivery; raises `TransitionRefused`."""

    def next_due(self, now: float, room: Mapping[Lane, int] = NO_LANES) -> float | None:
        """Return the time when the next delivery can be claimed; `now` if one can be claimed already.

        Lanes without `room` do not count.
        """

    def deliveries(self, id: str) -> list[Delivery]:  # noqa: A002  # the field's name
        """List the deliveries of the message or refusal with this id of ours."""

    def ahead(self, delivery: Delivery) -> Delivery | None:
        """Return the delivery that this delivery waits for, which is the first of an ordered lane."""

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """List the recorded attempts at a delivery, oldest first."""

    def counts(self) -> dict[DeliveryState, int]:
        """Count the deliveries by state; the result has every state."""

    def backlog(self) -> list[Backlog]:
        """Count the open deliveries by kind and state; the effort depends on the backlog, not on the whole journal."""

    def claim_notice(self, certificate: str, days: int, now: float) -> NoticeStanding:
        """Claim the notice that a certificate (sha256) expires in so many days, unless it was given or is claimed."""

    def give_notices(self, given: Iterable[tuple[str, int]], now: float) -> None:
        """Record that notices were given, each named by the sha256 of its certificate and the days."""

    def probe(self) -> None:
        """Make a durable write without effect, as a test; raises if `accept` would fail."""

    def spool_names(self) -> Iterator[str]:
        """Yield every document name that a message refers to; no lock is held between two names."""

    @property
    def proof(self) -> Proof:
        """The hash chain."""

    def close(self) -> None:
        """Close the database; using the journal after that is a bug."""
