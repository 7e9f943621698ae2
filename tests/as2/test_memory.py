"""A hostile message costs no more memory than a small bound, however long it is.

Each structure below goes on until it is refused, or for `OCTETS`, twice the bound; what Python allocates meanwhile is
counted. All of it comes as it is, and once more inside an envelope: our certificate is public.
"""

import os
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate, chain, repeat, takewhile

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.cms.der import encode_integer
from mtlsd.as2.headers import AS2Headers
from mtlsd.as2.receiver import Receiver
from mtlsd.errors import AS2Refused
from mtlsd.pki.ber import encode
from tests.support import messages
from tests.support.messages import NOW, key_pair

PIECE = 64 * 1024  # octets: what the daemon takes from a socket at a time
BOUND = 4 * 1024 * 1024
OCTETS = 2 * BOUND
RATIO = 20
LIMITS = MessageLimits(max_expanded_octets=1 << 40, max_expansion_ratio=RATIO)
FULL = 255 * 1024  # octets, nearly as many as one element may have

DATA = bytes.fromhex("06092a864886f70d010701")
SHA256 = bytes.fromhex("300b0609608648016503040201")
ENVELOPED = bytes.fromhex("308006092a864886f70d010703a0803080020100")
COMPRESSED = bytes.fromhex("3080060b2a864886f70d0109100109a0803080020100300d060b2a864886f70d0109100308")
SIGNED = bytes.fromhex("308006092a864886f70d010702a0803080020101")
OPAQUE = SIGNED + encode(0x31, SHA256) + b"\x30\x80" + DATA
SEGMENT = encode(0x04, bytes(2000))
DETACHED = OPAQUE + b"\0\0"


