"""What can be done with a journal and with the hash chain beside it, whatever the database."""

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
    Listed,
    Message,
    Reason,
    Refusal,
    StoredMDN,
)
from mtlsd.journal.notices import NoticeStanding
from mtlsd.journal.proof.chain import Entry, Head, Note


class Proof(Protocol):
    """The hash chain of this node beside the journal. Every method is one transaction, as those of `Journal` are.

    What `Journal` writes is entered by itself, in the same transaction.
    """

    node: str

    def enter(self, notes: Iterable[Note]) -> None:
        """Enter what was done and is no row of the journal."""

    def nodes(self) -> list[str]:
        """The nodes that have a chain here."""

    def head(self, node: str) -> Head:
        """Where a chain stands."""

    def entries(self, node: str, after: int, limit: int) -> list[Entry]:
        """The entries behind a number, in their order."""

    def subjects(self, after: str, limit: int) -> list[str]:
        """The ids of messages and refusals, in their order."""

    def evidence(self, subject: str) -> Evidence:
        """Everything about a message or a refusal of this id."""

    def certificate(self, sha256: str) -> bytes | None:
        """A certificate of a signer, in DER."""

    def certificates(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """The certificates of signers behind a SHA-256, in its order, with what is kept under it."""

    def stored(self) -> dict[str, int]:
        """The octets of contents that are here, by partner."""

    def prunable(self, partner: str, before: float, limit: int) -> list[tuple[str, int]]:
        """Messages that came earlier, are delivered and still have contents: their ids and octets, the oldest first."""

    def prune(self, ids: Iterable[str], reason: Reason) -> list[str]:
        """Let the contents of delivered messages go, and return the names that are to be removed from the spool."""

    def refused_partners(self) -> list[str]:
        """The partners of whom there are refusals."""

    def forgettable(self, partner: str, before: float, limit: int) -> list[str]:
        """The ids of refusals that were made earlier and have no MDN to be sent still, the oldest first."""

    def forget(self, ids: Iterable[str], reason: Reason) -> int:
        """Erase refusals that have no MDN to be sent still, with their deliveries, and return how many there were."""

    def refusals(self, partner: str, after: str, limit: int) -> list[Refusal]:
        """The refusals of a partner, the oldest first; `after` is the id at which the page before ended."""

    def open_deliveries(self, partner: str) -> int:
        """How many deliveries of a partner are not delivered."""

    def erase(self, partner: str, reason: Reason, limit: int, *, undelivered: bool = False) -> tuple[int, list[str]]:
        """Erase up to so many records of a partner: how many there were, and the names to remove from the spool.

        Raises DeliveriesOpen where something is still to be delivered; with `undelivered` what has failed goes, too.
        """


class Journal(Protocol):
    """What we promised. Every method is one transaction, and safe to call from any thread.

    Every method may raise `JournalUnavailable`; those that write may raise `SpoolFull`.
    """

    def accept(self, acceptances: Iterable[Acceptance], refusals: Iterable[Refusal] = ()) -> list[Message]:
        """Write messages with all that belongs to them, and return for each the message that holds its key.

        Refusals whose MDN is in the answer are written beside them.

        The key is AS2-From, AS2-To and Message-ID. Where an earlier message holds it, that one is returned
        and nothing of the later one is written: compare ids. It is one commit; after the return it is durable.
        After CommitUnclear it may be durable or not, and once a later commit has succeeded `is_settled` says whether
        that is decided; after any other error nothing of it is.
        """

    def is_settled(self) -> bool:
        """Whether `message` knows by now what became of each commit of ours that failed with CommitUnclear."""

    def promise(self, delivery: Delivery, refusal: Refusal | None = None) -> None:
        """Write one more delivery, with the refusal that it is about, or of a message that is here already.

        Where a delivery of this kind of the same message to the same target is still to be made, that one is the
        promise, and none is added.
        """

    def answer(self, message: Message, mdn: StoredMDN, now: float) -> Message:
        """Give a message that has no MDN this one; return it with the MDN that it has, which may be an earlier one."""

    def document(self, name: str) -> bytes | None:
        """Return a document that `accept` wrote."""

    def find(self, as2_from: str, as2_to: str, message_id: str) -> Message | None:
        """Return the message that holds this key."""

    def message(self, id_or_message_id: str) -> Message | None:
        """Return the message with this id of ours, or else the newest with this Message-ID."""

    def refusal(self, id_or_message_id: str) -> Refusal | None:
        """Return the refusal with this id of ours, or else the newest with this Message-ID."""

    def named(self, message_id: str, limit: int) -> list[Message | Refusal]:
        """Return up to so many messages with this Message-ID, the newest first, and then as many refusals.

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
    ) -> list[Listed]:
        """List the newest first; `before` is the id of ours at which the page before ended.

        `state` is that of the delivery to the backend, `reason` the last one of any delivery. `since <= received_at
        < until` is compared message by message: ids beyond which there is none, `after` and `before`, keep that short.
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
        """List the recorded refusals as `messages` lists messages; `reason` is why the message was refused."""

    def claim(
        self, owner: str, now: float, lease: float, limit: int, room: Mapping[Lane, int] = NO_LANES
    ) -> list[Claimed]:
        """Claim what is due, or was claimed and its lease is over, for `lease` seconds, oldest first.

        `room` says of lanes how many may be claimed; of others it is `limit`, in an ordered lane always one.
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
        """Write an attempt and what follows from it; raises `LeaseLost` or `TransitionRefused`.

        `not_before` is for PENDING only. `pinned` is the target that may have taken the delivery. An owner whose lease
        is over may still record, as long as nobody has claimed the delivery since.
        """

    def take_back(self, owner: str, now: float) -> int:
        """End the leases of this owner's earlier life, and return how many there were."""

    def hasten(self, latest: float) -> int:
        """Let no pending delivery wait beyond this time, and return how many did: for a clock that jumped back."""

    def requeue(self, delivery_id: str, now: float, *, unpin: bool = False) -> None:
        """Make a delivery due that is FAILED or PENDING; raises `TransitionRefused`.

        With `unpin` any of its targets may get it.
        """

    def drop(self, delivery_id: str, now: float) -> None:
        """Give a delivery up that is PENDING or FAILED; raises `TransitionRefused`."""

    def next_due(self, now: float, room: Mapping[Lane, int] = NO_LANES) -> float | None:
        """Return when the next delivery can be claimed, never earlier than `now`: if it is `now`, `claim` has some.

        Lanes with no `room` do not count.
        """

    def deliveries(self, id: str) -> list[Delivery]:  # noqa: A002  # the field's name
        """List the deliveries of a message or a refusal, by our id of it."""

    def ahead(self, delivery: Delivery) -> Delivery | None:
        """Return what this delivery waits for: the first of its lane, where that keeps the order."""

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """List the recorded attempts at a delivery, oldest first."""

    def counts(self) -> dict[DeliveryState, int]:
        """Count the deliveries by state; every state is there."""

    def backlog(self) -> list[Backlog]:
        """Count what is not delivered, by kind and state; the effort is that of the backlog, not of the journal."""

    def claim_notice(self, certificate: str, days: int, now: float) -> NoticeStanding:
        """Claim a notice that a certificate (sha256) expires in so many days, unless it was given or is claimed."""

    def give_notices(self, given: Iterable[tuple[str, int]], now: float) -> None:
        """Record that notices were given, each by the sha256 of its certificate and the days."""

    def probe(self) -> None:
        """Make a durable write that means nothing, as `accept` would; raises where that could not."""

    def spool_names(self) -> Iterator[str]:
        """Yield every spool name that a message refers to; no lock is held between two names."""

    @property
    def proof(self) -> Proof:
        """The chain of what was done, and what of it may go."""

    def close(self) -> None:
        """Close the database; using the journal after that is a bug."""
