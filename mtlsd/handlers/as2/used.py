"""The certificates that a message was verified, opened and answered with."""

from collections.abc import Iterator

from mtlsd.as2.receiver import SealedMessage, VerifiedMessage
from mtlsd.handlers.context import Inbound
from mtlsd.partners.rollover import Use, Used


def used_for(inbound: Inbound, read: VerifiedMessage | SealedMessage, receipt_signer: str | None) -> Iterator[Used]:
    """The certificates used successfully; `receipt_signer` is the SHA-256 of the certificate that signed our MDN."""
    ours = inbound.call.organization.name
    if isinstance(read, VerifiedMessage) and read.signer and inbound.partner:
        yield Used(Use.MESSAGE, inbound.partner.name, read.signer.sha256)
    if isinstance(read, VerifiedMessage) and read.recipient:
        yield Used(Use.DECRYPTION, ours, read.recipient.sha256)
    if receipt_signer:
        yield Used(Use.SIGNING, ours, receipt_signer)
