"""The receipt: a Message Disposition Notification (RFC 4130, section 7; RFC 8098), signed or not.

Built by hand, octet for octet: field order, CRLF, unfolded headers, no epilogue. Products are particular about each.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

from mtlsd.as2.disposition import Disposition
from mtlsd.as2.headers import DEFAULT_LABELS, AS2Name
from mtlsd.as2.mic import MIC
from mtlsd.as2.signature import sign
from mtlsd.identity import DEFAULT_VERSION, KeyPair

FEATURES = "multiple-attachments"
PRODUCT_SINCE = "1.3"  # draft-ietf-ediint-rfc4130bis


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an MDN says. The names are the message's own: the MDN swaps them."""

    as2_from: AS2Name
    as2_to: AS2Name
    original_message_id: str  # exactly as received
    disposition: Disposition
    mic: MIC | None
    explanation: str  # for people; safe to tell a stranger
    reference: str  # our id of the exchange: in the text, in the Message-ID and in the boundaries


@dataclass(frozen=True, slots=True)
class MDN:
    """A finished MDN: header fields and body, ready to be sent again byte for byte."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def build(
    receipt: Receipt,
    *,
    now: float,
    host: str,
    signing: tuple[KeyPair, str] | None,
    product: str,
    version: str = DEFAULT_VERSION,
) -> MDN:
    """The MDN for this receipt; `signing` is our key pair and a digest algorithm, or None for an unsigned MDN."""
    content_type, body = _report(receipt, product)
    if signing:
        content_type, body = _signed(content_type, body, *signing, boundary=f"signed-{receipt.reference}")
    headers = (
        ("AS2-Version", version),
        *([("AS2-Product", product.lower().replace("/", ":"))] if version == PRODUCT_SINCE else []),
        ("AS2-From", receipt.as2_to.spelled),
        ("AS2-To", receipt.as2_from.spelled),
        ("Message-ID", f"<{receipt.reference}@{host}>"),
        ("EDIINT-Features", FEATURES),
        ("MIME-Version", "1.0"),
        ("Subject", "Message Disposition Notification"),
        ("Date", formatdate(now, usegmt=True)),
        ("Content-Type", content_type),
    )
    return MDN(headers, body)


def _report(receipt: Receipt, product: str) -> tuple[str, bytes]:
    """The multipart/report, without its own header (RFC 6522)."""
    boundary = f"report-{receipt.reference}"
    text = _part(
        {"Content-Type": "text/plain; charset=us-ascii", "Content-Transfer-Encoding": "7bit"},
        _ascii(
            f"The AS2 message {receipt.original_message_id} from {receipt.as2_from.spelled}"
            f" to {receipt.as2_to.spelled}:\r\n{receipt.explanation}\r\nReference: {receipt.reference}\r\n"
        ),
    )
    notification = _part(
        {"Content-Type": "message/disposition-notification", "Content-Transfer-Encoding": "7bit"},
        _fields(_notification(receipt, product)),
    )
    content_type = f'multipart/report; report-type=disposition-notification; boundary="{boundary}"'
    return content_type, _multipart(boundary, text, notification)


def _notification(receipt: Receipt, product: str) -> dict[str, str]:
    fields = {
        "Reporting-UA": product,
        "Original-Recipient": f"rfc822; {receipt.as2_to.spelled}",
        "Final-Recipient": f"rfc822; {receipt.as2_to.spelled}",
        "Original-Message-ID": receipt.original_message_id,
    }
    if receipt.mic:
        fields["Received-Content-MIC"] = str(receipt.mic)
    return fields | {"Disposition": str(receipt.disposition)}


def _signed(content_type: str, body: bytes, pair: KeyPair, algorithm: str, *, boundary: str) -> tuple[str, bytes]:
    """multipart/signed over the entity, its header included (RFC 1847, RFC 8551 section 3.5.3)."""
    entity = _part({"Content-Type": content_type}, body)
    digest = hashlib.new(algorithm, entity, usedforsecurity=False).digest()
    signature = _part(
        {
            "Content-Type": "application/pkcs7-signature; name=smime.p7s; smime-type=signed-data",
            "Content-Transfer-Encoding": "base64",
            "Content-Disposition": "attachment; filename=smime.p7s",
        },
        _base64_lines(sign(digest, algorithm, pair)),
    )
    parameters = f'micalg={DEFAULT_LABELS[algorithm]}; boundary="{boundary}"'
    signed_type = f'multipart/signed; protocol="application/pkcs7-signature"; {parameters}'
    return signed_type, _multipart(boundary, entity, signature)


def _part(header: Mapping[str, str], body: bytes) -> bytes:
    return _fields(header) + b"\r\n" + body


def _fields(fields: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1")


def _multipart(boundary: str, *parts: bytes) -> bytes:
    delimiter = f"--{boundary}".encode("ascii")
    return b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"


def _base64_lines(data: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
