"""Makes a copy of a certificate that `cryptography` can read, if it refuses the certificate itself.

Some CAs put `*`, `&`, `#` and Latin-1 into string types that do not allow them (RFC 5280, section 4.1.2.4), or encode
`critical FALSE`, which DER omits. Others write one extension that `cryptography` cannot read, such as an alternative
name of a kind that is legal and rare, and it then reads no extension at all. The copy differs in these places only: a
string is spelled in UTF-8, and an extension that no rule needs is left out.

The octets of the copy are never used for verification: only those of the certificate itself are compared, hashed and
verified. An extension that a rule needs is never left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mtlsd.pki.ber import (
    BOOLEAN,
    MAX_VALUES,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    BERMalformed,
    Value,
    encode,
    first_value,
    values,
)
from mtlsd.pki.identity import dotted, text_of
from mtlsd.pki.tbs import VERSION

UTF8_STRING = 0x0C
STRINGS = {UTF8_STRING, 0x12, 0x13, 0x14, 0x16, 0x1A}  # Numeric-, Printable-, Teletex-, IA5- and VisibleString
EXTENSIONS = 0xA3  # the tag in TBSCertificate
MAX_EXTENSIONS = 100  # each is tried alone
MAX_NAMES = 500  # alternative names, if one of them is odd: a stranger may present the certificate
NAMES = (2, 4)  # issuer and subject, counted from the serial number on
FALSE, TRUE = encode(BOOLEAN, b"\0"), encode(BOOLEAN, b"\xff")

BASIC_CONSTRAINTS = bytes.fromhex("0603551d13")
ALTERNATIVE_NAME = bytes.fromhex("0603551d11")
NEEDED = {  # by the rules for each certificate
    BASIC_CONSTRAINTS: "basic constraints",
    bytes.fromhex("0603551d0f"): "key usage",
    bytes.fromhex("0603551d25"): "extended key usage",
}
NOT_NEEDED = {  # those that have a name of their own in messages
    ALTERNATIVE_NAME: "subject alternative name",
    bytes.fromhex("0603551d0e"): "subject key identifier",
    bytes.fromhex("0603551d12"): "issuer alternative name",
    bytes.fromhex("0603551d1e"): "name constraints",
    bytes.fromhex("0603551d1f"): "CRL distribution points",
    bytes.fromhex("0603551d20"): "certificate policies",
    bytes.fromhex("0603551d23"): "authority key identifier",
    bytes.fromhex("06082b06010505070101"): "authority information access",
}
EMAIL, DNS, URI, IP = 0x81, 0x82, 0x86, 0x87  # the tags in GeneralName (RFC 5280, section 4.2.1.6)
ASCII_NAMES = {EMAIL: "an rfc822Name", DNS: "a dNSName", URI: "a uniformResourceIdentifier"}
UNSUPPORTED_NAMES = {0xA3: "an x400Address", 0xA5: "an ediPartyName"}
IP_SIZES = {4, 16}  # octets
MATCHED = {*ASCII_NAMES, IP}
OTHER_NAME = "a name that cannot be read"

SPELLED = "its names or extensions have an encoding that no standard allows, such as & or * in a PrintableString"


@dataclass(frozen=True, slots=True)
class Irregularity:
    """Something in a certificate that the copy does not have, as a sentence; `is_unhandled` if it was critical."""

    text: str
    is_unhandled: bool = False  # RFC 5280, section 4.2: whoever cannot process it must refuse the certificate


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy in DER, and how it differs."""

    der: bytes
    irregularities: tuple[Irregularity, ...]


class PartUnreadable(ValueError):
    """A part that a rule needs cannot be read; the text names it."""


IsReadable = Callable[[bytes], bool]  # whether `cryptography` reads all of a certificate


