"""Converts records to rows and rows to records, and checks the state of deliveries, alike for every database.

The `*_values` are in the order of the columns in the INSERT statements.
"""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any, Protocol

from mtlsd.journal import columns
from mtlsd.journal.model import (
    Attempt,
    Delivery,
    DeliveryKind,
    DeliveryState,
    HeaderPairs,
    LeaseLost,
    ListedMessage,
    Message,
    Refusal,
    StoredMDN,
    TransitionRefused,
    transition,
)

_encode = json.JSONEncoder(check_circular=False).encode  # nothing here has circular references
_JSON = {"headers", "notes", "digests"}
_ELSEWHERE = {"client_certificates", "mdn"}  # within the column of the header; in two columns
_NO_MDN = StoredMDN(headers=(), body=b"")  # of a refusal, whose columns are never NULL; an MDN always has headers
_PLAIN = attrgetter(*(each.name for each in fields(Message) if each.name not in {*_JSON, *_ELSEWHERE}))
_REFUSAL = attrgetter(*(each.name for each in fields(Refusal) if each.name != "mdn"))
_WHOSE = attrgetter("id", "message_id", "refusal_id", "kind")  # of a delivery; its targets and its lane follow
_STANDING = attrgetter(
    *("pinned", "state", "not_before", "attempts"),
    *("created_at", "lease_owner", "lease_until", "finished_at", "last_reason"),
)
attempt_values = attrgetter(*(each.name for each in fields(Attempt)))


class Row(Protocol):
    """The columns of a row by name: what `dict` takes."""

    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, column: str, /) -> Any: ...  # whatever the column holds


def message_values(message: Message) -> tuple[object, ...]:
    texts = map(_encode, (columns.header_fields(message), message.notes, message.digests))
    return *_PLAIN(message), *texts, *mdn_values(message.mdn)


def refusal_values(refusal: Refusal) -> tuple[object, ...]:
    return *_REFUSAL(refusal), *mdn_values(refusal.mdn or _NO_MDN)


def mdn_values(mdn: StoredMDN | None) -> tuple[object, ...]:
    return (_encode(mdn.headers), mdn.body) if mdn else (None, None)


def delivery_values(delivery: Delivery) -> tuple[object, ...]:
    target, lane = columns.targets_text(delivery.targets), columns.lane_text(delivery.lane)
    return *_WHOSE(delivery), target, lane, *_STANDING(delivery)


def list_query(partner: str | None, state: DeliveryState | None, reason: str | None) -> str:
    """The name of the query whose index leaves the fewest rows to examine."""
    by_state = state and not (partner and state is DeliveryState.DELIVERED)  # most messages are delivered
    indexes = ((reason, "_with_reason"), (by_state, "_in_state"), (partner, "_of_partner"), (True, ""))
    return "list_messages" + next(suffix for value, suffix in indexes if value)


def message(row: Row) -> Message:
    values: dict[str, Any] = dict(row)
    mdn_headers, mdn_body = values.pop("mdn_headers"), values.pop("mdn_body")
    values["headers"], values["client_certificates"] = columns.header(_pairs(values["headers"]))
    values["notes"] = tuple(json.loads(values["notes"]))
    values["digests"] = _pairs(values["digests"])
    values["compressed"] = bool(values["compressed"])
    mdn = None if mdn_headers is None else StoredMDN(headers=_pairs(mdn_headers), body=mdn_body)
    return Message(**values, mdn=mdn)


def refusal(row: Row) -> Refusal:
    values: dict[str, Any] = dict(row)
    mdn = StoredMDN(headers=_pairs(values.pop("mdn_headers")), body=values.pop("mdn_body"))
    return Refusal(**values, mdn=None if mdn == _NO_MDN else mdn)


def delivery(row: Row) -> Delivery:
    values: dict[str, Any] = dict(row)
    values |= {"kind": DeliveryKind(values["kind"]), "state": DeliveryState(values["state"])}
    values |= {"targets": columns.targets(values.pop("target")), "lane": columns.lane(values["lane"])}
    return Delivery(**values)


def attempt(row: Row) -> Attempt:
    return Attempt(**dict(row))


def listed(row: Row) -> ListedMessage:
    values: dict[str, Any] = dict(row)
    state, reason = values.pop("state"), values.pop("reason")
    return ListedMessage(message(values), state and DeliveryState(state), reason)


def leased(delivery: Delivery, owner: str, until: float) -> Delivery:
    """The delivery after it was claimed."""
    state = delivery.state
    if state is DeliveryState.CLAIMED:  # its lease expired
        state = transition(state, DeliveryState.PENDING)
    return replace(
        delivery,
        state=transition(state, DeliveryState.CLAIMED),
        attempts=delivery.attempts + 1,
        lease_owner=owner,
        lease_until=until,
    )


def due_at(delivery: Delivery | None) -> float | None:
    """The time when the first delivery of an ordered lane can be claimed; None if it FAILED or does not exist."""
    if delivery is None or delivery.state is DeliveryState.FAILED:
        return None
    return delivery.not_before if delivery.state is DeliveryState.PENDING else delivery.lease_until


def subject(delivery: Delivery) -> str:
    """The id of the delivery's message or refusal."""
    found = delivery.message_id or delivery.refusal_id
    assert found is not None
    return found


def held(delivery: Delivery | None, attempt: Attempt, owner: str, following: DeliveryState) -> Delivery:
    """The delivery, if this attempt has claimed it and the state may follow; raises LeaseLost or TransitionRefused."""
    if delivery is None or (delivery.lease_owner, delivery.attempts) != (owner, attempt.number):
        raise LeaseLost(attempt.delivery_id)
    transition(delivery.state, following)
    return delivery


def to_requeue(delivery: Delivery | None, delivery_id: str) -> Delivery:
    """The delivery, if an operator may make it due: it has failed, or waits for its next attempt."""
    if delivery is not None and delivery.state is DeliveryState.PENDING:
        return delivery
    return for_operators(delivery, delivery_id, DeliveryState.PENDING)


def for_operators(delivery: Delivery | None, delivery_id: str, following: DeliveryState) -> Delivery:
    """The delivery, if an operator may change it to this state; raises TransitionRefused."""
    if delivery is None:
        raise TransitionRefused(f"there is no delivery {delivery_id!r}")
    if delivery.state is DeliveryState.CLAIMED:
        raise TransitionRefused("the delivery is being attempted")
    transition(delivery.state, following)
    return delivery


def _pairs(text: str) -> HeaderPairs:
    return tuple((name, value) for name, value in json.loads(text))
