"""A reader of the Cryptographic Message Syntax (RFC 5652): octets in, in chunks, and events out.

`ContentInfoReader` takes the octets of one ContentInfo and gives, in this order, an event with its type
(`EnvelopedDataStarted`, `CompressedDataStarted` or `SignedDataStarted`), any number of `ContentReceived`, and
`ContentInfoEnded`. The fields around the content are bounded and given whole; the content is never held.

The object identifier decides about the type, whatever a MIME header calls it.
"""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from mtlsd.as2.cms.der import Element, Reader, Steps, context
from mtlsd.errors import AS2MIMEMalformed
from mtlsd.pki.ber import BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"  # RFC 5083
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"

MAX_SMALL = 256  # octets: an object identifier, an integer, an algorithm with its parameters
MAX_SIGNERS = 16
MAX_INFOS = 256 * 1024  # octets: all recipients, all certificates, all CRLs or all signers


@dataclass(frozen=True, slots=True)
class AlgorithmIdentifier:
    """AlgorithmIdentifier (RFC 5280, section 4.1.1.2); absent and NULL parameters mean the same."""

    oid: str
    parameters: Element | None

    @classmethod
    def parse(cls, element: Element) -> "AlgorithmIdentifier":
        oid, *parameters = element.expect(SEQUENCE).children() or [element]
        return cls(oid.oid(), parameters[0] if parameters else None)


@dataclass(frozen=True, slots=True)
class KeyIdentifier:
    """Names a key: issuer and serial number, or subject key identifier (RFC 5652, sections 5.3 and 6.2.1)."""

    issuer: bytes | None  # the DER of the Name
    serial: int | None
    subject_key_identifier: bytes | None

    @classmethod
    def parse(cls, element: Element) -> "KeyIdentifier":
        if element.tag == SEQUENCE:
            match element.children():
                case [issuer, serial]:
                    return cls(issuer.whole, serial.integer(), None)
        elif element.tag & 0x9F == context(0, constructed=False):
            return cls(None, None, element.octets())
        raise AS2MIMEMalformed("not a recipient or signer identifier")

    def __str__(self) -> str:
        if self.subject_key_identifier is not None:
            return f"key identifier {self.subject_key_identifier[:32].hex()}"
        return f"serial number {self.serial:x}"[:80]


@dataclass(frozen=True, slots=True)
class KeyTransRecipient:
    """KeyTransRecipientInfo (RFC 5652, section 6.2.1)."""

    identifier: KeyIdentifier
    algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class KeyAgreeRecipient:
    """One recipient of a KeyAgreeRecipientInfo (RFC 5652, section 6.2.2), with the sender's ephemeral key."""

    identifier: KeyIdentifier
    algorithm: AlgorithmIdentifier
    originator_key: bytes  # the point, uncompressed
    keying_material: Element | None
    encrypted_key: bytes


Recipient = KeyTransRecipient | KeyAgreeRecipient


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """SignerInfo (RFC 5652, section 5.3). `signed_attributes` is None if there are none."""

    identifier: KeyIdentifier
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: Element | None
    signature_algorithm: AlgorithmIdentifier
    signature: bytes

    @classmethod
    def parse(cls, element: Element) -> "SignerInfo":
        fields = element.expect(SEQUENCE).children()
        if len(fields) >= 2 and fields[-1].tag == context(1):  # unsigned attributes prove nothing
            fields.pop()
        attributes = fields.pop(3) if len(fields) == 6 else None
        if len(fields) != 5 or (attributes and attributes.tag != context(0)):
            raise AS2MIMEMalformed("not a SignerInfo")
        _, identifier, digest, algorithm, signature = fields
        return cls(
            KeyIdentifier.parse(identifier),
            AlgorithmIdentifier.parse(digest),
            attributes,
            AlgorithmIdentifier.parse(algorithm),
            signature.octets(),
        )


@dataclass(frozen=True, slots=True)
class EnvelopedDataStarted:
    """The content that follows is encrypted; recipients of unsupported types are left out."""

    recipients: tuple[Recipient, ...]
    algorithm: AlgorithmIdentifier
    is_authenticated: bool  # AuthEnvelopedData: ContentInfoEnded has the tag


