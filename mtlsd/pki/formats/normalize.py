"""Makes a copy of a certificate that `cryptography` can read, if it refuses the encoding of the certificate itself.

Some CAs put `*`, `&`, `#` and Latin-1 into string types that do not allow them (RFC 5280, section 4.1.2.4), or encode
`critical FALSE`, which DER omits. The copy differs only there. Its octets are never used for verification: only those
of the certificate itself are compared, hashed and verified.
"""

from collections.abc import Iterable

from mtlsd.pki.ber import BOOLEAN, OCTET_STRING, SEQUENCE, SET, Value, encode, first_value, values

UTF8_STRING = 0x0C
STRINGS = {UTF8_STRING, 0x12, 0x13, 0x14, 0x16, 0x1A}  # Numeric-, Printable-, Teletex-, IA5- and VisibleString
VERSION, EXTENSIONS = 0xA0, 0xA3  # the tags in TBSCertificate
NAMES = (2, 4)  # issuer and subject, counted from the serial number on
FALSE, TRUE = encode(BOOLEAN, b"\0"), encode(BOOLEAN, b"\xff")
BASIC_CONSTRAINTS = bytes.fromhex("0603551d13")


def respelled(der: bytes) -> bytes:
    """The copy, in DER; raises ValueError if the fields are not those of a certificate."""
    certificate = first_value(der)
    if certificate.whole != der:
        raise ValueError("octets after the certificate")
    signed, *rest = values(certificate.content)
    fields = list(values(signed.content))
    first = 1 if fields and fields[0].tag == VERSION else 0
    parts = [each.whole for each in fields]
    for index in (first + each for each in NAMES):
        parts[index] = _name(fields[index])
    if fields[-1].tag == EXTENSIONS:
        parts[-1] = _extensions(fields[-1])
    content = encode(SEQUENCE, b"".join(parts))
    return encode(SEQUENCE, content + b"".join(each.whole for each in rest))


def _name(name: Value) -> bytes:
    return encode(SEQUENCE, b"".join(map(_relative_name, values(name.content))))


def _relative_name(name: Value) -> bytes:
    return encode(SET, b"".join(sorted(map(_attribute, values(name.content)))))


def _attribute(attribute: Value) -> bytes:
    kind, value = values(attribute.content)
    spelled = encode(UTF8_STRING, _text(value.content).encode()) if value.tag in STRINGS else value.whole
    return encode(SEQUENCE, kind.whole + spelled)


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _extensions(extensions: Value) -> bytes:
    inner = first_value(extensions.content)
    return encode(EXTENSIONS, encode(SEQUENCE, b"".join(map(_extension, values(inner.content)))))


def _extension(extension: Value) -> bytes:
    kind, *more, value = values(extension.content)
    octets = value.whole
    if kind.whole == BASIC_CONSTRAINTS:
        inner = first_value(value.content)
        octets = encode(OCTET_STRING, encode(SEQUENCE, _plain(values(inner.content))))
    return encode(SEQUENCE, kind.whole + _plain(more) + octets)


def _plain(parts: Iterable[Value]) -> bytes:
    """The parts without FALSE, and with TRUE in DER (X.690, sections 11.1 and 11.5)."""
    return b"".join(TRUE if each.tag == BOOLEAN else each.whole for each in parts if each.whole != FALSE)
