"""The journal's words: what a message, a delivery and an attempt are, and what a journal can do.

All times are seconds of the epoch. All ids of ours are text that sorts by age.

The life of a delivery is `TRANSITIONS`. Delivery is at least once: what is claimed and never recorded
becomes due again when its lease is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mtlsd.errors import MtlsdError
from mtlsd.journal.proof.chain import Entry

HeaderPairs = tuple[tuple[str, str], ...]


class LeaseLost(MtlsdError):
    """The delivery is not, or no longer, claimed by this owner."""


class TransitionRefused(MtlsdError):
    """The life cycle of a delivery has no such step."""


class DeliveryKind(StrEnum):
    """What a delivery carries, and so to whom."""

    BACKEND = "backend"  # the document, to the route's backend
    MESSAGE = "message"  # the AS2 message as it came, to the route's backend
    MDN = "mdn"  # the receipt, to where the partner asked for it


class DeliveryState(StrEnum):
    """Where a delivery stands."""

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
                DeliveryState.DELIVERED,  # ok
                DeliveryState.PENDING,  # retryable, or the lease is over
                DeliveryState.FAILED,  # permanent, or too old
            }
        ),
        DeliveryState.DELIVERED: frozenset(),
        DeliveryState.FAILED: frozenset({DeliveryState.PENDING, DeliveryState.DROPPED}),  # an operator
        DeliveryState.DROPPED: frozenset(),
    }
)


def transition(current: DeliveryState, following: DeliveryState) -> DeliveryState:
    """Return the following state, or raise `TransitionRefused` where the table lacks the step."""
    if following not in TRANSITIONS[current]:
        raise TransitionRefused(f"a delivery that is {current} cannot become {following}")
    return following


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMDN:
    """A receipt as it is sent, so that a duplicate, or a second attempt, gets the same bytes."""

    headers: HeaderPairs
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A verified message that we accepted.

    `message_id` is exactly as received. `size` is the payload's, in bytes, and `original_size` the body's; `payload`
    and `original` are names in the spool; `headers` are those of the AS2 request as received; `client_certificates` are
    those that the backend is shown: the client's, then those above it, each in DER; `mic` is base64. A message that we
    hold no key for has no payload and no MIC. `notes` are sentences for auditors: what could not be checked, and what
    was odd. Text holds no lone surrogates, because it is stored as UTF-8.

    For proof: `signed` and `signature` name the signed entity and the SignedData, where they are kept; `form` is how
    the entity was taken for hashing; `digests` are SHA-256 of the documents by suffix, kept or not; `configuration` is
    the version that was in force. `salt` is in every digest that the chain has of this message. `contents` are the
    octets of its documents that are here; none are once they were pruned.
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
    """A message of a known sender that was refused. It holds no key: the message may come again.

    `message_id` is exactly as received; `refused_at` is when. Where none was asked for there is no MDN.
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

    In an ordered lane each of them waits for those before it, and for an operator if one of those has FAILED.
    """

    name: str
    ordered: bool = False


NO_LANES: Mapping[Lane, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A promise to deliver something: a message, its MDN, or the MDN of a refusal.

    `targets` are URLs, of which one is to take it; `pinned` is the one of them that may have taken it already, so that
    no other may get it. `message_id` and `refusal_id` are ids of ours, and there is one of them. `attempts` counts
    claims, so an attempt that a crash cut off counts too.
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
    """What is accepted together: a message, its deliveries, its small documents by name, and attempts made already.

    `certificates` are those of its signer, DER by SHA-256.
    """

    message: Message
    deliveries: tuple[Delivery, ...]
    documents: Mapping[str, bytes] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    certificates: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Promise:
    """What must be on disk before an answer is sent: an acceptance, or else a refusal, an MDN to deliver, or both.

    The delivery brings the MDN of that refusal or, without one, of a message that is here already.
    """

    acceptance: Acceptance | None = None
    refusal: Refusal | None = None
    delivery: Delivery | None = None


NO_PROMISE = Promise()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until its lease is over, and what it is about."""

    delivery: Delivery
    about: Message | Refusal


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """A message and the state of its delivery to the backend, where it has one."""

    message: Message
    state: DeliveryState | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many deliveries of one kind stand in one state, and when the oldest of them was promised."""

    kind: DeliveryKind
    state: DeliveryState
    count: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the journal has about one message or refusal, read at one moment; `entries` in the order of writing."""

    entries: tuple[Entry, ...]
    about: Message | Refusal | None
    deliveries: tuple[Delivery, ...] = ()
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Who lets something go, why, and when."""

    by: str
    why: str
    at: float


class DeliveriesOpen(MtlsdError):
    """What is to be erased is still to be delivered."""
