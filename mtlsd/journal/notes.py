"""What the chain says of a message, a refusal and a delivery, and whether they still are what it says.

The chain has digests alone, and each is salted with the record's own salt: who has the record can show that it is the
one, and once it is erased nobody can guess it from the chain. Pure.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from hashlib import sha256
from typing import Any

from mtlsd.journal.chain import Entry, EntryKind, Note, canonical
from mtlsd.journal.model import (
    Acceptance,
    Attempt,
    Delivery,
    DeliveryState,
    Evidence,
    Message,
    Refusal,
    StoredMDN,
)

_CHANGES = {"mdn", "contents"}  # may be others later than at the beginning
_MESSAGE = tuple(each.name for each in fields(Message) if each.name not in _CHANGES)
_REFUSAL = tuple(each.name for each in fields(Refusal) if each.name not in _CHANGES)
_OPEN = (DeliveryState.PENDING, DeliveryState.CLAIMED)


def record_of(about: Message | Refusal) -> bytes:
    """The record as the chain knows it: canonical JSON of all that never changes."""
    names = _MESSAGE if isinstance(about, Message) else _REFUSAL
    return canonical({name: getattr(about, name) for name in names}).encode()


def mdn_octets(mdn: StoredMDN) -> bytes:
    """An MDN as one file: its header, an empty line, its body."""
    header = "".join(f"{name}: {value}\r\n" for name, value in mdn.headers)
    return header.encode("utf-8", "surrogateescape") + b"\r\n" + mdn.body


def commitment(salt: str, data: bytes) -> str:
    """The digest of the salt, a line feed and the data."""
    return sha256(salt.encode() + b"\n" + data).hexdigest()


def delivery_text(delivery: Delivery) -> bytes:
    """What the chain knows of a delivery."""
    values = {"id": delivery.id, "kind": delivery.kind, "target": delivery.target, "created_at": delivery.created_at}
    return canonical(values).encode()


# --- Saying it ------------------------------------------------------------------------------------------------


def accepted(acceptance: Acceptance) -> Iterator[Note]:
    """What is entered for a message, and for the deliveries that were attempted before."""
    message = acceptance.message
    facts: dict[str, Any] = {
        "configuration": message.configuration,
        **_digests(message, acceptance.deliveries, message.mdn),
    }
    yield Note(EntryKind.ACCEPTED, message.id, message.received_at, facts)
    states = {each.id: each.state for each in acceptance.deliveries}
    for attempt in acceptance.attempts:
        yield outcome(message.id, attempt, states[attempt.delivery_id], attempt.finished_at)


def refused(refusal: Refusal, deliveries: Iterable[Delivery] = ()) -> Note:
    """What is entered for a refusal."""
    facts = {"configuration": refusal.configuration, **_digests(refusal, deliveries, refusal.mdn)}
    return Note(EntryKind.REFUSED, refusal.id, refusal.refused_at, facts)


def promised(subject: str, salt: str, delivery: Delivery) -> Note:
    """What is entered for one delivery more."""
    return Note(EntryKind.PROMISED, subject, delivery.created_at, _promises(salt, [delivery], None))


def answered(subject: str, salt: str, mdn: StoredMDN, now: float) -> Note:
    """What is entered for an MDN that was made late."""
    return Note(EntryKind.PROMISED, subject, now, _promises(salt, [], mdn))


def outcome(subject: str, attempt: Attempt, state: DeliveryState, now: float) -> Note:
    """What is entered where an attempt was the last one."""
    facts = {"delivery": attempt.delivery_id, "attempt": attempt.number}
    told = {"status": attempt.status, "reason": attempt.reason}
    return Note(state, subject, now, facts | {name: value for name, value in told.items() if value is not None})


def replayed(subject: str, delivery_id: str, now: float) -> Note:
    """What is entered where a delivery is due again."""
    return Note(EntryKind.REPLAYED, subject, now, {"delivery": delivery_id})


def dropped(subject: str, delivery_id: str, now: float) -> Note:
    """What is entered where an operator gave a delivery up."""
    return Note(EntryKind.DROPPED, subject, now, {"delivery": delivery_id})


def _digests(about: Message | Refusal, deliveries: Iterable[Delivery], mdn: StoredMDN | None) -> dict[str, Any]:
    return {"record": sha256(record_of(about)).hexdigest(), **_promises(about.salt, deliveries, mdn)}


def _promises(salt: str, deliveries: Iterable[Delivery], mdn: StoredMDN | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"deliveries": {each.id: commitment(salt, delivery_text(each)) for each in deliveries}}
    if mdn is not None:
        facts["mdn"] = commitment(salt, mdn_octets(mdn))
    return facts


# --- Checking it ----------------------------------------------------------------------------------------------


def doubts(evidence: Evidence) -> Iterator[str]:
    """What the rows and the entries of one subject do not agree about; each ends a sentence about the subject.

    Documents are not looked at.
    """
    kinds = {entry.kind for entry in evidence.entries}
    if EntryKind.ERASED in kinds:
        if evidence.about is not None:
            yield "was inserted again after it was erased"
        return
    if evidence.about is None:
        yield "was removed: the chain knows of it, and nothing says that it was erased"
        return
    if not kinds & {EntryKind.ACCEPTED, EntryKind.REFUSED}:
        yield "was inserted: the chain does not know of it"
        return
    said = _said(evidence.entries)
    yield from _record_doubts(evidence.about, said)
    yield from _delivery_doubts(evidence, evidence.about, said)


def has_entered_mdn(about: Message | Refusal, entries: Iterable[Entry]) -> bool:
    """Whether its MDN, or that it has none, is what these entries, which are about it, say."""
    return _fits_mdn(about, _said(entries))


Said = list[tuple[str, Mapping[str, Any]]]


def _said(entries: Iterable[Entry]) -> Said:
    return [(entry.kind, _facts(entry.facts)) for entry in entries]


def _record_doubts(about: Message | Refusal, said: Said) -> Iterator[str]:
    records = [facts["record"] for _, facts in said if "record" in facts]
    if records != [sha256(record_of(about)).hexdigest()]:
        yield "was altered: its row is not what was entered"
    if not _fits_mdn(about, said):
        yield "has another MDN than was entered"
    pruned = any(kind == EntryKind.PRUNED for kind, _ in said)
    if pruned and isinstance(about, Message) and about.contents:
        yield "was altered: its contents are here again after they were pruned"


def _fits_mdn(about: Message | Refusal, said: Said) -> bool:
    mdns = [facts["mdn"] for _, facts in said if "mdn" in facts]
    return mdns == ([commitment(about.salt, mdn_octets(about.mdn))] if about.mdn else [])


def _delivery_doubts(evidence: Evidence, about: Message | Refusal, said: Said) -> Iterator[str]:
    promised = {id_: digest for _, facts in said for id_, digest in _table(facts.get("deliveries")).items()}
    for delivery in evidence.deliveries:
        known = promised.pop(delivery.id, None)
        if known is None:
            yield f"has a delivery {delivery.id} that was inserted: the chain does not know of it"
        elif known != commitment(about.salt, delivery_text(delivery)):
            yield f"has a delivery {delivery.id} that was altered"
        else:
            yield from _outcome_doubts(delivery, evidence.attempts, said)
    for id_ in promised:
        yield f"has lost its delivery {id_}: the row was removed"


def _outcome_doubts(delivery: Delivery, attempts: Iterable[Attempt], said: Said) -> Iterator[str]:
    outcomes = [(kind, facts) for kind, facts in said if facts.get("delivery") == delivery.id]
    ended = outcomes[-1][0] if outcomes else EntryKind.REPLAYED
    expected = _OPEN if ended == EntryKind.REPLAYED else (ended,)
    if delivery.state not in expected:
        yield f"has a delivery {delivery.id} that is {delivery.state}, and was entered as {' or '.join(expected)}"
    made = {each.number: each for each in attempts if each.delivery_id == delivery.id}
    for _, facts in outcomes:
        number = facts.get("attempt")
        attempt = made.get(number) if number is not None else None
        if number is not None and (attempt is None or not _is_the_same(attempt, facts)):
            yield f"has an attempt {number} at {delivery.id} that is not what was entered"


def _is_the_same(attempt: Attempt, facts: Mapping[str, Any]) -> bool:
    return (attempt.status, attempt.reason) == (facts.get("status"), facts.get("reason"))


def _facts(text: str) -> Mapping[str, Any]:
    """The facts of an entry; none where somebody who can make digests wrote what is no table."""
    try:
        return _table(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
