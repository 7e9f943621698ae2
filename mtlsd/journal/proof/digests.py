"""The digested bytes of a message, a refusal, an MDN, a delivery and an attempt: a stored format. Pure.

An entry of the chain holds a digest forever, and years later the row must still give the same bytes. So every field is
named here, one by one, and none is taken from a dataclass as a whole:

- A field that is named stays, under its name, and its value is written as before. If the type of an attribute changes,
  `columns` converts it back: several targets remain one text with blanks between them.
- A new field enters only if it is set: add `| if_set(name=record.name)` to the fields of the first format. An older
  record has None there, so its bytes stay the same.
- An attempt is a list. Put its new fields into a dict at the end of the list, and only if one of them is set.
- A value that may change after it was entered, such as the MDN of a message, stays out of the record's digest.

`tests/journal/test_digested_bytes.py` has digests that never change. For a new field, add the digest of a record that
has it, and a journal to `tests/fixtures/journal/`.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from mtlsd.journal import columns
from mtlsd.journal.model import Attempt, Delivery, Message, Refusal, StoredMDN
from mtlsd.journal.proof.chain import canonical


def record_of(about: Message | Refusal) -> bytes:
    """The record as the chain has it: canonical JSON of all fields that never change."""
    return canonical(_message(about) if isinstance(about, Message) else _refusal(about)).encode()


def mdn_octets(mdn: StoredMDN) -> bytes:
    """An MDN as one file: its header, an empty line, its body."""
    header = "".join(f"{name}: {value}\r\n" for name, value in mdn.headers)
    return header.encode("utf-8", "surrogateescape") + b"\r\n" + mdn.body


def delivery_text(delivery: Delivery) -> bytes:
    """A delivery as it was promised. Its outcome is entered in the chain when the delivery ends."""
    values = {
        "id": delivery.id,
        "kind": delivery.kind,
        "target": columns.targets_text(delivery.targets),
        "created_at": delivery.created_at,
    }
    return canonical(values).encode()


def attempts_text(attempts: Iterable[Attempt]) -> bytes:
    """The attempts at one delivery, sorted by number."""
    in_order = sorted(attempts, key=lambda each: each.number)
    return canonical(list(map(_attempt, in_order))).encode()


def commitment(salt: str, data: bytes) -> str:
    """The digest of the salt, a line feed and the data."""
    return sha256(salt.encode() + b"\n" + data).hexdigest()


def if_set(**values: object) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _message(message: Message) -> dict[str, Any]:
    """All fields but the MDN, which may be made later, and `contents`, which are pruned."""
    return {
        "id": message.id,
        "as2_from": message.as2_from,
        "as2_to": message.as2_to,
        "message_id": message.message_id,
        "partner": message.partner,
        "host": message.host,
        "route": message.route,
        "received_at": message.received_at,
        "content_type": message.content_type,
        "size": message.size,
        "payload": message.payload,
        "original": message.original,
        "original_size": message.original_size,
        "headers": columns.header_fields(message),
        "request_id": message.request_id,
        "notes": message.notes,
        "compressed": message.compressed,
        "subject": message.subject,
        "filename": message.filename,
        "mic": message.mic,
        "mic_algorithm": message.mic_algorithm,
        "signer_sha256": message.signer_sha256,
        "encrypted_with": message.encrypted_with,
        "signed": message.signed,
        "signature": message.signature,
        "form": message.form,
        "configuration": message.configuration,
        "salt": message.salt,
        "digests": message.digests,
    }


def _refusal(refusal: Refusal) -> dict[str, Any]:
    """All fields but the MDN, which has a digest of its own."""
    return {
        "id": refusal.id,
        "as2_from": refusal.as2_from,
        "as2_to": refusal.as2_to,
        "message_id": refusal.message_id,
        "partner": refusal.partner,
        "host": refusal.host,
        "refused_at": refusal.refused_at,
        "reason": refusal.reason,
        "request_id": refusal.request_id,
        "configuration": refusal.configuration,
        "salt": refusal.salt,
    }


def _attempt(attempt: Attempt) -> list[Any]:
    return [
        attempt.delivery_id,
        attempt.number,
        attempt.started_at,
        attempt.finished_at,
        attempt.status,
        attempt.reason,
        attempt.detail,
        attempt.target,
    ]