@dataclass(frozen=True, slots=True)
class CompressedDataStarted:
    """The content that follows is compressed (RFC 3274)."""

    algorithm: AlgorithmIdentifier


@dataclass(frozen=True, slots=True)
class SignedDataStarted:
    """The value is a signature; content follows only if it is not detached."""

    digest_algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContentReceived:
    """Some octets of the content, in order."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContentInfoEnded:
    """The ContentInfo is complete; the fields are those that follow its content."""

    signers: tuple[SignerInfo, ...] = ()  # of SignedData
    authenticated_attributes: Element | None = None  # of AuthEnvelopedData
    tag: bytes = b""


Event = EnvelopedDataStarted | CompressedDataStarted | SignedDataStarted | ContentReceived | ContentInfoEnded

_DONE = object()


class ContentInfoReader:
    """Takes the octets of one ContentInfo, BER or DER, and gives events; raises AS2MIMEMalformed."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._events: deque[Event] = deque()
        self._pieces: list[bytes] = []
        self._steps: Steps | None = self._content_info()
        self._has_more = False  # octets after the value

    def receive_data(self, data: bytes) -> None:
        """Take some octets. Line ends after the value, which some products send, are ignored."""
        if self._steps is None:
            self._has_more = self._has_more or bool(data.strip(b"\r\n"))
            return
        self._reader.receive_data(data)
        done = next(self._steps, _DONE) is _DONE
        if content := b"".join(self._pieces):
            self._events.append(ContentReceived(content))
        self._pieces.clear()
        if done:
            self._steps = None
            self._events.append(self._ended)
            self.receive_data(self._reader.rest())

    def next_event(self) -> Event | None:
        """The next event, or None while more octets are needed; raises AS2MIMEMalformed for octets after the value."""
        if self._events:
            return self._events.popleft()
        if self._has_more:
            raise AS2MIMEMalformed("octets after the CMS value")
        return None

    def close(self) -> None:
        """End the input; raises AS2MIMEMalformed if the value is truncated."""
        if self._steps is not None:
            raise AS2MIMEMalformed("the CMS value ends early")

    def _content_info(self) -> Steps:
        read = self._reader
        yield from read.enter(SEQUENCE)
        content_type = (yield from read.element(MAX_SMALL)).oid()
        yield from read.enter(context(0))
        self._ended = ContentInfoEnded()
        if content_type == ENVELOPED_DATA:
            yield from self._enveloped_data()
        elif content_type == AUTH_ENVELOPED_DATA:
            yield from self._auth_enveloped_data()
        elif content_type == COMPRESSED_DATA:
            yield from self._compressed_data()
        elif content_type == SIGNED_DATA:
            yield from self._signed_data()
        else:
            raise AS2MIMEMalformed(f"CMS content of type {content_type} is not supported")
        yield from read.leave()
        yield from read.leave()

    def _enveloped_data(self) -> Steps:
        read = self._reader
        yield from read.enter(SEQUENCE)
        yield from self._encrypted_content(is_authenticated=False)
        if (yield from read.more()):
            yield from read.element(MAX_INFOS)  # unprotectedAttrs
            yield from read.leave()

    def _auth_enveloped_data(self) -> Steps:
        """Read an AuthEnvelopedData (RFC 5083, section 2.1)."""
        read = self._reader
        yield from read.enter(SEQUENCE)
        yield from self._encrypted_content(is_authenticated=True)
        attributes = None
        if (yield from read.next_tag()) == context(1):
            attributes = yield from read.element(MAX_INFOS)
        tag = (yield from read.element(MAX_SMALL)).expect(OCTET_STRING).content
        self._ended = ContentInfoEnded(authenticated_attributes=attributes, tag=tag)
        if (yield from read.more()):
            yield from read.element(MAX_INFOS)  # unauthAttrs
            yield from read.leave()

    def _encrypted_content(self, *, is_authenticated: bool) -> Steps:
        read = self._reader
        yield from read.element(MAX_SMALL)  # version
        if (yield from read.next_tag()) == context(0):
            yield from read.element(MAX_INFOS)  # originatorInfo
        infos = yield from read.element(MAX_INFOS)
        yield from read.enter(SEQUENCE)
        yield from self._expect_data()
        algorithm = AlgorithmIdentifier.parse((yield from read.element(MAX_SMALL)))
        self._events.append(EnvelopedDataStarted(_recipients(infos), algorithm, is_authenticated))
        yield from read.octets(context(0, constructed=False), self._pieces)
        yield from read.leave()

    def _compressed_data(self) -> Steps:
        read = self._reader
        yield from read.enter(SEQUENCE)
        yield from read.element(MAX_SMALL)  # version
        algorithm = AlgorithmIdentifier.parse((yield from read.element(MAX_SMALL)))
        self._events.append(CompressedDataStarted(algorithm))
        yield from self._encapsulated(required=True)
        yield from read.leave()

    def _signed_data(self) -> Steps:
        read = self._reader
        yield from read.enter(SEQUENCE)
        yield from read.element(MAX_SMALL)  # version
        digests = (yield from read.element(MAX_INFOS)).expect(SET).children()
        self._events.append(SignedDataStarted(tuple(AlgorithmIdentifier.parse(each).oid for each in digests)))
        yield from self._encapsulated(required=False)
        while (yield from read.next_tag()) in (context(0), context(1)):
            yield from read.element(MAX_INFOS)  # certificates and CRLs: never used, the registered ones are
        infos = yield from read.element(MAX_INFOS)
        signers = infos.expect(SET).children()
        if len(signers) > MAX_SIGNERS:
            raise AS2MIMEMalformed(f"{len(signers)} signers")
        self._ended = ContentInfoEnded(tuple(map(SignerInfo.parse, signers)))
        yield from read.leave()

    def _encapsulated(self, *, required: bool) -> Steps:
        read = self._reader
        yield from read.enter(SEQUENCE)
        yield from self._expect_data()
        if required or (yield from read.more()):
            yield from read.enter(context(0))
            yield from read.octets(OCTET_STRING, self._pieces)
            yield from read.leave()
            yield from read.leave()

    def _expect_data(self) -> Generator[None, None, None]:
        content_type = yield from self._reader.element(MAX_SMALL)
        if content_type.expect(OBJECT_IDENTIFIER).oid() != DATA:
            raise AS2MIMEMalformed(f"the content has the type {content_type.oid()} instead of data")


