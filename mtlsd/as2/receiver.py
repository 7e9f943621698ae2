"""The receiver of AS2 messages (RFC 4130): takes the octets of a body, gives those of the payload, then a verdict.

    receiver = Receiver(headers, agreement, limits, now)
    for chunk in body:
        receiver.receive_data(chunk)
        for event in receiver.events(): quarantine(event.data)   # nothing leaves quarantine before the verdict
    verified = receiver.finish()                                  # or an AS2 error

No sockets, no files, no clock. Only one chunk of the message and its headers are in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.headers import AS2Headers, choose_mic
from mtlsd.as2.layers import Context, Layer, Observe, Witness, body_of, observe_nothing, witness_nothing
from mtlsd.as2.mic import MIC, UnsignedDigests
from mtlsd.as2.mime.parser import unquoted
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.errors import AS2DecryptFailed, AS2MIMEMalformed, AS2SecurityTooLow
from mtlsd.partners.partner_toml import Require
from mtlsd.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class PayloadReceived:
    """Some octets of the payload, in order. They prove nothing until `finish` has returned."""

    data: bytes


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """A message that meets the agreement. Only `Receiver.finish` makes one."""

    content_type: str
    disposition: str | None  # the payload's Content-Disposition, as received
    size: int  # octets of the payload
    mic: MIC
    signer: Certificate | None
    cipher: str | None
    compressed: bool
    form: str | None  # the canonical form in which the signature verified
    recipient: Certificate | None = None  # our certificate that the message was encrypted to
    layers: str = ""  # values of `Layer`, from the outside in
    digest: str | None = None  # of the signature


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """A message that we have no key for: its envelope is well formed, and nothing else is known about it."""

    cipher: str
    recipients: str  # of the envelope, in the words of the log


class Receiver:
    """Reads one AS2 message through all its layers. The octets given to `witness` prove nothing before `finish`."""

    def __init__(
        self,
        headers: AS2Headers,
        agreement: Agreement,
        limits: MessageLimits,
        now: datetime,
        hints: Hints = Hints(),  # noqa: B008 - it is immutable
        observe: Observe = observe_nothing,
        witness: Witness = witness_nothing,
        *,
        every_mic: bool = False,
    ) -> None:
        self._agreement = agreement
        self._payload: list[bytes] = []
        self._context = Context(
            agreement=agreement,
            limits=limits,
            now=now,
            receipt=headers.receipt,
            hints=hints,
            payload=self._payload.append,
            observe=observe,
            witness=witness,
            every_mic=every_mic,
        )
        self._body = body_of(headers.entity, self._context, outermost=True)
        self._again: ReadAgain | None = None

    def receive_data(self, data: bytes) -> None:
        """Take some octets of the body; raises an AS2 error as soon as the sender may learn of it."""
        if self._again is None:
            self._step(lambda: self._body.write(data))

    def _step(self, step: Callable[[], None]) -> None:
        """Run a step; ReadAgain is kept for the end, and an error inside an envelope becomes a failed decryption."""
        try:
            step()
        except ReadAgain as again:
            self._again = again
        except AS2MIMEMalformed as refusal:
            findings = self._context.findings
            if findings.cipher is None or findings.signature is not None:
                raise
            raise AS2DecryptFailed(
                f"the envelope, or the data after it, cannot be read ({refusal.detail})"
            ) from refusal

    @property
    def inflated(self) -> int:
        """The octets that were decompressed in this pass."""
        return self._context.findings.inflated

    @property
    def needs_another_pass(self) -> bool:
        """Whether it is known already that `finish` will raise ReadAgain."""
        return self._again is not None

    @property
    def unsigned(self) -> tuple[str, UnsignedDigests] | None:
        """The layers of a message that is not signed, and the digests of what is inside."""
        findings = self._context.findings
        return (findings.layers, findings.payload_digests) if findings.payload_digests else None

    def events(self) -> Iterator[PayloadReceived]:
        """The payload received since the last call."""
        for data in self._payload:
            yield PayloadReceived(data)
        self._payload.clear()

    def finish(self) -> VerifiedMessage | SealedMessage:
        """The verdict, after the whole body; a SealedMessage only if the agreement allows one.

        Raises an AS2 error, or ReadAgain if another pass is needed with hints that this pass did not have.
        """
        if self._again is None:
            self._step(self._body.close)
        if self._again is not None:
            raise self._again
        findings = self._context.findings
        if findings.sealed is not None:
            assert findings.cipher is not None
            return SealedMessage(findings.cipher, findings.sealed.detail)
        if findings.payload_header is None:
            raise AS2MIMEMalformed("the message has no payload")
        self._check_security()
        verified = findings.signature
        return VerifiedMessage(
            content_type=unquoted(findings.payload_header.fields.get("content-type", "application/octet-stream")),
            disposition=findings.payload_header.fields.get("content-disposition"),
            size=findings.payload_size,
            mic=self._mic(),
            signer=verified.signer if verified else None,
            cipher=findings.cipher,
            compressed=Layer.COMPRESSED in findings.layers,
            form=verified.form if verified else None,
            recipient=findings.recipient,
            layers=findings.layers,
            digest=verified.algorithm if verified else None,
        )

    def _check_security(self) -> None:
        """Compare what was proved, not what was announced, with what the agreement requires."""
        findings, require = self._context.findings, self._agreement.require
        if Require.SIGN in require and findings.signature is None:
            if findings.cipher and not findings.is_authenticated:  # or one learns what decrypts
                raise AS2DecryptFailed("the content of the envelope is not signed")
            raise AS2SecurityTooLow("the message is not signed")
        if Require.ENCRYPT in require and findings.cipher is None:
            raise AS2SecurityTooLow("the message is not encrypted")

    def _mic(self) -> MIC:
        """The MIC: over the content that verified, or over the payload of an unsigned message (RFC 4130, 7.3.1)."""
        findings, receipt = self._context.findings, self._context.receipt
        if findings.signature is None:
            way, algorithm, label = self._context.unsigned_mic()
            assert findings.payload_digests is not None
            return MIC(findings.payload_digests.digest(way, algorithm), algorithm, label)
        algorithm, label = choose_mic(receipt, findings.signature.algorithm)
        if algorithm not in findings.signature.digests:
            raise ReadAgain(self._context.with_digest(algorithm))
        return MIC(findings.signature.digests[algorithm], algorithm, label)
