"""The layers of an AS2 message: each is a sink that takes octets and writes its content into the next one.

An entity's header describes its body; for CMS, the object identifier of the content decides:

    Entity ─► EnvelopeLayer ─► Entity ─► SignedLayer ─► Entity ─► CompressedLayer ─► Entity ─► the payload

A layer writes its results into `Findings`. The order of layers is checked as they open (RFC 4130, section 2.4;
RFC 5402, section 3). Until a signature vouches for the content of an envelope, the sender is told nothing about it:
every error inside is reported as the same AS2DecryptFailed.

Decompression multiplies the work that a sender causes, so an unproven sender gets little of it. Compressed content
inside a signature waits: the signature is verified first, and the body is read again (`Hints.is_signed`). A signature
inside compressed content cannot be verified first, so that content has tight limits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.cms import reader, verify
from mtlsd.as2.cms.algorithms import DIGEST_OIDS
from mtlsd.as2.cms.decompress import UNPROVEN_GRACE, ZLIB, ExpansionLimits, Inflater
from mtlsd.as2.cms.decrypt import Sealed, open_envelope
from mtlsd.as2.cms.verify import DigestNotComputed, VerifiedSignature
from mtlsd.as2.headers import DEFAULT_LABELS, ReceiptRequest, choose_mic
from mtlsd.as2.mic import DIGESTS, MENDELSON_DIGEST, Hashed, UnsignedDigests, hashed
from mtlsd.as2.mime.document import MESSAGE, PKCS7_MIME, DocumentBeginning
from mtlsd.as2.mime.multipart_signed import (
    Deferred,
    SignedMultipart,
    SignedPart,
    announced_digests,
    encoding_of_multipart,
)
from mtlsd.as2.mime.one_reading import check_one_reading
from mtlsd.as2.mime.parser import (
    IDENTITY,
    ContentType,
    HeaderBlock,
    HeaderBlockReader,
    transfer_decoder,
    unquoted,
)
from mtlsd.as2.mime.transfer_encoding import Unarmoured, WithoutPreamble
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.as2.sink import Nowhere, Sink
from mtlsd.errors import (
    AS2DecompressFailed,
    AS2DecryptFailed,
    AS2MIMEMalformed,
    AS2RecipientUnknown,
    AS2Refused,
    AS2SecurityTooLow,
    AS2SignerUnknown,
)
from mtlsd.partners.partner_toml import MICProfile, Require
from mtlsd.partners.rollover import not_in_use
from mtlsd.pki.certificate import Certificate
from mtlsd.text import cut

MAX_FIELD = 4096  # characters of Content-Type and Content-Disposition


class Layer(StrEnum):
    """A kind of layer; its value is a letter for `ORDERS`."""

    ENCRYPTED = "e"
    SIGNED = "s"
    COMPRESSED = "c"


# Encryption is outermost; compression occurs at most once, inside or outside of the signature.
ORDERS = ("", "c", "s", "sc", "cs", "e", "ec", "es", "esc", "ecs")


@dataclass(slots=True)
class Findings:
    """The results of the layers so far."""

    layers: str = ""
    cipher: str | None = None
    recipient: Certificate | None = None  # our certificate that the envelope is encrypted to
    is_authenticated: bool = False  # nobody without the key can have changed the content of the envelope
    sealed: AS2RecipientUnknown | None = None  # why the envelope stays closed
    signature: VerifiedSignature | None = None
    signed_part_is_complete: bool = False  # a well-formed signed part was read to its end
    inflated: int = 0  # octets
    is_postponed: bool = False  # compressed content was not decompressed, because nobody is proven yet
    payload_header: HeaderBlock | None = None
    payload_digests: UnsignedDigests | None = None
    payload_size: int = 0


class SignatureEvidence(StrEnum):
    """The kinds of octets that prove who signed what."""

    SIGNED_ENTITY = "signed"  # the octets that were signed, with their header
    SIGNED_DATA = "p7s"  # the SignedData in binary; if the content is inside, this is the only evidence


Witness = Callable[[SignatureEvidence, bytes], None]  # is given the evidence, in order, as it arrives
Observe = Callable[[str, Sink], Sink]  # given the open layers and the entity inside, returns what to write to instead


def observe_nothing(_: str, entity: Sink) -> Sink:
    return entity


def witness_nothing(_: SignatureEvidence, __: bytes) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Context:
    """The input of all layers: the agreement and its limits, digests to compute, and the receiver of the payload."""

    agreement: Agreement
    limits: MessageLimits
    now: datetime
    receipt: ReceiptRequest | None
    hints: Hints
    payload: Callable[[bytes], None]
    observe: Observe
    witness: Witness
    every_mic: bool = False  # hash a message that is not signed in every way and with every algorithm
    findings: Findings = field(default_factory=Findings)

    def open(self, layer: Layer) -> None:
        """Record that a layer begins; raises AS2MIMEMalformed or AS2DecompressFailed if AS2 has no such order."""
        self.findings.layers += layer
        if self.findings.layers.count(Layer.COMPRESSED) > 1:
            raise AS2DecompressFailed("compressed twice")
        if self.findings.layers not in ORDERS:
            raise AS2MIMEMalformed(f"layers in an order that AS2 does not have: {self.findings.layers}")

    @property
    def is_proven(self) -> bool:
        """Whether TLS, or a signature in an earlier pass, has proved the partner."""
        return self.agreement.is_proven or self.hints.is_signed

    @property
    def lacks_signature(self) -> bool:
        """Whether content that begins here would be refused in the end, because no signature covers it."""
        return Require.SIGN in self.agreement.require and Layer.SIGNED not in self.findings.layers

    @property
    def expansion_limits(self) -> ExpansionLimits:
        """The limits on decompression for this sender."""
        limits = self.limits
        if self.is_proven:
            return ExpansionLimits(limits.max_expanded_octets, limits.max_expansion_ratio)
        return ExpansionLimits(limits.max_unproven_octets, limits.max_unproven_ratio, grace=UNPROVEN_GRACE)

    def entity(self) -> Sink:
        """The sink for a MIME entity inside the open layers."""
        return self.observe(self.findings.layers, Entity(self))

    def unsigned_mic(self) -> tuple[Hashed, str, str]:
        """What the MIC of an unsigned message is over, its algorithm, and the spelling of that."""
        profile = self.agreement.partner.mic_profile
        algorithm, label = choose_mic(self.receipt, None)
        if profile is MICProfile.MENDELSON:
            algorithm, label = MENDELSON_DIGEST, DEFAULT_LABELS[MENDELSON_DIGEST]
        return hashed(profile, self.findings.layers), algorithm, label

    def unsigned_digests(self, block: HeaderBlock) -> UnsignedDigests:
        """The digests to compute of a payload with this header that nobody signed."""
        if self.every_mic:
            return UnsignedDigests(Hashed, DIGESTS, block)
        way, algorithm, _ = self.unsigned_mic()
        return UnsignedDigests([way], [algorithm], block)

    def witness_signature(self, data: bytes) -> None:
        """Take some octets of a detached SignedData."""
        self.witness(SignatureEvidence.SIGNED_DATA, data)

    def with_digest(self, algorithm: str) -> Hints:
        """The hints for another pass, with this digest added."""
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
    """The sink for the body that a header describes."""
    _check_length(block)
    content_type = _content_type(block, context, outermost=outermost)
    if content_type.value in PKCS7_MIME:
        value = Unarmoured(CMSLayer(context))
        return WithoutPreamble(value) if outermost and not context.agreement.passed_on else value
    if content_type.value == "multipart/signed":
        if outermost and context.agreement.passed_on:
            check_one_reading(block)
        layer = SignedLayer(content_type, context)
        return transfer_decoder(encoding_of_multipart(block), layer)
    may_hold_entity = block.transfer_encoding() in IDENTITY and not context.agreement.passed_on
    if may_hold_entity and not content_type.value.startswith(MESSAGE):
        return DocumentOrEntity(block, context)
    return _document(block, context)


def _document(block: HeaderBlock, context: Context) -> Sink:
    return _unsigned(block, context) if context.lacks_signature else Payload(block, context)


def _content_type(block: HeaderBlock, context: Context, *, outermost: bool) -> ContentType:
    """The type of the body; raises AS2MIMEMalformed for a type that no reader, or not every reader, understands."""
    text = block.fields.get("content-type", "")
    content_type = ContentType.parse(text)
    if text and not content_type.is_media_type:
        raise AS2MIMEMalformed(f"the Content-Type is not a media type: {cut(text)!r}")
    if outermost and context.agreement.passed_on and unquoted(text) != text:
        raise AS2MIMEMalformed("the Content-Type is in quotes: the next reader could take it for another type")
    return content_type


def _unsigned(block: HeaderBlock, context: Context) -> Sink:
    """Refuse a payload that is not signed and must be; inside an envelope only `Receiver.finish` may say so."""
    if context.findings.cipher is None:
        raise AS2SecurityTooLow("the message is not signed")
    context.findings.payload_header = block
    return Nowhere()


def _check_length(block: HeaderBlock) -> None:
    """Refuse a field that is too long for the backend and the journal, where the description of the body ends up."""
    if any(len(block.fields.get(name, "")) > MAX_FIELD for name in ("content-type", "content-disposition")):
        raise AS2MIMEMalformed("a field that describes the body is too long")


class DocumentOrEntity:
    """A document, or an S/MIME entity that a product put in its place, which is then read as such."""

    def __init__(self, block: HeaderBlock, context: Context) -> None:
        self._block = block
        self._context = context
        self._beginning = DocumentBeginning()
        self._held = bytearray()  # until the beginning is known
        self._body: Sink | None = None

    def write(self, data: bytes) -> None:
        if self._body is not None:
            self._body.write(data)
            return
        self._held += data
        self._beginning.write(data)
        if self._beginning.is_known:
            self._begin()

    def close(self) -> None:
        self._beginning.close()
        body = self._body or self._begin()
        body.close()

    def _begin(self) -> Sink:
        begins = bytes(self._held)
        self._held.clear()
        if self._beginning.entity is None:
            self._body = _document(self._block, self._context)
        else:
            header, begins = self._beginning.entity
            self._body = body_of(header, self._context, outermost=False)
        if begins:
            self._body.write(begins)
        return self._body


class Payload:
    """The innermost layer: hashes the octets if nobody signed them, decodes them, and hands them over."""

    def __init__(self, block: HeaderBlock, context: Context) -> None:
        self._digests: UnsignedDigests | None = None
        context.findings.payload_header = block
        if Layer.SIGNED not in context.findings.layers:
            self._digests = context.findings.payload_digests = context.unsigned_digests(block)
        delivery = _Delivery(block, context, self._digests)
        self._decoder = transfer_decoder(block.transfer_encoding(), delivery)

    def write(self, data: bytes) -> None:
        if self._digests:
            self._digests.encoded(data)
        self._decoder.write(data)

    def close(self) -> None:
        self._decoder.close()


class _Delivery:
    """Hands over a document, and refuses one that turns out to be an S/MIME entity, which nobody opened.

    This happens if the entity is behind a transfer encoding, and if a backend gets the message: the backend goes by the
    header of the message, and would take the entity for the document.
    """

    def __init__(self, block: HeaderBlock, context: Context, digests: UnsignedDigests | None) -> None:
        self._context = context
        self._digests = digests
        self._beginning = DocumentBeginning()
        content_type = block.content_type()
        if content_type and content_type.value.startswith(MESSAGE):
            self._beginning.close()

    def write(self, data: bytes) -> None:
        if not self._beginning.is_known:
            self._beginning.write(data)
            self._check()
        self._context.findings.payload_size += len(data)
        if self._digests:
            self._digests.decoded(data)
        if data:
            self._context.payload(data)

    def close(self) -> None:
        self._beginning.close()
        self._check()

    def _check(self) -> None:
        if self._beginning.entity:
            raise AS2MIMEMalformed("the document has a MIME header of its own, and is an entity that was not opened")


class CMSLayer:
    """A ContentInfo: an envelope, compressed data, or a signature with its content inside."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reader = reader.ContentInfoReader()
        self._content: EnvelopeLayer | OpaqueLayer | CompressedLayer | None = None
        self._beginning = b""  # of the ContentInfo, until its type is known

    def write(self, data: bytes) -> None:
        if self._content is None:
            self._beginning += data
        elif isinstance(self._content, OpaqueLayer):
            self._context.witness(SignatureEvidence.SIGNED_DATA, data)
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
                self._context.witness(SignatureEvidence.SIGNED_DATA, self._beginning)
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
        is_signed = Layer.SIGNED in context.findings.layers
        context.open(Layer.COMPRESSED)
        if started.algorithm.oid != ZLIB:
            raise AS2DecompressFailed(f"compression {started.algorithm.oid} is not supported")
        self._findings = context.findings
        self._content: Inflater | Nowhere = Nowhere()
        if is_signed and not context.is_proven:
            self._findings.is_postponed = True
        else:
            self._content = Inflater(context.entity(), context.expansion_limits)

    def write(self, data: bytes) -> None:
        self._content.write(data)
        if isinstance(self._content, Inflater):
            self._findings.inflated = self._content.written

    def close(self, _: reader.ContentInfoEnded) -> None:
        self._content.close()


