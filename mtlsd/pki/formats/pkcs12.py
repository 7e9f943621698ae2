"""PKCS#12: certificates and keys, usually protected by a password (RFC 7292).

OpenSSL decrypts, through `cryptography`, also with old algorithms. It never gets the file itself: the cost of each part
is checked first, and then the part is passed alone, in a PFX of our own.

- A key bag inside encrypted content could ask for any number of iterations, which cannot be seen before they run. So a
  worthless key is put before the encrypted content, because OpenSSL decrypts only the first key.
- An empty password is two zero octets or none at all, depending on the product. Our own MAC, with one iteration, tells
  OpenSSL which of the two is meant (appendix B.1).
- The MAC of the file is not checked. A wrong password is noticed by the decryption, and a MAC proves nothing if its
  password came with the file.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from os import urandom

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from mtlsd.pki.ber import (
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Value,
    encode,
    first_value,
    integers_in,
    octets_of,
    values,
)
from mtlsd.pki.certificate import CertificateUnreadable, PasswordNeeded
from mtlsd.pki.formats.budget import Allowance

DATA = bytes.fromhex("06092a864886f70d010701")
ENCRYPTED_DATA = bytes.fromhex("06092a864886f70d010706")
BAG_TYPES = bytes.fromhex("060b2a864886f70d010c0a01")  # the arc; one octet more says which (RFC 7292, section 4.2)
KEY_BAG, SHROUDED_KEY_BAG, CERT_BAG, SAFE_BAG = 1, 2, 3, 6
X509_CERTIFICATE = bytes.fromhex("060a2a864886f70d01091601")
SHA256 = bytes.fromhex("300d06096086480165030402010500")
MAX_KEY = 8192  # octets: RSA with 8192 bits takes 5000
BLOCK = 64  # octets, of SHA-256
MAC_KEY = b"\x03"  # the ID of appendix B.3

DAMAGED = "a damaged or incomplete PKCS#12 file: ask for the file again"
WITHOUT = (
    "a PKCS#12 file with a password: put the password into a file beside it, with the same name followed by .password"
)
WRONG = "a PKCS#12 file, but the password is wrong, or the file is damaged"
UNREADABLE_INSIDE = (
    "a PKCS#12 file with a certificate that cannot be read from it: "
    "export it with openssl pkcs12 -in FILE -nokeys -out FILE.pem"
)


@dataclass(frozen=True, slots=True)
class Keystore:
    """The contents of a PKCS#12 file in DER: certificates, and private keys as unencrypted PKCS#8."""

    certificates: tuple[bytes, ...]
    keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Bag:
    kind: int
    whole: bytes
    value: bytes


def holds_key(data: bytes) -> bool:
    """Whether the file has a private key, which shows without a password. Raises CertificateUnreadable."""
    return any(each.kind in {KEY_BAG, SHROUDED_KEY_BAG} for each in _bags(_contents(data)))


def read_pkcs12(data: bytes, password: str | None, allowance: Allowance) -> Keystore:
    """Read a file, in DER or BER; raises CertificateUnreadable, whose text tells what is needed to read it."""
    contents = _contents(data)
    bags = tuple(_bags(contents))
    encrypted = [each for each in contents if each.content.startswith(ENCRYPTED_DATA)]
    certificates = [*_plain_certificates(bags)]
    for each in encrypted:
        allowance.derive(2 * _cost(each))
        certificates += _decrypted_certificates(each.whole, password)
    return Keystore(tuple(certificates), tuple(_keys(bags, password, allowance)))


def _contents(data: bytes) -> tuple[Value, ...]:
    """The ContentInfos of the file."""
    try:
        _version, safe, *_mac = values(first_value(data).content)
        kind, content = values(safe.content)
        if kind.whole != DATA:
            raise CertificateUnreadable("a PKCS#12 file that is signed or encrypted to a key: ask for a file in PEM")
        return values(first_value(octets_of(first_value(content.content))).content, at_most=100)
    except ValueError as error:
        raise CertificateUnreadable(DAMAGED) from error


def _bags(contents: tuple[Value, ...]) -> Iterator[_Bag]:
    """The bags that are not in encrypted content."""
    try:
        for each in contents:
            if each.content.startswith(DATA):
                _, content = values(each.content)
                yield from _bags_in(octets_of(first_value(content.content)))
    except ValueError as error:
        raise CertificateUnreadable(DAMAGED) from error


def _bags_in(safe_contents: bytes, depth: int = 3) -> Iterator[_Bag]:
    for bag in values(first_value(safe_contents).content, at_most=1000):
        kind, value, *_attributes = values(bag.content)
        if kind.whole[:-1] != BAG_TYPES:
            continue
        number = kind.whole[-1]
        if number == SAFE_BAG and depth:
            yield from _bags_in(value.content, depth - 1)
        else:
            yield _Bag(number, bag.whole, value.content)


