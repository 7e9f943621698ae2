"""A partner for the tests: builds messages with keys of its own, sends them, and looks hard at the receipt."""

import re
from dataclasses import dataclass, replace
from typing import Any

from mtlsd.as2.mdn.pyas2 import ReceivedMDN, read_mdn
from mtlsd.journal.model import Message
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.pki.key_pair import KeyPair
from tests.support import messages, pyas2_oracle
from tests.support.client import Answer, opened, request
from tests.support.daemon import Daemon, Tree, acme, keys
from tests.support.messages import EDI, Sent
from tests.support.pki import Issued

SIGNED = "required,sha-256"


def layered(
    layers: str = "csE",
    payload: bytes = EDI,
    *,
    sender: KeyPair | None = None,
    recipient: KeyPair | None = None,
    digest: str = "sha256",
    cipher: str = "aes256",
    content_type: str = "application/EDIFACT",
) -> bytes:
    """An entity with layers put around it in this order: c compress, s sign, E encrypt."""
    inner = messages.entity(payload, content_type, Content_Disposition='attachment; filename="order.edi"')
    for layer in layers:
        if layer == "c":
            inner = messages.compress(inner)
        elif layer == "s":
            inner = messages.sign(inner, sender or keys("ACME"), digest)
        else:
            inner = messages.encrypt(inner, recipient or keys("EXAMPLE"), cipher)
    return inner


def message(message_id: str, entity: bytes | None = None, **options: Any) -> Sent:
    """A message of ACME's to EXAMPLE; `with_fields` adds header fields or replaces them."""
    return messages.message(layered() if entity is None else entity, message_id=message_id, **options)


def with_fields(sent: Sent, **fields: str | None) -> Sent:
    """The message with other header fields; None takes one away."""
    changed = {name.replace("_", "-").lower(): value for name, value in fields.items()}
    kept = [(name, value) for name, value in sent.fields if name.lower() not in changed]
    added = [(name.replace("_", "-"), value) for name, value in fields.items() if value is not None]
    return replace(sent, fields=(*kept, *added))


def send(daemon: Daemon, sent: Sent, issued: Issued | None = None, *, host: str = "as2.example.com") -> Answer:
    """Send it over a connection of its own, with ACME's certificate where none is given."""
    with opened(daemon.address, issued or acme(), sni=host) as client:
        return client.request(request(fields=sent.fields, body=sent.body, host=host))


def receipt(answer: Answer, sent: Sent, *, signed: bool = True) -> ReceivedMDN:
    """Check all that holds for every MDN, and return what pyas2lib reads in it."""
    fields = dict(sent.fields)
    assert answer.status == 200
    assert (answer.get("AS2-From"), answer.get("AS2-To")) == (fields["AS2-To"], fields["AS2-From"])
    assert answer.get("Content-Length") == str(len(answer.body))
    assert re.fullmatch(rb".*\r\n--[^\r\n]+--\r\n", answer.body, re.DOTALL)
    message_id = fields["Message-ID"].encode("latin-1")
    assert b"\r\nOriginal-Message-ID: " + message_id + b"\r\n" in answer.body
    assert answer.body.count(b"\r\nDisposition: automatic-action/MDN-sent-automatically; ") == 1
    content_type = answer.get("Content-Type") or ""
    assert content_type.startswith("multipart/signed; " if signed else "multipart/report; ")
    return read_mdn(answer.fields, answer.body, verify=_verify, message_id=None, mic=None)


def disposition(answer: Answer, sent: Sent, *, signed: bool = True) -> str:
    """The type and the modifier of the MDN, as RFC 4130 writes them."""
    read = receipt(answer, sent, signed=signed)
    assert read.signed == signed
    return f"{read.disposition_type}/{read.modifier}" if read.modifier else read.disposition_type


def _verify(headers: object, body: bytes) -> bytes:
    ours = keys("EXAMPLE")
    identity = pyas2_oracle.Identity("EXAMPLE", ours.private_key, ours.certificate.x509)  # type: ignore[arg-type]
    return pyas2_oracle.openssl_verify(headers, body, identity)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal has of a message."""

    message: Message
    state: str
    deliveries: int
    attempts: int


def kept(tree: Tree, message_id: str) -> Kept | None:
    """Look a message up in the daemon's journal, beside the daemon; None where nothing was accepted."""
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    try:
        found = journal.message(message_id)
        if found is None:
            return None
        deliveries = journal.deliveries(found.id)
        attempts = sum(len(journal.attempts(each.id)) for each in deliveries)
        return Kept(found, deliveries[0].state.value, len(deliveries), attempts)
    finally:
        journal.close()
