"""multipart/signed with its detached signature (RFC 1847; RFC 8551, section 3.5.3), read as it arrives.

The rules, and why:

1. *There are exactly two parts* (RFC 1847, section 2.1): an entity, then its signature, which is a SignedData without
   content (RFC 5652, section 5). The CMS value decides. `protocol` and the header of the second part are often wrong
   and prove nothing, so nothing depends on them. A SignedData with content is refused: it would prove that content, and
   not the first part.
2. *Signed is the first part with its header*: from the first octet after the delimiter line up to the last octet
   before the line end that belongs to the next delimiter (RFC 2046, section 5.1.1; `parser.py` has the rules).
3. *The signer hashed a canonical form*, in which every line ends with CRLF (RFC 8551, section 3.1.1). Which one, we
   cannot know: AS2 sends binary content without a transfer encoding (RFC 4130, section 5.2.1), whose octets 0x0A are no
   line ends, and some products sign CRLF and send LF, or sign what they send. So `FormDigests` hashes up to three forms
   at once: as received; with CRLF in the header; and, if the body is 7bit or 8bit, with CRLF everywhere. The form whose
   digest the signature confirms is the form of the message, and the MIC is over this form (RFC 4130, section 7.3.1).
4. *The digest algorithm is needed first and known last.* The SignerInfo, at the end, names the one that counts;
   `micalg` only announces it. If that digest was not computed, the content is read once more (`DigestNotComputed`).
5. *An error in the content is reported only after the signature has verified.* The first part is hashed and read at the
   same time, so such an error is found first. If it were reported at once, anyone without the key could change an
   envelope and learn from the errors what it decrypts to. Errors of the multipart itself are raised at once; inside an
   envelope, `layers.py` makes each of them look like a failed decryption.
6. *Octets around the parts are signed by nobody.* `SignedMultipart` reports them, and its caller refuses them if they
   could do harm: to the next reader of a message that is passed on, or as octets that somebody without the key moved
   into an envelope.
7. *A multipart has no transfer encoding* (RFC 2045, section 6.4), but some products send one in base64.

For the code below:

- `SignedPart` hashes every octet, even after the content was refused: otherwise rule 5 could not be kept. `Deferred`
  keeps the refusal until the signature was checked.
- `SignedPart` also serves a SignedData that has its content inside. `SignedContent` has the first octets and the size,
  because content that looks like signed attributes must not pass as content (RFC 8933, section 4; `cms/verify.py`).
- A layer of a message and `verify_detached` use the same classes. The latter is for an MDN that we received, which is
  small and in memory, so it reads again by itself.
- Memory is bounded: the content is never kept, and the signature part has `MAX_SIGNATURE` octets at most.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mtlsd.as2.cms import reader, verify
from mtlsd.as2.cms.verify import DigestNotComputed, SignedContent
from mtlsd.as2.headers import algorithm_of
from mtlsd.as2.mic import FormDigests
from mtlsd.as2.mime.parser import ContentType, HeaderBlock, HeaderBlockReader, MultipartReader, transfer_decoder
from mtlsd.as2.mime.transfer_encoding import Unarmoured
from mtlsd.as2.sink import Sink
from mtlsd.errors import AS2MIMEMalformed, AS2Refused
from mtlsd.pki.certificate import Certificate

MAX_SIGNATURE = 1024 * 1024  # octets


@dataclass(frozen=True, slots=True)
class SignedEntity:
    """The octets that were signed, with their header, as received; their signer, and the SignedData that proves it."""

    octets: bytes
    signer: Certificate
    signed_data: bytes = b""


def verify_detached(
    headers: Iterable[tuple[str, str]],
    body: bytes,
    certificates: Sequence[Certificate],
    now: datetime,
    relax: Collection[str] = frozenset(),
) -> bytes:
    """Verify a whole multipart/signed and return exactly the octets that were signed.

    Raises AS2MIMEMalformed, AS2SignerUnknown, AS2SignatureBad or AS2SecurityTooLow.
    """
    return open_detached(headers, body, certificates, now, relax).octets


def open_detached(
    headers: Iterable[tuple[str, str]],
    body: bytes,
    certificates: Sequence[Certificate],
    now: datetime,
    relax: Collection[str] = frozenset(),
) -> SignedEntity:
    """Verify as `verify_detached` does, and return the signer with the octets."""
    fields = {name.lower(): value for name, value in headers}
    content_type = ContentType.parse(fields.get("content-type", ""))
    if content_type.value != "multipart/signed":
        raise AS2MIMEMalformed("not a multipart/signed")
    algorithms = frozenset(announced_digests(content_type))
    while True:  # each turn adds a digest, and there are only a few
        octets, signed_data = _Octets(), bytearray()
        multipart = SignedMultipart(content_type, algorithms, octets, signed_data.extend)
        decoder = transfer_decoder(encoding_of_multipart(HeaderBlock(b"", fields)), multipart)
        decoder.write(body)
        decoder.close()
        try:
            content = multipart.signed.content()
            signer = verify.verify(multipart.signers, content, certificates, relax, now).signer
        except DigestNotComputed as missing:
            algorithms |= {missing.algorithm}
        else:
            return SignedEntity(bytes(octets.data), signer, bytes(signed_data))


def split_detached(headers: Iterable[tuple[str, str]], body: bytes) -> tuple[bytes, bytes]:
    """The signed entity and the SignedData of a multipart/signed, not verified; raises AS2MIMEMalformed."""
    fields = {name.lower(): value for name, value in headers}
    octets, signed_data = _Octets(), bytearray()
    content_type = ContentType.parse(fields.get("content-type", ""))
    multipart = SignedMultipart(content_type, (), octets, signed_data.extend)
    decoder = transfer_decoder(encoding_of_multipart(HeaderBlock(b"", fields)), multipart)
    decoder.write(body)
    decoder.close()
    return bytes(octets.data), bytes(signed_data)


def announced_digests(content_type: ContentType) -> list[str]:
    """The digests that `micalg` announces, if we support them; SHA-256 if none is left."""
    labels = content_type.parameters.get("micalg", "").split(",")
    return [name for label in labels if (name := algorithm_of(label))] or ["sha256"]


def encoding_of_multipart(block: HeaderBlock) -> str:
    """The transfer encoding of a multipart: base64, which some products send, or binary (RFC 2045, section 6.4)."""
    return "base64" if block.transfer_encoding() == "base64" else "binary"


class SignedMultipart:
    """Hashes the signed part and writes it to `inside`; gives the octets of its SignedData to `signature`."""

    def __init__(
        self,
        content_type: ContentType,
        algorithms: Iterable[str],
        inside: Sink,
        signature: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.signed = SignedPart(algorithms, inside)
        self._signature = SignaturePart(signature)
        self._count = 0
        self._parts = MultipartReader(content_type.parameters.get("boundary", ""), self._part)

    @property
    def signers(self) -> tuple[reader.SignerInfo, ...]:
        """The signers that the SignedData names, not verified; only after `close`. Raises AS2MIMEMalformed."""
        return self._signature.signers

    @property
    def has_odd_surroundings(self) -> bool:
        """Whether the octets around the parts could have been put into an envelope by somebody without the key."""
        return self._parts.has_odd_preamble or self._parts.has_epilogue

    @property
    def has_surroundings(self) -> bool:
        """Whether anything but blanks is around the parts."""
        return self._parts.has_preamble or self._parts.has_epilogue

    def write(self, data: bytes) -> None:
        self._parts.write(data)

    def close(self) -> None:
        """End the multipart; raises AS2MIMEMalformed if it does not have two parts."""
        self._parts.close()
        if self._count != 2:
            raise AS2MIMEMalformed("multipart/signed without its two parts")

    def _part(self, number: int) -> Sink:
        if number > 1:
            raise AS2MIMEMalformed("multipart/signed with more than two parts")
        self._count += 1
        return self._signature if number else self.signed


class SignedPart:
    """The signed part with its header: hashed as it arrives, and written to `inside`."""

    def __init__(self, algorithms: Iterable[str], inside: Sink) -> None:
        self._digests = FormDigests(algorithms)
        self._header: HeaderBlockReader | None = HeaderBlockReader()
        self._inside = Deferred(inside)
        self._beginning = b""
        self._size = 0

    @property
    def refusal(self) -> AS2Refused | None:
        return self._inside.refusal

    def content(self) -> SignedContent:
        return SignedContent(self._digests.results(), self._beginning, self._size)

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if len(self._beginning) < 16:
            self._beginning += data[: 16 - len(self._beginning)]
        self._hash(data)
        self._inside.write(data)

    def close(self) -> None:
        if self._header is not None:
            self._hash_first(*self._header.close())
        self._inside.close()

    def _hash(self, data: bytes) -> None:
        if self._header is None:
            self._digests.body(data)
        elif found := self._header.receive_data(data):
            self._hash_first(*found)

    def _hash_first(self, block: HeaderBlock, rest: bytes) -> None:
        self._header = None
        self._digests.header(block)
        self._digests.body(rest)


class SignaturePart:
    """The second part: a header, then SignedData without content, in binary or base64."""

    def __init__(self, taken: Callable[[bytes], None]) -> None:
        self._header: HeaderBlockReader | None = HeaderBlockReader()
        self._cms = _WithoutContent(taken)
        self._body = Unarmoured(self._cms)
        self._size = 0

    @property
    def signers(self) -> tuple[reader.SignerInfo, ...]:
        """The signers; raises AS2MIMEMalformed if the part is not a detached SignedData."""
        self._cms.close()
        match self._cms.events:
            case [reader.SignedDataStarted(), reader.ContentInfoEnded(signers)]:
                return signers
        raise AS2MIMEMalformed("the signature part is not a detached SignedData")

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_SIGNATURE:
            raise AS2MIMEMalformed("the signature part is too large")
        if self._header is None:
            self._body.write(data)
        elif found := self._header.receive_data(data):
            self._header = None
            self._body.write(found[1])

    def close(self) -> None:
        if self._header is not None:
            self._body.write(self._header.close()[1])
        self._body.close()


class _WithoutContent:
    """Keeps the few events of a ContentInfo, and refuses content as soon as it arrives."""

    def __init__(self, taken: Callable[[bytes], None]) -> None:
        self._taken = taken
        self._reader = reader.ContentInfoReader()
        self.events: list[reader.Event] = []

    def write(self, data: bytes) -> None:
        self._taken(data)
        self._reader.receive_data(data)
        while event := self._reader.next_event():
            if isinstance(event, reader.ContentReceived):
                raise AS2MIMEMalformed("the signature part has content inside, so it is not detached")
            self.events.append(event)

    def close(self) -> None:
        self._reader.close()


class Deferred:
    """Writes to a sink until the first refusal, and keeps the refusal: the layer around decides when to raise it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.refusal: AS2Refused | None = None

    def write(self, data: bytes) -> None:
        if self.refusal is None:
            try:
                self._sink.write(data)
            except AS2Refused as refusal:
                self.refusal = refusal

    def close(self) -> None:
        if self.refusal is None:
            try:
                self._sink.close()
            except AS2Refused as refusal:
                self.refusal = refusal


class _Octets:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        pass
