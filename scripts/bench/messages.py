"""A large message for the benchmarks, signed and then encrypted, made while it is sent: no file holds it."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256

from mtlsd.as2.cms import sign
from mtlsd.as2.cms.der import encode_integer, encode_oid
from mtlsd.pki.ber import encode
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from scripts.bench.rig import Pair

MIB = 1024 * 1024
PIECE = 64 * 1024  # octets: how the message comes, whatever its own parts
SEGMENT = 4096  # octets of ciphertext in one octet string of BER, as `openssl cms -stream` writes it
BLOCK = 16
ENTITY_HEADER = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
SIGNED_TYPE = b'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b-large"'
BEGINNING = b"Content-Type: " + SIGNED_TYPE + b"\r\n\r\n--b-large\r\n"
SIGNATURE_HEADER = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: binary\r\n\r\n"
ENVELOPED_DATA, DATA = "1.2.840.113549.1.7.3", "1.2.840.113549.1.7.1"
RSA, AES256_CBC = "1.2.840.113549.1.1.1", "2.16.840.1.101.3.4.1.42"
INDEFINITE, END = b"\x80", b"\0\0"


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs, and who can decrypt."""

    signer: Pair
    recipient: Pair


def key_pair(pair: Pair) -> KeyPair:
    return KeyPair(Certificate.from_der(pair.der), (), pair.key)


def large_message(keys: Keys, mib: int, *, ber: bool) -> tuple[int, Iterator[bytes]]:
    """Its length and its octets; with `ber` in indefinite lengths, as streaming senders write it."""
    signed_length = len(BEGINNING) + len(ENTITY_HEADER) + mib * MIB + len(_end(keys, bytes(32)))
    length = signed_length + BLOCK - signed_length % BLOCK
    key, iv = os.urandom(32), os.urandom(BLOCK)
    before, after = _around(keys, key, iv, None if ber else length)
    ciphertext = _encrypt(_signed(keys, mib), key, iv)
    if ber:
        segments, last = divmod(length, SEGMENT)
        length = segments * len(encode(0x04, bytes(SEGMENT))) + (len(encode(0x04, bytes(last))) if last else 0)
        ciphertext = (encode(0x04, segment) for piece in ciphertext for segment in _slices(piece, SEGMENT))
    return len(before) + length + len(after), _cut(chain([before], ciphertext, [after]))


def _slices(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _cut(octets: Iterable[bytes]) -> Iterator[bytes]:
    """In pieces of one size."""
    held = bytearray()
    for data in octets:
        held += data
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    yield bytes(held)


def _signed(keys: Keys, mib: int) -> Iterator[bytes]:
    """The multipart/signed."""
    block, digest = os.urandom(MIB), hashlib.sha256(ENTITY_HEADER)
    yield BEGINNING + ENTITY_HEADER
    for _ in range(mib):
        digest.update(block)
        yield block
    yield _end(keys, digest.digest())


def _end(keys: Keys, digest: bytes) -> bytes:
    """What stands behind the content; its length does not depend on the digest."""
    signed_data = sign.sign(digest, "sha256", key_pair(keys.signer))
    return b"\r\n--b-large\r\n" + SIGNATURE_HEADER + signed_data + b"\r\n--b-large--\r\n"


def _encrypt(plaintext: Iterator[bytes], key: bytes, iv: bytes) -> Iterator[bytes]:
    """The ciphertext, padded, in pieces of PIECE octets; the last one may be shorter."""
    encryptor, held, length = Cipher(AES256(key), modes.CBC(iv)).encryptor(), b"", 0
    for data in plaintext:
        length += len(data)
        held += encryptor.update(data)
        whole = len(held) - len(held) % PIECE
        yield from _slices(held[:whole], PIECE)
        held = held[whole:]
    count = BLOCK - length % BLOCK
    held += encryptor.update(bytes([count]) * count)
    yield from _slices(held, PIECE)


def _around(keys: Keys, key: bytes, iv: bytes, length: int | None) -> tuple[bytes, bytes]:
    """What stands before and behind the ciphertext of this length, or of an indefinite one (RFC 5652, section 6.1)."""
    certificate = key_pair(keys.recipient).certificate
    identifier = encode(0x30, certificate.issuer_der, encode_integer(certificate.serial))
    wrapped = encode(0x04, keys.recipient.key.public_key().encrypt(key, padding.PKCS1v15()))
    transport = encode(0x30, encode_oid(RSA), encode(0x05))
    infos = encode(0x31, encode(0x30, encode_integer(0), identifier, transport, wrapped))
    algorithm = encode(0x30, encode_oid(AES256_CBC), encode(0x04, iv))
    outer = ((0x30, encode_oid(ENVELOPED_DATA)), (0xA0, b""), (0x30, encode_integer(0) + infos))
    inner = (0x30, encode_oid(DATA) + algorithm)
    if length is None:
        beginning = b"".join(bytes([tag]) + INDEFINITE + fields for tag, fields in (*outer, inner, (0xA0, b"")))
        return beginning, END * 5
    before = _header(0x80, length)
    for tag, fields in (inner, *reversed(outer)):
        before = _header(tag, len(fields) + len(before) + length) + fields + before
    return before, b""


def _header(tag: int, length: int) -> bytes:
    """Tag and length of a DER value whose contents are elsewhere; here always in the long form."""
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets
