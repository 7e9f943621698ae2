"""The layers of an AS2 message, each a sink that takes octets and writes what is inside it into the next one.

An entity's header says what its body is, and the CMS object identifier has the last word:

    Entity ─► EnvelopeLayer ─► Entity ─► SignedLayer ─► Entity ─► CompressedLayer ─► Entity ─► the payload

What a layer learns, it writes into `Findings`. The order of layers is checked as they open (RFC 4130, section 2.4;
RFC 5402, section 3). Nothing that a layer inside an envelope says is told to the sender before a signature speaks for
it: it all ends as the same AS2DecryptFailed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mtlsd.as2.agreement import Agreement, Limits
from mtlsd.as2.cms import reader, verify
from mtlsd.as2.cms.algorithms import DIGEST_OIDS
from mtlsd.as2.cms.decompress import ZLIB, Inflater
from mtlsd.as2.cms.decrypt import Sealed, open_envelope
from mtlsd.as2.cms.verify import DigestNotComputed, VerifiedSignature
from mtlsd.as2.headers import ReceiptRequest, choose_mic
from mtlsd.as2.mic import FormDigests
from mtlsd.as2.mime.multipart_signed import (
    Deferred,
    SignedMultipart,
    SignedPart,
    announced_digests,
    encoding_of_multipart,
)
from mtlsd.as2.mime.parser import ContentType, HeaderBlock, HeaderBlockReader, transfer_decoder
from mtlsd.as2.mime.transfer_encoding import Unarmoured, WithoutPreamble
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.as2.sink import Sink
from mtlsd.errors import (
    AS2DecompressFailed,
    AS2DecryptFailed,
    AS2MIMEMalformed,
    AS2RecipientUnknown,
    AS2Refused,
    AS2SignerUnknown,
)
from mtlsd.partners.rollover import not_in_use
from mtlsd.pki.certificate import Certificate

MAX_FIELD = 4096  # characters of Content-Type and Content-Disposition
PKCS7_MIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")


class Layer(StrEnum):
    """A kind of layer; its value is a letter for `ORDERS`."""

    ENCRYPTED = "e"
    SIGNED = "s"
    COMPRESSED = "c"


# Encryption is outermost; compression is before or behind the signature, once.
ORDERS = ("", "c", "s", "sc", "cs", "e", "ec", "es", "esc", "ecs")


@dataclass(slots=True)
class Findings:
    """What the layers found out, so far."""

    layers: str = ""
    cipher: str | None = None
    recipient: Certificate | None = None  # of ours, that the envelope is for
    is_authenticated: bool = False  # nobody without the key can have changed what the envelope holds
    sealed: AS2RecipientUnknown | None = None  # why the envelope stays closed
    signature: VerifiedSignature | None = None
    signed_part_is_complete: bool = False  # a well-formed signed part was read to its end
    payload_header: HeaderBlock | None = None
    payload_digests: FormDigests | None = None
    payload_size: int = 0


class Evidence(StrEnum):
    """What proves who signed what."""

    SIGNED_ENTITY = "signed"  # the octets that were signed, header included
    SIGNED_DATA = "p7s"  # the SignedData, without its armour; where the content is inside it, it is all there is


Witness = Callable[[Evidence, bytes], None]  # is given the evidence, in order, as it comes
Observe = Callable[[str, Sink], Sink]  # the layers that are open, an entity inside them; what to write to instead


def observe_nothing(_: str, entity: Sink) -> Sink:
    return entity


def witness_nothing(_: Evidence, __: bytes) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Context:
    """What every layer needs: the agreement and its limits, what to hash with, and where the payload goes."""

    agreement: Agreement
    limits: Limits
    now: datetime
    receipt: ReceiptRequest | None
    hints: Hints
    payload: Callable[[bytes], None]
    observe: Observe
    witness: Witness
    findings: Findings = field(default_factory=Findings)

    def open(self, layer: Layer) -> None:
        """Note that a layer begins; refuse an order that AS2 does not have."""
        self.findings.layers += layer
        if self.findings.layers.count(Layer.COMPRESSED) > 1:
            raise AS2DecompressFailed("compressed twice")
        if self.findings.layers not in ORDERS:
            raise AS2MIMEMalformed(f"layers in an order that AS2 does not have: {self.findings.layers}")

    def entity(self) -> Sink:
        """The sink for a MIME entity inside the layers that are open."""
        return self.observe(self.findings.layers, Entity(self))

    def witness_signature(self, data: bytes) -> None:
        """Take some octets of a detached SignedData."""
        self.witness(Evidence.SIGNED_DATA, data)

    def with_digest(self, algorithm: str) -> Hints:
        """Hints for another pass that also needs this digest."""
        return replace(self.hints, digests=self.hints.digests | {algorithm})


class Entity:
    """A MIME entity: a header block, then a body that is another layer or the payload."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._header = HeaderBlockReader()
        self._body: Sink | None = None

    def write(self, data: bytes) -> None:
        if self._body is not None:
            self._body.write(data)
        elif found := self._header.receive_data(data):
            self._begin(*found)

    def close(self) -> None:
        body = self._body or self._begin(*self._header.close())
        body.close()

    def _begin(self, block: HeaderBlock, rest: bytes) -> Sink:
        self._body = body_of(block, self._context, outermost=False)
        if rest:
            self._body.write(rest)
        return self._body


