"""The contents of a receipt: the disposition, the MIC and the text, for acceptance and for refusal."""

from dataclasses import dataclass

from mtlsd import __version__
from mtlsd.as2.headers import AS2Headers, choose_mic
from mtlsd.as2.mdn.build import Receipt, build_mdn
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.as2.receiver import VerifiedMessage
from mtlsd.errors import (
    AS2FromUnknown,
    AS2ReceiptFormatUnsupported,
    AS2Refused,
    AS2ToUnknown,
)
from mtlsd.journal.model import StoredMDN
from mtlsd.pki.key_pair import KeyPair

PRODUCT = f"mtlsd/{__version__}"
UNSIGNED = (AS2FromUnknown, AS2ToUnknown, AS2ReceiptFormatUnsupported)  # no agreement or no format to sign with


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of the receipt, with its host, the exchange, and the time."""

    signing: KeyPair
    host: str
    reference: str
    now: float
    version: str  # of AS2, as the partner uses it


def accepted(
    headers: AS2Headers, verified: VerifiedMessage, sender: Sender, explanation: str | None = None
) -> StoredMDN:
    """The receipt for an accepted message, with a default text."""
    receipt = Receipt(
        as2_from=headers.as2_from,
        as2_to=headers.as2_to,
        original_message_id=headers.message_id,
        disposition=Disposition.of(None),
        mic=verified.mic,
        explanation=explanation or f"The message was received{', verified' if verified.signer else ''} and stored.",
        reference=sender.reference,
    )
    assert headers.receipt is not None
    return _build(receipt, sender, verified.mic.algorithm if headers.receipt.signed else None)


def refused(headers: AS2Headers, refusal: AS2Refused, sender: Sender) -> StoredMDN:
    """The receipt that says why a message was refused; signed if a signed receipt was requested."""
    receipt = Receipt(
        as2_from=headers.as2_from,
        as2_to=headers.as2_to,
        original_message_id=headers.message_id,
        disposition=Disposition.of(refusal.disposition),
        mic=None,
        explanation=f"The message was refused ({refusal.reason}). {refusal.said}",
        reference=sender.reference,
    )
    assert headers.receipt is not None
    signed = headers.receipt.signed and not isinstance(refusal, UNSIGNED)
    return _build(receipt, sender, choose_mic(headers.receipt, None)[0] if signed else None)


def _build(receipt: Receipt, sender: Sender, algorithm: str | None) -> StoredMDN:
    signing = (sender.signing, algorithm) if algorithm else None
    mdn = build_mdn(receipt, now=sender.now, host=sender.host, signing=signing, product=PRODUCT, version=sender.version)
    return StoredMDN(headers=mdn.headers, body=mdn.body)