def _plain_certificates(bags: tuple[_Bag, ...]) -> Iterator[bytes]:
    try:
        for bag in bags:
            if bag.kind == CERT_BAG:
                kind, value = values(first_value(bag.value).content)
                if kind.whole == X509_CERTIFICATE:
                    yield octets_of(first_value(value.content))
    except ValueError as error:
        raise CertificateUnreadable(DAMAGED) from error


def _keys(bags: tuple[_Bag, ...], password: str | None, allowance: Allowance) -> Iterator[bytes]:
    for bag in bags:
        if bag.kind not in {KEY_BAG, SHROUDED_KEY_BAG}:
            continue
        allowance.key()
        if len(bag.value) > MAX_KEY:
            raise CertificateUnreadable(f"a private key of more than {MAX_KEY} bytes")
        if bag.kind == KEY_BAG:
            yield bag.value
        else:
            allowance.derive(2 * _shrouded_cost(bag))
            yield _decrypted_key(bag, password)


def _decrypted_key(bag: _Bag, password: str | None) -> bytes:
    plain = encode(SEQUENCE, DATA + encode(0xA0, encode(OCTET_STRING, encode(SEQUENCE, bag.whole))))
    key = _loaded(plain, password).key
    if key is None:
        raise CertificateUnreadable(DAMAGED)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _decrypted_certificates(content: bytes, password: str | None) -> Iterator[bytes]:
    loaded = _loaded(_worthless_key() + content, password)
    for each in (loaded.cert, *loaded.additional_certs):
        if each:
            yield each.certificate.public_bytes(Encoding.DER)


# --- The cost -------------------------------------------------------------------------------------------


def _cost(content: Value) -> int:
    """The largest number in the algorithm's parameters, which is at least the iterations of its key derivation."""
    try:
        _, explicit = values(content.content)
        _version, info, *_ = values(first_value(explicit.content).content)
        _kind, algorithm, *_ = values(info.content)
        return max(integers_in(algorithm), default=0)
    except ValueError as error:
        raise CertificateUnreadable(DAMAGED) from error


def _shrouded_cost(bag: _Bag) -> int:
    try:
        algorithm, _ = values(first_value(bag.value).content)
        return max(integers_in(algorithm), default=0)
    except ValueError as error:
        raise CertificateUnreadable(DAMAGED) from error


# --- A PFX of our own -----------------------------------------------------------------------------------


def _loaded(contents: bytes, password: str | None) -> PKCS12KeyAndCertificates:
    """Read these parts with OpenSSL; both forms of an empty password are tried."""
    forms = (b"\0\0", b"") if not password else (password.encode("utf-16-be") + b"\0\0",)
    for form in forms:
        try:
            return load_pkcs12(_pfx(encode(SEQUENCE, contents), form), (password or "").encode())
        except UnsupportedAlgorithm as error:
            raise CertificateUnreadable(f"a PKCS#12 file with an unknown algorithm: {error}") from error
        except ValueError as error:
            if not _is_about_password(error):
                raise CertificateUnreadable(UNREADABLE_INSIDE) from error
    raise PasswordNeeded(WRONG if password else WITHOUT)


def _is_about_password(error: ValueError) -> bool:
    """Whether OpenSSL could not decrypt the file; otherwise a certificate in the file cannot be parsed.

    `cryptography` raises a plain ValueError for both and drops OpenSSL's error code, so only its text tells them apart.
    """
    return "password" in str(error)  # no code: of cryptography


def _pfx(safe: bytes, password_octets: bytes) -> bytes:
    """A PFX of these parts, with a MAC for this form of the password (RFC 7292, section 5.1)."""
    salt = urandom(8)
    digest = hmac.digest(_mac_key(password_octets, salt), safe, "sha256")
    mac = encode(SEQUENCE, encode(SEQUENCE, SHA256 + encode(OCTET_STRING, digest)) + encode(OCTET_STRING, salt))
    content = encode(SEQUENCE, DATA + encode(0xA0, encode(OCTET_STRING, safe)))
    return encode(SEQUENCE, encode(INTEGER, b"\x03") + content + mac)


def _mac_key(password_octets: bytes, salt: bytes) -> bytes:
    """One iteration of the derivation in RFC 7292, appendix B.2, which is enough for a key as long as a digest."""
    return sha256(MAC_KEY * BLOCK + _filled(salt) + _filled(password_octets)).digest()


def _filled(octets: bytes) -> bytes:
    """The octets, repeated to fill a multiple of the block length."""
    size = -(-len(octets) // BLOCK) * BLOCK
    return (octets * (size // len(octets) + 1))[:size] if octets else b""


def _worthless_key() -> bytes:
    """A part with a key that OpenSSL finds first, so that it looks for no other."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    bag = encode(SEQUENCE, BAG_TYPES + bytes([KEY_BAG]) + encode(0xA0, key))
    return encode(SEQUENCE, DATA + encode(0xA0, encode(OCTET_STRING, encode(SEQUENCE, bag))))