class EnvelopeLayer:
    """Encrypted content. An error inside is held until the end, and then looks like a failed decryption."""

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
    """multipart/signed: the signed part is read at once, and trusted only after the signature has verified."""

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
            raise AS2MIMEMalformed("octets around the parts: the next reader could take them for the message")
        if self._context.findings.cipher and self._parts.has_odd_surroundings:
            raise AS2MIMEMalformed("octets around the parts: somebody without the key could have put them there")
        _verify(self._parts.signed, self._parts.signers, self._context)


class Witnessed:
    """Writes a signed entity to the witness and to the next layer."""

    def __init__(self, context: Context) -> None:
        self._witness = context.witness
        self._entity = context.entity()

    def write(self, data: bytes) -> None:
        self._witness(SignatureEvidence.SIGNED_ENTITY, data)
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
    """Verify a signed part at its end, and only then raise an error that was found inside."""
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
    if findings.is_postponed:
        raise ReadAgain(replace(context.hints, is_signed=True))


def _digests_to_compute(announced: Sequence[str], context: Context) -> frozenset[str]:
    """The digests that are announced, that the receipt asks for, and that an earlier pass found missing."""
    wanted, _ = choose_mic(context.receipt, announced[0])
    return frozenset(announced) | {wanted} | context.hints.digests
