"""The chain's entries about messages, refusals and deliveries, and the check that their rows still match.

The chain has only digests, and each is salted with the record's own salt: whoever has the record can prove that it is
the one that was entered, and after it was erased nobody can guess it from the chain. `digests.py` defines the digested
bytes. Pure.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

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
from mtlsd.journal.proof.chain import Entry, EntryKind, Note, canonical
from mtlsd.journal.proof.digests import attempts_text, commitment, delivery_text, if_set, mdn_octets, record_of

_OPEN = (DeliveryState.PENDING, DeliveryState.CLAIMED)


# --- Entering --------------------------------------------------------------------------------------------------


def accepted(acceptance: Acceptance) -> Iterator[Note]:
    """The notes for a message, and for the attempts at its deliveries that were made before it was accepted."""
    message = acceptance.message
    facts: dict[str, Any] = {
        "configuration": message.configuration,
        "contents": _contents(message),
        **_digests(message, acceptance.deliveries, message.mdn),
    }
    yield Note(EntryKind.ACCEPTED, message.id, message.received_at, facts)
    states = {each.id: each.state for each in acceptance.deliveries}
    for attempt in acceptance.attempts:
        made = [each for each in acceptance.attempts if each.delivery_id == attempt.delivery_id]
        yield outcome(message.id, message.salt, attempt, states[attempt.delivery_id], attempt.finished_at, made)


def refused(refusal: Refusal, deliveries: Iterable[Delivery] = ()) -> Note:
    """The note for a refusal."""
    facts = {"configuration": refusal.configuration, **_digests(refusal, deliveries, refusal.mdn)}
    return Note(EntryKind.REFUSED, refusal.id, refusal.refused_at, facts)


def promised(subject: str, salt: str, delivery: Delivery) -> Note:
    """The note for another delivery."""
    return Note(EntryKind.PROMISED, subject, delivery.created_at, _promises(salt, [delivery], None))


def answered(subject: str, salt: str, mdn: StoredMDN, now: float) -> Note:
    """The note for an MDN that was made later than its record."""
    return Note(EntryKind.PROMISED, subject, now, _promises(salt, [], mdn))


def outcome(
    subject: str, salt: str, attempt: Attempt, state: DeliveryState, now: float, made: Iterable[Attempt]
) -> Note:
    """The note for the last attempt at a delivery; `made` are all attempts at the delivery, with this one."""
    facts = {"delivery": attempt.delivery_id, "attempt": attempt.number, "attempts": _attempts(salt, made)}
    return Note(state, subject, now, facts | if_set(status=attempt.status, reason=attempt.reason))


def replayed(subject: str, delivery_id: str, now: float) -> Note:
    """The note for a delivery that is due again."""
    return Note(EntryKind.REPLAYED, subject, now, {"delivery": delivery_id})


def dropped(subject: str, salt: str, delivery_id: str, now: float, made: Iterable[Attempt]) -> Note:
    """The note for a delivery that an operator gave up after these attempts."""
    return Note(EntryKind.DROPPED, subject, now, {"delivery": delivery_id, "attempts": _attempts(salt, made)})


def _attempts(salt: str, made: Iterable[Attempt]) -> str:
    return commitment(salt, attempts_text(made))


def _contents(message: Message) -> str:
    return commitment(message.salt, canonical(message.contents).encode())


def _digests(about: Message | Refusal, deliveries: Iterable[Delivery], mdn: StoredMDN | None) -> dict[str, Any]:
    return {"record": sha256(record_of(about)).hexdigest(), **_promises(about.salt, deliveries, mdn)}


def _promises(salt: str, deliveries: Iterable[Delivery], mdn: StoredMDN | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"deliveries": {each.id: commitment(salt, delivery_text(each)) for each in deliveries}}
    if mdn is not None:
        facts["mdn"] = commitment(salt, mdn_octets(mdn))
    return facts


# --- Checking ------------------------------------------------------------------------------------------------


def differences(evidence: Evidence) -> Iterator[str]:
    """The differences between the rows and the entries of one subject; each ends a sentence about the subject.

    Documents are not checked.
    """
    kinds = {entry.kind for entry in evidence.entries}
    if EntryKind.ERASED in kinds:
        if evidence.about is not None:
            yield "was inserted again after it was erased"
        return
    if evidence.about is None:
        yield "was removed: the chain has an entry for it, and none that it was erased"
        return
    if not kinds & {EntryKind.ACCEPTED, EntryKind.REFUSED}:
        yield "was inserted: the chain has no entry for it"
        return
    said = _said(evidence.entries)
    yield from _record_differences(evidence.about, said)
    yield from _delivery_differences(evidence, evidence.about, said)


def has_entered_mdn(about: Message | Refusal, entries: Iterable[Entry]) -> bool:
    """Whether the entries about a record have its MDN, or have none if it has none."""
    return _fits_mdn(about, _said(entries))


@dataclass(frozen=True, slots=True)
class Statement:
    """The content of one entry."""

    kind: str
    at: float
    facts: Mapping[str, Any]


Said = list[Statement]


def _said(entries: Iterable[Entry]) -> Said:
    return [Statement(entry.kind, entry.at, facts_of(entry.facts)) for entry in entries]


def _record_differences(about: Message | Refusal, said: Said) -> Iterator[str]:
    records = [each.facts["record"] for each in said if "record" in each.facts]
    if records != [sha256(record_of(about)).hexdigest()]:
        yield "was altered: its row is not the one that was entered"
    if not _fits_mdn(about, said):
        yield "has another MDN than the one that was entered"
    if isinstance(about, Message):
        yield from _contents_differences(about, said)


def _contents_differences(about: Message, said: Said) -> Iterator[str]:
    if any(each.kind == EntryKind.PRUNED for each in said):
        if about.contents:
            yield "was altered: it has contents again after they were pruned"
    elif [each.facts["contents"] for each in said if "contents" in each.facts] != [_contents(about)]:
        yield f"was altered: it has {about.contents} octets of contents, but was entered with others"


def _fits_mdn(about: Message | Refusal, said: Said) -> bool:
    mdns = [each.facts["mdn"] for each in said if "mdn" in each.facts]
    return mdns == ([commitment(about.salt, mdn_octets(about.mdn))] if about.mdn else [])


def _delivery_differences(evidence: Evidence, about: Message | Refusal, said: Said) -> Iterator[str]:
    promised = {id_: digest for each in said for id_, digest in _table(each.facts.get("deliveries")).items()}
    for delivery in evidence.deliveries:
        known = promised.pop(delivery.id, None)
        if known is None:
            yield f"has a delivery {delivery.id} that was inserted: the chain has no entry for it"
        elif known != commitment(about.salt, delivery_text(delivery)):
            yield f"has a delivery {delivery.id} that was altered"
        else:
            outcomes = [each for each in said if each.facts.get("delivery") == delivery.id]
            made = [each for each in evidence.attempts if each.delivery_id == delivery.id]
            yield from _outcome_differences(delivery, outcomes)
            yield from _attempt_differences(delivery, made, outcomes, about.salt)
    for id_ in promised:
        yield f"has lost its delivery {id_}: the row was removed"


def _outcome_differences(delivery: Delivery, outcomes: Said) -> Iterator[str]:
    if not outcomes or outcomes[-1].kind == EntryKind.REPLAYED:
        if delivery.state not in _OPEN:
            yield f"has a delivery {delivery.id} that is {delivery.state}, but was entered as {' or '.join(_OPEN)}"
        return
    last = outcomes[-1]
    if delivery.state != last.kind:
        yield f"has a delivery {delivery.id} that is {delivery.state}, but was entered as {last.kind}"
    elif delivery.finished_at != last.at:
        yield f"has a delivery {delivery.id} that ended at another time than the one that was entered"
    elif last.kind != EntryKind.DROPPED and delivery.last_reason != last.facts.get("reason"):
        yield f"has a delivery {delivery.id} whose last reason is not the one that was entered"


def _attempt_differences(delivery: Delivery, made: list[Attempt], outcomes: Said, salt: str) -> Iterator[str]:
    """Each outcome covers all attempts up to its own; attempts after the last outcome are still open."""
    for each in outcomes:
        if "attempts" not in each.facts:  # it was replayed
            continue
        up_to = each.facts.get("attempt", delivery.attempts)
        up_to = up_to if isinstance(up_to, int) else 0  # we never write anything but a number
        if _attempts(salt, (one for one in made if one.number <= up_to)) != each.facts["attempts"]:
            yield f"has attempts up to {up_to} at {delivery.id} that differ from those that were entered"
        elif each is outcomes[-1] and any(one.number > up_to for one in made):
            yield f"has an attempt after number {up_to} at {delivery.id} that was inserted"


def facts_of(text: str) -> Mapping[str, Any]:
    """The facts of an entry; none if the text is not a JSON object, which only a forged entry can have."""
    try:
        return _table(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