def readable_copy(der: bytes, is_readable: IsReadable) -> Copy:
    """The copy of a certificate, made with the help of `is_readable`; it may be unreadable for another reason.

    Raises PartUnreadable, or BERMalformed if this is not a certificate.
    """
    frame = _frame_of(der)
    if not is_readable(frame.with_extensions()):
        frame = frame.with_names_in_utf8()
    alone = frame.without_names()  # small, because each extension is tried in it
    kept: list[bytes] = []
    irregularities = [*frame.irregularities]
    for extension in _each_once(frame.extensions):
        readable, irregularity = _readable(extension, lambda octets: is_readable(alone.with_extensions(octets)))
        kept.append(readable)
        irregularities += [irregularity] if irregularity else []
    return Copy(frame.with_extensions(*filter(None, kept)), tuple(dict.fromkeys(irregularities)))


# --- The frame: everything but the extensions -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Extension:
    kind: bytes  # its OBJECT IDENTIFIER
    is_critical: bool
    value: Value
    whole: bytes

    @property
    def name(self) -> str:
        known = NEEDED.get(self.kind) or NOT_NEEDED.get(self.kind)
        return known or f"extension {dotted(first_value(self.kind).content)}"

    def with_value(self, value: bytes) -> bytes:
        """The extension in DER, with an OCTET STRING in place of its value (X.690, sections 11.1 and 11.5)."""
        return encode(SEQUENCE, self.kind, TRUE if self.is_critical else b"", value)


@dataclass(frozen=True, slots=True)
class _Frame:
    fields: tuple[bytes, ...]  # of TBSCertificate
    first: int  # the index of the serial number
    signature: bytes  # its algorithm and its value
    extensions: tuple[_Extension, ...]
    irregularities: tuple[Irregularity, ...] = ()

    def with_extensions(self, *extensions: bytes) -> bytes:
        """The certificate with these extensions instead of its own."""
        field = encode(EXTENSIONS, encode(SEQUENCE, *extensions)) if extensions else b""
        return encode(SEQUENCE, encode(SEQUENCE, *self.fields, field), self.signature)

    def without_names(self) -> "_Frame":
        """The frame with an empty issuer and an empty subject."""
        return self._with_names(lambda _: encode(SEQUENCE))

    def with_names_in_utf8(self) -> "_Frame":
        """The frame with each string of its issuer and its subject in UTF-8."""
        return replace(self._with_names(_name), irregularities=(Irregularity(SPELLED),))

    def _with_names(self, spelled: Callable[[Value], bytes]) -> "_Frame":
        fields = list(self.fields)
        for index in (self.first + each for each in NAMES):
            fields[index] = spelled(first_value(fields[index]))
        return replace(self, fields=tuple(fields))


def _frame_of(der: bytes) -> _Frame:
    certificate = _alone(der)
    parts = _members(certificate)
    fields = _members(parts[0]) if parts else ()
    first = 1 if fields and fields[0].tag == VERSION else 0
    extensions: tuple[_Extension, ...] = ()
    if fields and fields[-1].tag == EXTENSIONS:
        extensions = tuple(map(_extension, _members(_alone(fields[-1].content))))
        fields = fields[:-1]
    if len(fields) <= first + max(NAMES):
        raise BERMalformed("fields are missing")
    plain = tuple(each.whole for each in fields)
    return _Frame(plain, first, b"".join(each.whole for each in parts[1:]), extensions)


def _extension(extension: Value) -> _Extension:
    parts = _members(extension, at_most=3)
    if len(parts) < 2 or parts[0].tag != OBJECT_IDENTIFIER or any(each.tag != BOOLEAN for each in parts[1:-1]):
        raise BERMalformed("not an extension")
    is_critical = any(any(each.content) for each in parts[1:-1])
    return _Extension(parts[0].whole, is_critical, parts[-1], extension.whole)


def _alone(octets: bytes) -> Value:
    """The one value that these octets are."""
    value = first_value(octets)
    if value.whole != octets:
        raise BERMalformed("octets after the value")
    return value


def _members(value: Value, at_most: int = MAX_VALUES, tag: int = SEQUENCE) -> tuple[Value, ...]:
    if value.tag != tag:
        raise BERMalformed("not of the expected type")
    return values(value.content, at_most)


