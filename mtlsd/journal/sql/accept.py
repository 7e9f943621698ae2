"""Writes messages, refusals and their deliveries. These functions are parts of a transaction.

Everything is always written in the same order: messages by key, certificates, then the records that only this node has.
Two nodes with the same messages therefore never wait for each other in a circle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from mtlsd.journal import columns
from mtlsd.journal.model import Acceptance, Delivery, Message, Refusal
from mtlsd.journal.proof import entries
from mtlsd.journal.proof.chain import Note
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.port import Port, Statements
from mtlsd.journal.sql.proof import accept_certificates, enter, salt_of

_KEY = attrgetter("message_id", "as2_from", "as2_to")


def accept_all(
    db: Statements, chain: str, acceptances: Sequence[Acceptance], refusals: Sequence[Refusal] = ()
) -> list[Message]:
    """Write a group of acceptances, and return for each the message that holds its key."""
    in_order = sorted(acceptances, key=lambda each: _KEY(each.message))
    # All at once, because a round trip for each would cost more than everything else.
    written = db.each_changed("accept_message", [rows.message_values(each.message) for each in in_order])
    ids = {each.message.id for each, is_new in zip(in_order, written, strict=True) if is_new}
    new = [each for each in acceptances if each.message.id in ids]
    _accept_parts(db, new)
    refused = refuse(db, refusals)
    enter(db, chain, [*(note for each in new for note in entries.accepted(each)), *refused])
    return [each.message if each.message.id in ids else _holder(db, each.message) for each in acceptances]


def refuse(db: Statements, refusals: Sequence[Refusal], *deliveries: Delivery) -> list[Note]:
    """Write refusals; return their notes for the chain."""
    db.each("accept_refusal", [rows.refusal_values(each) for each in refusals])
    return [entries.refused(each, deliveries) for each in refusals]


def is_to_be_made(db: Statements, delivery: Delivery) -> bool:
    """Whether the message has an equal open delivery; its lock makes two nodes ask one after the other."""
    db.one("lock_message", id=delivery.message_id)
    target = columns.targets_text(delivery.targets)
    return db.one("delivery_to_be_made", message_id=delivery.message_id, kind=delivery.kind, target=target) is not None


def promised(db: Statements, delivery: Delivery) -> Note:
    """The note about another delivery."""
    subject = rows.subject(delivery)
    return entries.promised(subject, salt_of(db, subject), delivery)


def find(db: Statements, as2_from: str, as2_to: str, message_id: str) -> Message | None:
    """The message that holds this key."""
    row = db.one("find_message", as2_from=as2_from, as2_to=as2_to, message_id=message_id)
    return rows.message(row) if row else None


def as_kept(port: Port, acceptance: Acceptance) -> Acceptance:
    """The acceptance as it will be read from the database."""
    message, attempts = port.as_kept(acceptance.message), map(port.as_kept, acceptance.attempts)
    return replace(acceptance, message=message, attempts=tuple(attempts))


def _accept_parts(db: Statements, new: Iterable[Acceptance]) -> None:
    accept_certificates(db, {name: der for each in new for name, der in each.certificates.items()})
    db.each("accept_document", [pair for each in new for pair in each.documents.items()])
    db.each("accept_delivery", [rows.delivery_values(one) for each in new for one in each.deliveries])
    db.each("record_attempt", [rows.attempt_values(one) for each in new for one in each.attempts])


def _holder(db: Statements, message: Message) -> Message:
    """The earlier message that holds the key of this one."""
    earlier = find(db, message.as2_from, message.as2_to, message.message_id)
    assert earlier is not None
    return earlier
