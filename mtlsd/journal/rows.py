"""Records as rows and rows as records: what every database stores in the same columns, and checks alike.

The `*_values` are in the order of the columns in the INSERT statements; a row is anything that `dict` takes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from mtlsd.journal.model import (
    Attempt,
    Delivery,
    DeliveryKind,
    DeliveryState,
    HeaderPairs,
    LeaseLost,
    Listed,
    Message,
    Refusal,
    StoredMDN,
    TransitionRefused,
    transition,
)

LAST = "\U0010ffff"  # sorts after every id
PAGE = 1000  # messages a read of `spool_names`

Row = Mapping[str, Any] | Iterable[tuple[str, Any]]

_PLAIN = attrgetter(*(each.name for each in fields(Message) if each.name not in {"headers", "notes", "mdn"}))
_REFUSAL = attrgetter(*(each.name for each in fields(Refusal) if each.name != "mdn"))
delivery_values = attrgetter(
    *("id", "message_id", "refusal_id", "kind", "target", "state", "not_before", "attempts", "created_at"),
    *("lease_owner", "lease_until", "finished_at", "last_reason"),
)
attempt_values = attrgetter(*(each.name for each in fields(Attempt)))


def message_values(message: Message) -> tuple[object, ...]:
    return *_PLAIN(message), json.dumps(message.headers), json.dumps(message.notes), *mdn_values(message.mdn)


def refusal_values(refusal: Refusal) -> tuple[object, ...]:
    return *_REFUSAL(refusal), *mdn_values(refusal.mdn)


def mdn_values(mdn: StoredMDN | None) -> tuple[object, ...]:
    return (json.dumps(mdn.headers), mdn.body) if mdn else (None, None)


def outcome_values(attempt: Attempt, state: DeliveryState, not_before: float | None, now: float) -> dict[str, object]:
    """What `record` changes in a delivery."""
    pending = state is DeliveryState.PENDING
    assert pending == (not_before is not None), "not_before goes with PENDING"
    return {
        "id": attempt.delivery_id,
        "state": state,
        "not_before": not_before,
        "finished_at": None if pending else now,
        "reason": attempt.reason,
    }


def message(row: Row) -> Message:
    values: dict[str, Any] = dict(row)
    values.pop("state", None)  # of a listed row
    mdn_headers, mdn_body = values.pop("mdn_headers"), values.pop("mdn_body")
    values["headers"] = _pairs(values["headers"])
    values["notes"] = tuple(json.loads(values["notes"]))
    values["compressed"] = bool(values["compressed"])
    mdn = None if mdn_headers is None else StoredMDN(headers=_pairs(mdn_headers), body=mdn_body)
    return Message(**values, mdn=mdn)


def refusal(row: Row) -> Refusal:
    values: dict[str, Any] = dict(row)
    mdn = StoredMDN(headers=_pairs(values.pop("mdn_headers")), body=values.pop("mdn_body"))
    return Refusal(**values, mdn=mdn)


def delivery(row: Row) -> Delivery:
    values: dict[str, Any] = dict(row)
    values |= {"kind": DeliveryKind(values["kind"]), "state": DeliveryState(values["state"])}
    return Delivery(**values)


def attempt(row: Row) -> Attempt:
    return Attempt(**dict(row))


def listed(row: Row) -> Listed:
    values = dict(row)
    return Listed(message(values), values["state"] and DeliveryState(values["state"]))


def leased(delivery: Delivery, owner: str, until: float) -> Delivery:
    """The delivery as it is once it is claimed."""
    state = delivery.state
    if state is DeliveryState.CLAIMED:  # its lease is over
        state = transition(state, DeliveryState.PENDING)
    return replace(
        delivery,
        state=transition(state, DeliveryState.CLAIMED),
        attempts=delivery.attempts + 1,
        lease_owner=owner,
        lease_until=until,
    )


def check_outcome(delivery: Delivery | None, attempt: Attempt, owner: str, state: DeliveryState) -> None:
    """The attempt holds the delivery, which may go to this state; the number tells two claims of one owner apart."""
    if delivery is None or (delivery.lease_owner, delivery.attempts) != (owner, attempt.number):
        raise LeaseLost(attempt.delivery_id)
    transition(delivery.state, state)


def check_requeue(delivery: Delivery | None, delivery_id: str) -> None:
    """An operator may make this delivery due again."""
    if delivery is None:
        raise TransitionRefused(f"there is no delivery {delivery_id!r}")
    if delivery.state is DeliveryState.CLAIMED:  # the table has this step, but not for operators
        raise TransitionRefused("the delivery is being attempted")
    transition(delivery.state, DeliveryState.PENDING)


def _pairs(text: str) -> HeaderPairs:
    return tuple((name, value) for name, value in json.loads(text))