def _each_once(extensions: tuple[_Extension, ...]) -> tuple[_Extension, ...]:
    """The extensions, if there is one of each kind (RFC 5280, section 4.2)."""
    if len(extensions) > MAX_EXTENSIONS:
        raise PartUnreadable(f"it has more than {MAX_EXTENSIONS} extensions")
    kinds = [each.kind for each in extensions]
    for each in extensions:
        if kinds.count(each.kind) > 1:
            raise PartUnreadable(f"its {each.name} is there twice")
    return extensions


def _name(name: Value) -> bytes:
    return encode(SEQUENCE, *map(_relative_name, _members(name)))


def _relative_name(name: Value) -> bytes:
    return encode(SET, *sorted(map(_attribute, _members(name, tag=SET))))


def _attribute(attribute: Value) -> bytes:
    parts = _members(attribute, at_most=2)
    if len(parts) != 2:
        raise BERMalformed("not an attribute")
    kind, value = parts
    spelled = encode(UTF8_STRING, text_of(value).encode()) if value.tag in STRINGS else value.whole
    return encode(SEQUENCE, kind.whole, spelled)


# --- One extension --------------------------------------------------------------------------------------------


def _readable(extension: _Extension, is_readable: IsReadable) -> tuple[bytes, Irregularity | None]:
    """The extension for the copy, empty if it is left out; and how it differs."""
    plain = extension.with_value(_plain_value(extension))
    if is_readable(plain):
        return plain, None if plain == extension.whole else Irregularity(SPELLED)
    if extension.kind in NEEDED:
        raise PartUnreadable(f"its {extension.name} cannot be read")
    if extension.kind == ALTERNATIVE_NAME and (found := _names(extension, is_readable)):
        return found
    return b"", Irregularity(f"its {extension.name} cannot be read, and is not used", extension.is_critical)


def _plain_value(extension: _Extension) -> bytes:
    """The value; that of basic constraints without FALSE, and with TRUE in DER (X.690, sections 11.1 and 11.5)."""
    if extension.kind != BASIC_CONSTRAINTS:
        return extension.value.whole
    try:
        parts = _members(_alone(extension.value.content))
    except BERMalformed:
        return extension.value.whole
    plain = (TRUE if each.tag == BOOLEAN else each.whole for each in parts if each.whole != FALSE)
    return encode(OCTET_STRING, encode(SEQUENCE, *plain))


def _names(extension: _Extension, is_readable: IsReadable) -> tuple[bytes, Irregularity] | None:
    """The alternative names without those that cannot be read; None if they cannot be told apart.

    A name that is left out is never matched. The others stay: nothing that a rule looks for is hidden. If none is left,
    so is the extension.
    """
    try:
        names = _members(_alone(extension.value.content), MAX_NAMES)
    except BERMalformed:
        return None
    odd = {each.whole: words for each in names if (words := _what_is_odd(each))}
    unmatched = {each.whole: OTHER_NAME for each in names if each.tag not in MATCHED}
    for left_out in (odd, unmatched | odd):
        kept = [each.whole for each in names if each.whole not in left_out]
        plain = extension.with_value(encode(OCTET_STRING, encode(SEQUENCE, *kept))) if kept else b""
        if left_out and (not kept or is_readable(plain)):
            what = " and ".join(dict.fromkeys(left_out.values()))
            text = f"its {extension.name} has {what}, which is never matched"
            return plain, Irregularity(text, extension.is_critical and not kept)
    return None


def _what_is_odd(name: Value) -> str:
    """What cannot be read in a GeneralName; empty if it can be."""
    if name.tag == IP and len(name.content) not in IP_SIZES:
        return f"an iPAddress of {len(name.content)} octets"
    if name.tag in ASCII_NAMES and not name.content.isascii():
        return f"{ASCII_NAMES[name.tag]} with octets that are not ASCII"
    return UNSUPPORTED_NAMES.get(name.tag, "")
