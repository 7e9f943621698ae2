"""The digested bytes of a message, a refusal, an MDN, a delivery and an attempt: a stored format. Pure.

An entry of the chain holds a digest forever, and years later the row must still give the same bytes. So every field is
named here, one by one, and none is taken from a dataclass as a whole:

- A field that is named stays, under its name, and its value is written as before. If the type of an attribute changes,
  `columns` converts it back: several targets remain one text with blanks between them.
- A new field enters only if it is set: add `| if_set(name=about.name)` to the fields of the first format. An older
  record has None there, so its bytes stay the same.
- An attempt is a list. Put its new fields into a dict at the end of the list, and only if one of them is set.
- A value that may change after it was entered, such as the MDN of a message, stays out of the record's digest.

`tests/journal/test_digested_bytes.py` has digests that never change. For a new field, add the digest of a record that
has it, and a journal to `tests/fixtures/journal/`.
"""

from collections.abc import Iterable
from hashlib import sha256
from operator import attrgetter
from typing import Any

from mtlsd.journal import columns
from mtlsd.journal.model import Attempt, Delivery, Message, Refusal, StoredMDN
from mtlsd.journal.proof.chain import canonical

# All fields of a message but the MDN, which may be made later, and `contents`, which are pruned.
_MESSAGE = (
    *("id", "as2_from", "as2_to", "message_id", "partner", "host", "route", "received_at", "content_type", "size"),
    *("payload", "original", "original_size", "headers", "request_id", "notes", "compressed", "subject", "filename"),
    *("mic", "mic_algorithm", "signer_sha256", "encrypted_with", "signed", "signature", "form", "configuration"),
    *("salt", "digests"),
)
# All fields of a refusal but the MDN, which has a digest of its own.
_REFUSAL = (
    *("id", "as2_from", "as2_to", "message_id", "partner", "host", "refused_at", "reason", "request_id"),
    *("configuration", "salt"),
)
_ATTEMPT = attrgetter("delivery_id", "number", "started_at", "finished_at", "status", "reason", "detail", "target")


def record_of(about: Message | Refusal) -> bytes:
    """The record as the chain has it: canonical JSON of all fields that never change."""
    fields = {name: getattr(about, name) for name in (_MESSAGE if isinstance(about, Message) else _REFUSAL)}
    if isinstance(about, Message):
        fields["headers"] = columns.header_fields(about)
    return canonical(fields).encode()


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
    return canonical([_ATTEMPT(each) for each in in_order]).encode()


def commitment(salt: str, data: bytes) -> str:
    """The digest of the salt, a line feed and the data."""
    return sha256(salt.encode() + b"\n" + data).hexdigest()


def if_set(**values: object) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in values.items() if value is not None}
