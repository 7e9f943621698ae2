"""Composing the messages of the test partner (RFC 4130, RFC 5402): every form that `Receiver` reads.

A document is sent as it is: no line end is changed, so the receiver must get it octet for octet. A message is built
whole, in memory.
"""

import base64
import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from email.header import Header
from email.utils import formatdate
from urllib.parse import quote

from mtlsd.as2.cms import reader
from mtlsd.as2.cms.decompress import ZLIB
from mtlsd.as2.cms.der import context, encode_integer, encode_oid
from mtlsd.as2.cms.encrypt import is_authenticated, seal
from mtlsd.as2.cms.sign import sign
from mtlsd.as2.headers import DEFAULT_LABELS, AS2Name
from mtlsd.as2.mdn.build import FEATURES, product_field
from mtlsd.as2.mime.writer import entity, multipart, multipart_signed
from mtlsd.as2.outbound.draft import Compression, Draft, DraftDocument, Encryption, Signing, check
from mtlsd.pki.ber import OCTET_STRING, SEQUENCE, encode


@dataclass(frozen=True, slots=True)
class BuiltMessage:
    """An AS2 message, ready for HTTP; `covered` are the octets that the MIC is over (RFC 4130, section 7.3.1).

    `stages` are the octets of each step from the document to the message, by name: a receiver may hash any of them.
    """

    headers: tuple[tuple[str, str], ...]
    body: bytes
    covered: bytes
    stages: tuple[tuple[str, bytes], ...] = ()

    def mic(self, algorithm: str) -> str:
        """The MIC with this digest, in base64."""
        return mic_of(self.covered, algorithm)


def mic_of(octets: bytes, algorithm: str) -> str:
    """The digest of these octets, in base64."""
    return base64.b64encode(hashlib.new(algorithm, octets, usedforsecurity=False).digest()).decode("ascii")


def compose(draft: Draft, *, now: float) -> BuiltMessage:
    """Compose one message; `now`, in seconds of the epoch, is its Date.

    Raises ValueError for an unknown algorithm, for a key that does not fit its algorithm, and for a value that is not
    allowed in a header field.
    """
    check(draft)
    header, body = _content(draft)
    layered = draft.signing or draft.encryption or draft.compression is not Compression.NONE
    covered = entity(header, body) if layered else body
    stages = [("the document", body), ("the document, with its header", entity(header, body))]
    if draft.compression is Compression.BEFORE or (draft.compression is not Compression.NONE and not draft.signing):
        header, body = _compressed(header, body)
        stages.append(("the compressed data, with their header", entity(header, body)))
    if draft.signing:
        covered = entity(header, body)
        header, body = _signed(covered, draft.signing)
        stages.append(("the signed message, with its header", entity(header, body)))
        if draft.compression is Compression.AFTER:
            header, body = _compressed(header, body)
    if draft.encryption:
        header, body = _encrypted(entity(header, body), draft.encryption)
    stages.append(("the message's body, as sent", body))
    return BuiltMessage((*_fields(draft, now).items(), *header.items()), body, covered, tuple(stages))


Parts = tuple[dict[str, str], bytes]  # the header and the body of a MIME entity


def _content(draft: Draft) -> Parts:
    first, *more = (_document(each) for each in draft.documents)
    if not more:
        return first
    boundary = _boundary()
    kind = draft.documents[0].content_type.partition(";")[0].strip()
    content_type = f'multipart/related; type="{kind}"; boundary="{boundary}"'
    return {"Content-Type": content_type}, multipart(boundary, *(entity(*part) for part in (first, *more)))


def _document(document: DraftDocument) -> Parts:
    header = {
        "Content-Type": document.content_type,
        "Content-Transfer-Encoding": "binary",
        "Content-Disposition": _attachment(document.filename),
    }
    return header, document.data


def _attachment(name: str) -> str:
    """Content-Disposition (RFC 2183); a name that is not ASCII is encoded (RFC 2231)."""
    if not name.isascii():
        return f"attachment; filename*=utf-8''{quote(name, safe='')}"
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'attachment; filename="{escaped}"'


def _compressed(header: dict[str, str], body: bytes) -> Parts:
    """CompressedData (RFC 3274)."""
    deflated = encode(context(0), encode(OCTET_STRING, zlib.compress(entity(header, body))))
    content = encode(SEQUENCE, encode_oid(reader.DATA), deflated)
    data = encode(SEQUENCE, encode_integer(0), encode(SEQUENCE, encode_oid(ZLIB)), content)
    return _pkcs7("compressed-data", encode(SEQUENCE, encode_oid(reader.COMPRESSED_DATA), encode(context(0), data)))


def _signed(inner: bytes, signing: Signing) -> Parts:
    if not signing.opaque:
        content_type, body = multipart_signed(
            inner, signing.pair, signing.digest, boundary=_boundary(), rsa_padding=signing.rsa_padding
        )
        return {"Content-Type": content_type}, body
    digest = hashlib.new(signing.digest, inner, usedforsecurity=False).digest()
    signed_data = sign(digest, signing.digest, signing.pair, rsa_padding=signing.rsa_padding, content=inner)
    return _pkcs7("signed-data", signed_data)


def _encrypted(inner: bytes, encryption: Encryption) -> Parts:
    sealed = seal(inner, encryption.recipient, encryption.cipher, encryption.key_algorithm)
    return _pkcs7("authEnveloped-data" if is_authenticated(encryption.cipher) else "enveloped-data", sealed)


def _pkcs7(kind: str, der: bytes) -> Parts:
    header = {
        "Content-Type": f"application/pkcs7-mime; smime-type={kind}; name=smime.p7m",
        "Content-Transfer-Encoding": "binary",
        "Content-Disposition": "attachment; filename=smime.p7m",
    }
    return header, der


def _boundary() -> str:
    return f"mtlsd-{secrets.token_hex(16)}"


def _fields(draft: Draft, now: float) -> dict[str, str]:
    """The header fields of AS2 itself."""
    as2_from = AS2Name.of(draft.as2_from).spelled
    fields = {
        "AS2-Version": draft.version,
        **product_field(draft.product, draft.version),
        "AS2-From": as2_from,
        "AS2-To": AS2Name.of(draft.as2_to).spelled,
        "Message-ID": draft.message_id,
        "EDIINT-Features": FEATURES,
        "MIME-Version": "1.0",
        "Subject": Header(draft.subject).encode(maxlinelen=0),
        "Date": formatdate(now, usegmt=True),
    }
    if draft.mdn != "none":
        fields["Disposition-Notification-To"] = as2_from
        if draft.receipt_url:
            fields["Receipt-Delivery-Option"] = draft.receipt_url
    if draft.mdn == "signed":
        micalg = f"signed-receipt-micalg=optional, {DEFAULT_LABELS[draft.micalg]}"
        fields["Disposition-Notification-Options"] = f"signed-receipt-protocol=optional, pkcs7-signature; {micalg}"
    return fields