def full(tag: int, again: bytes) -> bytes:
    """As many of the same as one element may hold."""
    return encode(tag, again * (FULL // len(again)))


def signer(*, attributes: bytes = b"") -> bytes:
    """A SignerInfo of nobody."""
    identifier = encode(0x30, encode(0x30), encode_integer(1))
    attributes = attributes and full(0xA0, attributes)
    return encode(0x30, encode_integer(1), identifier, SHA256, attributes, SHA256, encode(0x04, b"x"))


def recipient(tag: int) -> bytes:
    identifier = encode(0x30, encode(0x30), encode_integer(1))
    return encode(tag, encode_integer(0), identifier, SHA256, encode(0x04, b"x"))


CMS = "Content-Type: application/pkcs7-mime\r\n\r\n"
SIGNED_PARTS = 'Content-Type: multipart/signed; boundary="b"\r\n\r\n'
LONGEST = f'Content-Type: multipart/signed; boundary="{"b" * 200}"\r\n\r\n'
SIGNATURE = SIGNED_PARTS + "--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\n"
BASE64 = "Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
QUOTED = "Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
ZEROS = zlib.compress(bytes(64 << 20), 9)

# name: a header, how the body begins, and what then comes again and again
STRUCTURES: dict[str, tuple[str, bytes, bytes]] = {
    "a document without an end": ("Content-Type: a/b\r\n\r\n", b"", b"x"),
    "a document that begins like a header": ("Content-Type: a/b\r\n\r\n", b"Content-Type: x/y", b"x"),
    "a document of blank lines": ("Content-Type: a/b\r\n\r\n", b"", b"\r\n"),
    "base64 without an end": (BASE64, b"", b"MIAG"),
    "base64 of blanks": (BASE64, b"M", b" \r\n"),
    "a quoted-printable line that is too long": (QUOTED, b"", b"x"),
    "quoted-printable of soft line ends": (QUOTED, b"", b"=\r\n"),
    "a value of 2^63 octets": (CMS, bytes.fromhex("30887fffffffffffffff"), b"\0"),
    "recipients of 4 GiB": (CMS, ENVELOPED + bytes.fromhex("3184ffffffff"), b"\0"),
    "recipients without an end": (CMS, ENVELOPED + b"\x31\x80", bytes.fromhex("30800000")),
    "thousands of recipients": (CMS, ENVELOPED + full(0x31, recipient(0x30)), b"\0"),
    "recipients of an unknown kind": (CMS, ENVELOPED + full(0x31, b"\xa4\0") + b"\x30\x80" + DATA + SHA256, b"\0"),
    "values inside values": (CMS, b"", b"\x30\x80"),
    "recipients inside recipients": (CMS, ENVELOPED + b"\x31\x80", b"\x30\x80"),
    "octet strings inside octet strings": (CMS, OPAQUE + b"\xa0\x80", b"\x24\x80"),
    "content in empty pieces": (CMS, OPAQUE + b"\xa0\x80\x24\x80", b"\x04\0" * 20 + SEGMENT),
    "content in single octets": (CMS, OPAQUE + b"\xa0\x80\x24\x80", b"\x04\x01x" * 20 + SEGMENT),
    "content of 2^63 octets": (CMS, OPAQUE + b"\xa0\x80" + bytes.fromhex("04887fffffffffffffff"), b"x"),
    "thousands of digest algorithms": (CMS, SIGNED + full(0x31, SHA256), b"\0"),
    "digest algorithms of nothing": (CMS, SIGNED + full(0x31, b"\x05\0"), b"\0"),
    "thousands of signers": (CMS, DETACHED + full(0x31, signer()), b"\0"),
    "signers of nothing": (CMS, DETACHED + full(0x31, b"\x05\0"), b"\0"),
    "thousands of attributes": (CMS, DETACHED + encode(0x31, signer(attributes=b"\x30\0")), b"\0"),
    "certificates without an end": (CMS, DETACHED, full(0xA0, b"x")),
    "octets behind the value": (CMS, DETACHED + b"\x31\0" + b"\0\0" * 3, b"\r\n"),
    "a bomb": (CMS, COMPRESSED + b"\x30\x80" + DATA + b"\xa0\x80\x24\x80" + encode(0x04, ZEROS), b"\0"),
    "compressed content of nothing": (
        CMS,
        COMPRESSED + b"\x30\x80" + DATA + b"\xa0\x80\x24\x80\x04\x02\x78\x9c",
        encode(0x04, b"\0\0\0\xff\xff" * 400),
    ),
    "CMS in blank lines": (CMS, b"", b"\r\n"),
    "a preamble without an end": (SIGNED_PARTS, b"", b"x"),
    "a preamble of blank lines": (SIGNED_PARTS, b"", b"\r\n"),
    "a preamble that looks like a boundary": (SIGNED_PARTS, b"", b"--"),
    "a boundary line without an end": (SIGNED_PARTS, b"--b", b" "),
    "the longest boundary, in a line without an end": (LONGEST, b"--" + b"b" * 200, b" "),
    "parts without an end": (SIGNED_PARTS, b"", b"--b\r\n\r\nx\r\n"),
    "a header field without an end": (SIGNED_PARTS, b"--b\r\nContent-Type: ", b"x"),
    "a header without an end": (SIGNED_PARTS, b"--b\r\nContent-Type: x\r\n", b"x: y\r\n"),
    "an epilogue without an end": (SIGNED_PARTS, b"--b\r\n\r\nx\r\n--b\r\n\r\nx\r\n--b--\r\n", b"x"),
    "a signature without an end": (SIGNATURE, DETACHED + bytes.fromhex("3184ffffffff"), b"\0"),
    "a signature of blank lines": (SIGNATURE, b"", b"\r\n"),
    "a signature with its content inside": (SIGNATURE, OPAQUE + b"\xa0\x80\x24\x80", b"\x04\x01x" * 20 + SEGMENT),
}  # fmt: skip


def pieces(beginning: bytes, again: bytes) -> Iterator[bytes]:
    """The body, cut as it would come."""
    same = again * max(PIECE // len(again), 1)
    start = (beginning[at : at + PIECE] for at in range(0, len(beginning), PIECE))
    rest = takewhile(lambda size: size < OCTETS, accumulate(repeat(len(same))))
    return chain(start, (same for _ in rest))


def encrypted(plaintext: Iterator[bytes]) -> Iterator[bytes]:
    """An envelope for us around it, in BER."""
    pair, key, iv = key_pair("EXAMPLE"), os.urandom(32), os.urandom(16)
    public_key = pair.certificate.x509.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    identifier = encode(0x30, pair.certificate.issuer_der, encode_integer(pair.certificate.serial))
    transport = encode(0x30, bytes.fromhex("06092a864886f70d010101"))
    wrapped = encode(0x04, public_key.encrypt(key, padding.PKCS1v15()))
    infos = encode(0x31, encode(0x30, encode_integer(0), identifier, transport, wrapped))
    algorithm = encode(0x30, bytes.fromhex("060960864801650304012a"), encode(0x04, iv))
    yield ENVELOPED + infos + b"\x30\x80" + DATA + algorithm + b"\xa0\x80"
    encryptor = Cipher(AES256(key), modes.CBC(iv)).encryptor()
    for data in plaintext:
        yield encode(0x04, encryptor.update(data))


def peak(header: str, body: Iterator[bytes]) -> int:
    """The most octets that the receiver held while it read this, or until it refused."""
    sent = messages.message(header.encode(), mdn=None)
    agreement = Agreement(messages.organization(), messages.partner(), frozenset(), is_proven=True)
    receiver = Receiver(AS2Headers.parse(sent.fields), agreement, LIMITS, NOW)
    tracemalloc.start()
    try:
        with suppress(AS2Refused):
            for data in body:
                receiver.receive_data(data)
                for _ in receiver.events():
                    pass
            receiver.finish()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_costs_no_memory(name: str) -> None:
    header, beginning, again = STRUCTURES[name]
    assert peak(header, pieces(beginning, again)) < BOUND


@pytest.mark.parametrize("name", STRUCTURES)
def test_nor_does_it_inside_an_envelope(name: str) -> None:
    header, beginning, again = STRUCTURES[name]
    inside = pieces(header.encode() + beginning, again)
    assert peak(CMS, encrypted(inside)) < BOUND


def test_nor_does_content_inside_a_signature_that_comes_octet_by_octet() -> None:
    body = SIGNATURE.partition("\r\n\r\n")[2].encode() + OPAQUE + b"\xa0\x80\x24\x80" + SEGMENT * 50
    assert peak(SIGNED_PARTS, (body[at : at + 1] for at in range(len(body)))) < BOUND
