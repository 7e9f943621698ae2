"""Certificates that break a rule and are in use all the same, written octet by octet, for no library would."""

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mtlsd.pki.certificate import Certificate
from tests.support import pki

KEY = pki.rsa_key("odd")
PLAIN = pki.issue("odd", key=KEY).certificate

COUNTRY, ORGANIZATION, UNIT, COMMON_NAME = b"\x55\x04\x06", b"\x55\x04\x0a", b"\x55\x04\x0b", b"\x55\x04\x03"
ALTERNATIVE_NAME, KEY_USAGE, EXTENDED_KEY_USAGE = b"\x55\x1d\x11", b"\x55\x1d\x0f", b"\x55\x1d\x25"
AUTHORITY_KEY, BASIC_CONSTRAINTS = b"\x55\x1d\x23", b"\x55\x1d\x13"
ACCESS, POLICIES = bytes.fromhex("2b06010505070101"), b"\x55\x1d\x20"
ISSUER_NAME, CONSTRAINTS, POINTS, SUBJECT_KEY = b"\x55\x1d\x12", b"\x55\x1d\x1e", b"\x55\x1d\x1f", b"\x55\x1d\x0e"
UTF8, PRINTABLE, TELETEX, IA5, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1E
VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, PUBLIC_KEY, EXTENSIONS = range(8)  # of TBSCertificate

Fields = list[bytes]


def tlv(tag: int, *contents: bytes) -> bytes:
    """One value in DER."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


DNS = tlv(0x82, b"edi.acme.example")  # a GeneralName that is as it should be
EDI_PARTY = tlv(0xA5, tlv(0xA1, tlv(0x0C, b"ACME")))  # legal (RFC 5280, section 4.2.1.6)
X400 = tlv(0xA3, tlv(0x30))
FRACTION = b"99991231225959.357Z"  # a time that RFC 5280 does not allow, section 4.1.2.5.2


def fields_of(der: bytes) -> Fields:
    """The values inside one constructed value."""
    start, end = _content(der, 0)
    found = []
    while start < end:
        _, after = _content(der, start)
        found.append(der[start:after])
        start = after
    return found


def name(*attributes: tuple[bytes, int, bytes]) -> bytes:
    """A distinguished name from the type, the tag and the octets of each attribute."""
    return tlv(0x30, *(tlv(0x31, tlv(0x30, tlv(6, kind), tlv(tag, octets))) for kind, tag, octets in attributes))


def odd(*changes: Callable[[Fields], None]) -> bytes:
    """A self-signed certificate with these changes to its fields; its signature is right."""
    return changed(PLAIN, KEY, *changes)


def changed(certificate: Certificate, signer: rsa.RSAPrivateKey, *changes: Callable[[Fields], None]) -> bytes:
    """A certificate that was signed with RSA, with these changes to its fields, signed anew by this key."""
    parts = fields_of(certificate.der)
    fields = fields_of(parts[0])
    for change in changes:
        change(fields)
    signed = tlv(0x30, *fields)
    return tlv(0x30, signed, parts[1], tlv(3, b"\0", signer.sign(signed, padding.PKCS1v15(), hashes.SHA256())))


def serial(number: int) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[SERIAL] = tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))

    return change


def named(*attributes: tuple[bytes, int, bytes]) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[ISSUER] = fields[SUBJECT] = name(*attributes)

    return change


def extended(kind: bytes, value: bytes, *, critical: bool = False) -> Callable[[Fields], None]:
    """With one more extension; `value` is what its OCTET STRING holds."""

    def change(fields: Fields) -> None:
        flag = tlv(1, b"\xff") if critical else b""
        extension = tlv(0x30, tlv(6, kind), flag, tlv(4, value))
        [extensions] = fields_of(fields[EXTENSIONS])
        fields[EXTENSIONS] = tlv(0xA3, tlv(0x30, *fields_of(extensions), extension))

    return change


def alternative_names(*names: bytes, critical: bool = False) -> Callable[[Fields], None]:
    """With alternative names, each a GeneralName in DER."""
    return extended(ALTERNATIVE_NAME, tlv(0x30, *names), critical=critical)


def ended(time: bytes) -> Callable[[Fields], None]:
    """With this notAfter, a GeneralizedTime."""

    def change(fields: Fields) -> None:
        start, _ = fields_of(fields[VALIDITY])
        fields[VALIDITY] = tlv(0x30, start, tlv(0x18, time))

    return change


def without_extensions(fields: Fields) -> None:
    del fields[EXTENSIONS]


def version_1(fields: Fields) -> None:
    """Says that it is of version 1, and has extensions."""
    del fields[VERSION]


def _content(der: bytes, at: int) -> tuple[int, int]:
    first = der[at + 1]
    size = first & 0x7F if first >= 0x80 else 0
    start = at + 2 + size
    return start, start + (int.from_bytes(der[at + 2 : start], "big") if size else first)
