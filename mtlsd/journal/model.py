"""The records of the journal: messages, refusals, deliveries and attempts.

All times are seconds of the epoch. All ids of ours are text that sorts by age.

`TRANSITIONS` is the life cycle of a delivery. Delivery is at least once: a delivery that was claimed, but whose attempt
was never recorded, becomes due again when its lease expires.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mtlsd.errors import MtlsdError
from mtlsd.journal.proof.chain import Entry

HeaderPairs = tuple[tuple[str, str], ...]


class LeaseLost(MtlsdError):
    """This owner has no claim on the delivery, or no longer."""


class TransitionRefused(MtlsdError):
    """The life cycle of a delivery has no such step."""


class DeliveryKind(StrEnum):
    """The content of a delivery, which also decides about its target."""

    BACKEND = "backend"  # the document, to the route's backend
    MESSAGE = "message"  # the AS2 message as received, to the route's backend
    MDN = "mdn"  # the receipt, to the URL that the partner requested


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        DeliveryState.PENDING: frozenset({DeliveryState.CLAIMED, DeliveryState.DROPPED}),  # claim; an operator
        DeliveryState.CLAIMED: frozenset(
            {
                DeliveryState.DELIVERED,  # success
                DeliveryState.PENDING,  # a temporary failure, or the lease expired
                DeliveryState.FAILED,  # a permanent failure, or too old
            }
        ),
        DeliveryState.DELIVERED: frozenset(),
        DeliveryState.FAILED: frozenset({DeliveryState.PENDING, DeliveryState.DROPPED}),  # an operator
        DeliveryState.DROPPED: frozenset(),
    }
)


def transition(current: DeliveryState, following: DeliveryState) -> DeliveryState:
    """Return the following state; raises TransitionRefused if the table does not have this step."""
    if following not in TRANSITIONS[current]:
        raise TransitionRefused(f"a delivery that is {current} cannot become {following}")
    return following


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMDN:
    """A receipt as it is sent, so that a duplicate message, or a second attempt, gets the same bytes."""

    headers: HeaderPairs
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A verified message that we accepted.

    `message_id` is exactly as received. `size` is the size of the payload in bytes, and `original_size` that of the
    body. `payload` and `original` are the names of documents. `headers` are those of the AS2 request as received.
    `client_certificates` are for the backend: the client's certificate, then its issuers, each in DER. `mic` is base64.
    A message for which we have no key has no payload and no MIC. `notes` are sentences for auditors, about checks that
    were not possible and about irregularities. No text has lone surrogates, because text is stored as UTF-8.

    For proof: `signed` and `signature` name the signed entity and the SignedData, if they are kept. `form` is the form
    of the entity that was hashed. `digests` are the SHA-256 of all documents by suffix, also of documents that are not
    kept. `configuration` is the version of the configuration that was in force. `salt` is part of every digest of this
    message in the chain. `contents` is the size of the stored documents; 0 after they were pruned.
    """

    id: str
    as2_from: str
    as2_to: str
    message_id: str
    partner: str
    host: str
    route: str
    received_at: float
    content_type: str
    size: int
    payload: str | None
    original: str
    original_size: int
    headers: HeaderPairs
    request_id: str
    client_certificates: tuple[bytes, ...] = ()
    notes: tuple[str, ...] = ()
    compressed: bool = False
    subject: str | None = None
    filename: str | None = None
    mic: str | None = None
    mic_algorithm: str | None = None
    signer_sha256: str | None = None
    encrypted_with: str | None = None
    signed: str | None = None
    signature: str | None = None
    form: str | None = None
    configuration: str = ""
    salt: str = ""
    contents: int = 0
    digests: tuple[tuple[str, str], ...] = ()
    mdn: StoredMDN | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refused message of a known sender. It does not occupy the message's key, so the message may be sent again.

    `message_id` is exactly as received. There is no MDN if none was requested.
    """

    id: str
    as2_from: str
    as2_to: str
    message_id: str
    partner: str
    host: str
    refused_at: float
    reason: str
    request_id: str
    mdn: StoredMDN | None
    configuration: str = ""
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """Deliveries that share a limit.

    In an ordered lane each delivery waits for all earlier deliveries, and for an operator if one of them is FAILED.
    """

    name: str
    ordered: bool = False


NO_LANES: Mapping[Lane, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A promise to deliver something: a message, its MDN, or the MDN of a refusal.

    `targets` are URLs, one of which shall accept the delivery. `pinned` is the target that may already have accepted
    it, so that no other target may get it. Either `message_id` or `refusal_id`, an id of ours, is set. `attempts`
    counts claims, so it includes attempts that a crash interrupted.
    """

    id: str
    targets: tuple[str, ...]
    not_before: float
    created_at: float
    lane: Lane = Lane("")
    pinned: str | None = None
    message_id: str | None = None
    refusal_id: str | None = None
    kind: DeliveryKind = DeliveryKind.BACKEND
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    lease_owner: str | None = None
    lease_until: float | None = None
    finished_at: float | None = None
    last_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a delivery; `number` is `Delivery.attempts` as claimed, `status` an HTTP status, `target` a URL."""

    delivery_id: str
    number: int
    started_at: float
    finished_at: float
    status: int | None = None
    reason: str | None = None
    detail: str = ""
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A message to accept, with its deliveries, its small documents by name, and the attempts that were already made.

    `certificates` are the certificates of its signer, in DER, by SHA-256.
    """

    message: Message
    deliveries: tuple[Delivery, ...]
    documents: Mapping[str, bytes] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    certificates: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Promise:
    """The records that must be on disk before an answer is sent: an acceptance; or a refusal, a delivery, or both.

    The delivery sends the MDN of the refusal or, without a refusal, the MDN of a message that is already stored.
    """

    acceptance: Acceptance | None = None
    refusal: Refusal | None = None
    delivery: Delivery | None = None


NO_PROMISE = Promise()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until its lease expires, and its message or refusal."""

    delivery: Delivery
    about: Message | Refusal


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """A message, and of its newest delivery to the backend the state and the reason of the last failed attempt."""

    message: Message
    state: DeliveryState | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of deliveries of one kind in one state, and the time when the oldest of them was promised."""

    kind: DeliveryKind
    state: DeliveryState
    count: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All records of one message or refusal, read at one moment; `entries` are in the order of writing."""

    entries: tuple[Entry, ...]
    about: Message | Refusal | None
    deliveries: tuple[Delivery, ...] = ()
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """The author, the reason and the time of a deletion."""

    by: str
    why: str
    at: float


class DeliveriesOpen(MtlsdError):
    """A record cannot be erased, because it has an open delivery."""
