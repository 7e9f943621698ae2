"""A delivery into a directory: the document's file, and a JSON file with its sender beside it.

The names are the same for every attempt, so a second attempt overwrites the files of the first. They begin with our id,
which sorts by age, and continue with the partner's name of the document, as far as every file system allows it. The
name of a document never ends like those of our JSON files: otherwise a partner could forge such a file.
"""

import json
import re
from dataclasses import dataclass

from mtlsd.journal.model import Delivery, DeliveryKind, Message
from mtlsd.relay.client_cert import client_certs
from mtlsd.relay.message_fields import fields_for_a_file
from mtlsd.relay.request import idempotency_key

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
METADATA = ".mtlsd.json"  # the end of the names of our JSON files
_MAX_NAME = 100  # characters of the partner's name for it


@dataclass(frozen=True, slots=True)
class Deposit:
    """Two files: `name` with the stored document, and the same name with the ending METADATA with `metadata`."""

    name: str
    document: str
    size: int  # of the document, in octets
    metadata: bytes


def deposit_of(message: Message, delivery: Delivery) -> Deposit:
    """The files of a delivery."""
    as_message = delivery.kind is DeliveryKind.MESSAGE
    document = message.original if as_message else message.payload
    assert document is not None, "what nobody opened has no payload, and goes as a message"
    called = "message.as2" if as_message else message.filename or "document"
    name = f"{message.id}_{_fit(called)}"
    size = message.original_size if as_message else message.size
    return Deposit(name, document, size, json.dumps(_metadata(message, name, as_message=as_message), indent=2).encode())


def _fit(called: str) -> str:
    """The partner's name of the document, as it can be used in a file name."""
    name = _UNFIT.sub("_", called)[:_MAX_NAME].strip(".") or "document"
    return f"{name}_" if name.lower().endswith(METADATA) else name


def _metadata(message: Message, name: str, *, as_message: bool) -> dict[str, object]:
    about: dict[str, object] = {
        "file": name,
        "partner": message.partner,
        "as2_from": message.as2_from,
        "as2_to": message.as2_to,
        "message_id": message.message_id,
        "content_type": message.content_type,
        "filename": message.filename,
        "size": message.original_size if as_message else message.size,
        "mic": f"{message.mic}, {message.mic_algorithm}" if message.mic else None,
        "sha256": dict(message.digests).get("as2" if as_message else "payload"),
        "signer_sha256": message.signer_sha256,
        "received_at": message.received_at,
        "request_id": message.request_id,
        "host": message.host,
        "idempotency_key": idempotency_key(message),
    }
    return about | client_certs(message) | ({"headers": fields_for_a_file(message)} if as_message else {})