def body_of(block: HeaderBlock, context: Context, *, outermost: bool) -> Sink:
    """The sink for the body that this header describes."""
    content_type = block.content_type() or ContentType("")
    _check_length(block)
    if content_type.value in PKCS7_MIME:
        value = Unarmoured(CMSLayer(context))
        return WithoutPreamble(value) if outermost and not context.agreement.passed_on else value
    if content_type.value == "multipart/signed":
        layer = SignedLayer(content_type, context)
        return transfer_decoder(encoding_of_multipart(block), layer)
    return Payload(block, context, outermost=outermost)


def _check_length(block: HeaderBlock) -> None:
    """What describes the body goes on to the backend and into the journal."""
    if any(len(block.fields.get(name, "")) > MAX_FIELD for name in ("content-type", "content-disposition")):
        raise AS2MIMEMalformed("a field that describes the body is too long")


class Payload:
    """The innermost layer: hashes where nobody signed, decodes, and hands over."""

    def __init__(self, block: HeaderBlock, context: Context, *, outermost: bool) -> None:
        self._context = context
        self._digests: FormDigests | None = None
        context.findings.payload_header = block
        if Layer.SIGNED not in context.findings.layers:
            self._digests = context.findings.payload_digests = FormDigests([choose_mic(context.receipt, None)[0]])
            self._digests.header(HeaderBlock(b"", {}) if outermost else block)  # RFC 4130, section 7.3.1
        self._decoder = transfer_decoder(block.transfer_encoding(), _Delivery(context))

    def write(self, data: bytes) -> None:
        if self._digests:
            self._digests.body(data)
        self._decoder.write(data)

    def close(self) -> None:
        self._decoder.close()


class _Delivery:
    def __init__(self, context: Context) -> None:
        self._context = context

    def write(self, data: bytes) -> None:
        self._context.findings.payload_size += len(data)
        if data:
            self._context.payload(data)

    def close(self) -> None:
        pass