def _recipients(infos: Element) -> tuple[Recipient, ...]:
    recipients: list[Recipient] = []
    for info in infos.expect(SET).children():
        if info.tag == SEQUENCE:
            recipients.append(_key_trans_recipient(info))
        elif info.tag == context(1):
            recipients += _key_agree_recipients(info)
    return tuple(recipients)


def _key_trans_recipient(info: Element) -> KeyTransRecipient:
    match info.children():
        case [version, identifier, algorithm, key] if version.tag == INTEGER:
            return KeyTransRecipient(
                KeyIdentifier.parse(identifier), AlgorithmIdentifier.parse(algorithm), key.octets()
            )
    raise AS2MIMEMalformed("not a KeyTransRecipientInfo")


def _key_agree_recipients(info: Element) -> list[KeyAgreeRecipient]:
    """The recipients of one KeyAgreeRecipientInfo; none if the sender's key is not ephemeral."""
    _, originator, *fields = info.children() or [info]
    material = fields.pop(0).only_child() if fields and fields[0].tag == context(1) else None
    if len(fields) != 2:
        raise AS2MIMEMalformed("not a KeyAgreeRecipientInfo")
    key = originator.expect(context(0)).only_child()
    if key.tag != context(1):
        return []
    point = key.children()[-1].expect(BIT_STRING).content[1:]  # without the count of unused bits
    algorithm = AlgorithmIdentifier.parse(fields[0])
    return [
        KeyAgreeRecipient(identifier, algorithm, point, material, encrypted_key)
        for identifier, encrypted_key in map(_recipient_encrypted_key, fields[1].expect(SEQUENCE).children())
    ]


def _recipient_encrypted_key(element: Element) -> tuple[KeyIdentifier, bytes]:
    match element.expect(SEQUENCE).children():
        case [identifier, key] if identifier.tag == SEQUENCE:
            return KeyIdentifier.parse(identifier), key.octets()
        case [identifier, key] if identifier.tag == context(0):  # RecipientKeyIdentifier
            return KeyIdentifier(None, None, (identifier.children() or [identifier])[0].octets()), key.octets()
    raise AS2MIMEMalformed("not a RecipientEncryptedKey")
