"""The receipt: a Message Disposition Notification (RFC 4130, section 7; RFC 8098), signed or not.

Built by hand, octet for octet, because products are particular even about the order of fields.
"""

from dataclasses import dataclass
from email.utils import formatdate

from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.as2.mic import MIC
from mtlsd.as2.mime.writer import entity, fields, multipart, multipart_signed
from mtlsd.partners.partner_toml import DEFAULT_VERSION
from mtlsd.pki.key_pair import KeyPair

FEATURES = "multiple-attachments"
PRODUCT_SINCE = "1.3"  # draft-ietf-ediint-rfc4130bis


@dataclass(frozen=True, slots=True)
class Receipt:
    """The content of an MDN. `as2_from` and `as2_to` are those of the message: the MDN swaps them.

    Its header has the names as the partner spells them, because the partner finds itself by them. What we sign has them
    as they were proved.
    """

    as2_from: AS2Name
    as2_to: AS2Name
    original_message_id: str  # exactly as received
    disposition: Disposition
    mic: MIC | None
    explanation: str  # for people; safe to show to a stranger
    reference: str  # our id of the exchange: in the text, in the Message-ID and in the boundaries


@dataclass(frozen=True, slots=True)
class MDN:
    """A finished MDN: header fields and body, ready to be sent again byte for byte."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def build_mdn(
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
        report = entity({"Content-Type": content_type}, body)
        content_type, body = multipart_signed(report, *signing, boundary=f"signed-{receipt.reference}")
    headers = (
        ("AS2-Version", version),
        *product_field(product, version).items(),
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


def product_field(product: str, version: str) -> dict[str, str]:
    """The field AS2-Product, if this version of AS2 has it."""
    return {"AS2-Product": product.lower().replace("/", ":")} if version == PRODUCT_SINCE else {}


def _report(receipt: Receipt, product: str) -> tuple[str, bytes]:
    """The multipart/report, without its own header (RFC 6522)."""
    boundary = f"report-{receipt.reference}"
    text = entity(
        {"Content-Type": "text/plain; charset=us-ascii", "Content-Transfer-Encoding": "7bit"},
        _ascii(
            f"The AS2 message {receipt.original_message_id} from {receipt.as2_from.as_proved}"
            f" to {receipt.as2_to.as_proved}:\r\n{receipt.explanation}\r\nReference: {receipt.reference}\r\n"
        ),
    )
    notification = entity(
        {"Content-Type": "message/disposition-notification", "Content-Transfer-Encoding": "7bit"},
        fields(_notification(receipt, product)) + b"\r\n",  # phpas2 finds the last field only before an empty line
    )
    content_type = f'multipart/report; report-type=disposition-notification; boundary="{boundary}"'
    return content_type, multipart(boundary, text, notification)


def _notification(receipt: Receipt, product: str) -> dict[str, str]:
    said = {
        "Reporting-UA": product,
        "Original-Recipient": f"rfc822; {receipt.as2_to.as_proved}",
        "Final-Recipient": f"rfc822; {receipt.as2_to.as_proved}",
        "Original-Message-ID": receipt.original_message_id,
    }
    if receipt.mic:
        said["Received-Content-MIC"] = str(receipt.mic)
    return said | {"Disposition": str(receipt.disposition)}


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