class CMSLayer:
    """A ContentInfo: an envelope, compressed data, or a signature with its content inside."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reader = reader.ContentInfoReader()
        self._content: EnvelopeLayer | OpaqueLayer | CompressedLayer | None = None
        self._beginning = b""  # until it is known what this is

    def write(self, data: bytes) -> None:
        if self._content is None:
            self._beginning += data
        elif isinstance(self._content, OpaqueLayer):
            self._context.witness(Evidence.SIGNED_DATA, data)
        self._reader.receive_data(data)
        while event := self._reader.next_event():
            self._handle(event)

    def close(self) -> None:
        self._reader.close()

    def _handle(self, event: reader.Event) -> None:
        match event:
            case reader.EnvelopedDataStarted():
                self._content = EnvelopeLayer(event, self._context)
            case reader.CompressedDataStarted():
                self._content = CompressedLayer(event, self._context)
            case reader.SignedDataStarted():
                self._content = OpaqueLayer(event, self._context)
                self._context.witness(Evidence.SIGNED_DATA, self._beginning)
            case reader.ContentReceived(data):
                assert self._content is not None
                self._content.write(data)
            case reader.ContentInfoEnded():
                assert self._content is not None
                self._content.close(event)
        self._beginning = b""


class CompressedLayer:
    """Compressed content (RFC 3274)."""

    def __init__(self, started: reader.CompressedDataStarted, context: Context) -> None:
        context.open(Layer.COMPRESSED)
        if started.algorithm.oid != ZLIB:
            raise AS2DecompressFailed(f"compression {started.algorithm.oid} is not supported")
        limits = context.limits
        self._inflater = Inflater(
            context.entity(), max_octets=limits.max_expanded_octets, max_ratio=limits.max_expansion_ratio
        )

    def write(self, data: bytes) -> None:
        self._inflater.write(data)

    def close(self, _: reader.ContentInfoEnded) -> None:
        self._inflater.close()


class EnvelopeLayer:
    """Encrypted content. What goes wrong inside waits for the end, and then looks like a failed decryption."""

    def __init__(self, started: reader.EnvelopedDataStarted, context: Context) -> None:
        context.open(Layer.ENCRYPTED)
        self._findings = context.findings
        self._decryptor = open_envelope(started, context.agreement, context.hints, context.now)
        self._findings.recipient = self._decryptor.recipient
        self._findings.cipher = self._decryptor.name
        self._findings.is_authenticated = self._decryptor.is_authenticated
        self._findings.sealed = self._decryptor.refusal if isinstance(self._decryptor, Sealed) else None
        self._inside = Deferred(context.entity())

    def write(self, data: bytes) -> None:
        if plaintext := self._decryptor.update(data):
            self._inside.write(plaintext)

    def close(self, ended: reader.ContentInfoEnded) -> None:
        if plaintext := self._decryptor.finalize(ended):
            self._inside.write(plaintext)
        if self._findings.sealed is None:
            self._inside.close()
        if self._inside.refusal is not None:
            self._refuse(self._inside.refusal)

    def _refuse(self, refusal: AS2Refused) -> None:
        if self._findings.signed_part_is_complete and not isinstance(refusal, AS2MIMEMalformed):
            raise refusal
        detail = f"{refusal.reason}: {refusal.detail}" if refusal.detail else refusal.reason
        raise AS2DecryptFailed(f"the content of the envelope cannot be read ({detail})") from refusal


class SignedLayer:
    """multipart/signed: what is signed is read on at once, and trusted once the signature is verified."""

    def __init__(self, content_type: ContentType, context: Context) -> None:
        context.open(Layer.SIGNED)
        self._context = context
        algorithms = _digests_to_compute(announced_digests(content_type), context)
        self._parts = SignedMultipart(content_type, algorithms, Witnessed(context), context.witness_signature)

    def write(self, data: bytes) -> None:
        self._parts.write(data)

    def close(self) -> None:
        self._parts.close()
        if self._context.agreement.passed_on and self._parts.has_surroundings:
            raise AS2MIMEMalformed("octets around the parts: whoever reads the message next may take them for it")
        if self._context.findings.cipher and self._parts.has_odd_surroundings:
            raise AS2MIMEMalformed("octets around the parts: whoever holds no key could have put them there")
        _verify(self._parts.signed, self._parts.signers, self._context)


class Witnessed:
    """A signed entity on its way inside."""

    def __init__(self, context: Context) -> None:
        self._witness = context.witness
        self._entity = context.entity()

    def write(self, data: bytes) -> None:
        self._witness(Evidence.SIGNED_ENTITY, data)
        self._entity.write(data)

    def close(self) -> None:
        self._entity.close()


class OpaqueLayer:
    """SignedData with its content inside (RFC 8551, section 3.5.2)."""

    def __init__(self, started: reader.SignedDataStarted, context: Context) -> None:
        context.open(Layer.SIGNED)
        self._context = context
        announced = [DIGEST_OIDS[oid] for oid in started.digest_algorithms if oid in DIGEST_OIDS] or ["sha256"]
        self._signed = SignedPart(_digests_to_compute(announced, context), context.entity())

    def write(self, data: bytes) -> None:
        self._signed.write(data)

    def close(self, ended: reader.ContentInfoEnded) -> None:
        self._signed.close()
        _verify(self._signed, ended.signers, self._context)


def _verify(signed: SignedPart, signers: Sequence[reader.SignerInfo], context: Context) -> None:
    """The end of a signed part: verify, and only then say what was wrong inside it."""
    findings, partner = context.findings, context.agreement.partner
    findings.signed_part_is_complete = True
    certificates, relax = partner.verifying(context.now), partner.relax
    try:
        verified = verify.verify(signers, signed.content(), certificates, relax, context.now)
    except DigestNotComputed as missing:
        raise ReadAgain(context.with_digest(missing.algorithm)) from missing
    if why := not_in_use(partner.dates_of(verified.signer), context.now):
        raise AS2SignerUnknown(f"the signer's certificate is registered, but {why}", **verified.signer.facts())
    findings.signature = verified
    if signed.refusal is not None:
        raise signed.refusal


def _digests_to_compute(announced: Sequence[str], context: Context) -> frozenset[str]:
    """What is announced, what the receipt wants, and what an earlier pass found missing."""
    wanted, _ = choose_mic(context.receipt, announced[0])
    return frozenset(announced) | {wanted} | context.hints.digests
