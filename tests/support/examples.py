"""Messages and deliveries to put into a journal."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mtlsd.journal.model import Acceptance, Attempt, Claimed, Delivery, DeliveryKind, Message, Refusal, StoredMDN
from mtlsd.journal.sql.journal import Journal

MDN = StoredMDN(headers=(("Content-Type", "multipart/report"), ("AS2-To", "ACME")), body=b"\x00\r\n\xff")
SIGNER = b"DER"  # of the certificate that signed
FULL = Message(
    id="0001",
    as2_from="ACME",
    as2_to="EXAMPLE",
    message_id="<1@acme.example>",
    partner="acme",
    host="as2.example.com",
    route="/as2",
    received_at=1000.5,
    content_type="application/edi-x12",
    size=10_000,
    payload="messages/00/0001.payload",
    original="messages/00/0001.original",
    original_size=12_000,
    headers=(("AS2-From", "ACME"), ("Subject", "Ä")),
    request_id="r1",
    notes=("The signature was not checked: Ä.",),
    compressed=True,
    subject="order Ä",
    filename="order.edi",
    mic="dGVzdA==",
    mic_algorithm="sha-256",
    signer_sha256=sha256(SIGNER).hexdigest(),
    encrypted_with="aes256_cbc",
    signed="messages/00/0001.signed",
    signature="messages/00/0001.p7s",
    form="raw",
    configuration="cd" * 32,
    salt="5a" * 16,
    contents=34_000,
    digests=(("as2", "ef" * 32), ("payload", "01" * 32)),
    mdn=MDN,
)
CERTIFICATES = {FULL.signer_sha256 or "": SIGNER}
BARE = replace(
    FULL,
    payload=None,
    notes=(),
    compressed=False,
    subject=None,
    filename=None,
    mic=None,
    mic_algorithm=None,
    signer_sha256=None,
    encrypted_with=None,
    signed=None,
    signature=None,
    form=None,
    digests=(),
    mdn=None,
)


def message(number: int = 1, **changes: Any) -> Message:
    """Return the n-th message; its id sorts after those before it."""
    numbered: dict[str, Any] = {
        "id": f"{number:04}",
        "message_id": f"<{number}@acme.example>",
        "received_at": 1000.0 + number,
    }
    return replace(FULL, **(numbered | changes))


def delivery(of: Message, not_before: float = 0.0, **changes: Any) -> Delivery:
    wanted = Delivery(
        id=f"d{of.id}",
        message_id=of.id,
        targets=("http://127.0.0.1:9000/inbound",),
        not_before=not_before,
        created_at=of.received_at,
    )
    return replace(wanted, **changes)


def refusal(number: int = 1, **changes: Any) -> Refusal:
    """Return the refusal of the n-th message; its id sorts after those before it."""
    made = Refusal(
        id=f"r{number:04}",
        as2_from="ACME",
        as2_to="EXAMPLE",
        message_id=f"<{number}@acme.example>",
        partner="acme",
        host="as2.example.com",
        refused_at=1000.0 + number,
        reason="as2_signature_bad",
        request_id=f"q{number}",
        mdn=MDN,
        configuration="cd" * 32,
        salt="a5" * 16,
    )
    return replace(made, **changes)


def mdn_delivery(of: Message | Refusal, not_before: float = 0.0, **changes: Any) -> Delivery:
    wanted = Delivery(
        id=f"m{of.id}",
        kind=DeliveryKind.MDN,
        targets=("https://acme.example/mdn",),
        not_before=not_before,
        created_at=1000.0,
        message_id=of.id if isinstance(of, Message) else None,
        refusal_id=of.id if isinstance(of, Refusal) else None,
    )
    return replace(wanted, **changes)


def accept(
    journal: Journal, of: Message, deliveries: Iterable[Delivery], documents: Mapping[str, bytes] | None = None
) -> Message:
    """Have the journal accept one message, and return the one that holds its key."""
    return journal.accept([Acceptance(of, tuple(deliveries), documents or {}, certificates=CERTIFICATES)])[0]


def attempt(claimed: Claimed, **changes: Any) -> Attempt:
    """Return an attempt as the holder of this claim makes it."""
    made = Attempt(delivery_id=claimed.delivery.id, number=claimed.delivery.attempts, started_at=1.0, finished_at=2.0)
    return replace(made, **changes)


OLD_ENTRIES = """INSERT INTO entries (node, number, at, kind, subject, facts, previous, digest) VALUES
    ('one', 1, 50.0, 'alert_given', 'expiry ab', '{"days":7,"owner":"partner acme"}', '', 'd1'),
    ('one', 2, 60.0, 'alert_given', 'expiry ab', '{"days":7,"owner":"partner acme"}', 'd1', 'd2'),
    ('one', 3, 60.0, 'alert_claimed', 'expiry cd', '{"days":7}', 'd2', 'd3'),
    ('one', 4, 60.0, 'alert_given', 'expiry cd', 'damaged', 'd3', 'd4'),
    ('one', 5, 60.0, 'alert_given', 'expiry ef', '{}', 'd4', 'd5')
"""  # in a journal of version 1
