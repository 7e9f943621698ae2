"""Identifies a certificate that no parser accepts: its subject, issuer and serial number, read by BER alone.

Nothing is believed because of these facts, and nothing is matched by them. They are for the log and for the messages
about files.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256

from mtlsd.pki.ber import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, BERMalformed, Value, values
from mtlsd.pki.tbs import signed_fields
from mtlsd.text import cut

SHORT_NAMES = {  # of attribute types (RFC 4514, section 3), by their octets in DER
    "550403": "CN",
    "550406": "C",
    "550407": "L",
    "550408": "ST",
    "550409": "STREET",
    "55040a": "O",
    "55040b": "OU",
    "0992268993f22c640101": "UID",
    "0992268993f22c640119": "DC",
}
WIDE = {0x1E: "utf-16-be", 0x1C: "utf-32-be"}  # BMPString, UniversalString
MAX_OID = 64  # octets
LONGEST = {"subject": 256, "issuer": 256, "serial": 64}  # characters in a sentence
MAX_TIME = 40  # characters of a time in a sentence
TIME_FORMS = {0x17: "YYMMDDHHMMSSZ", 0x18: "YYYYMMDDHHMMSSZ"}  # UTCTime, GeneralizedTime

_SPECIAL = re.compile(r'[,+"\\<>;]|^[ #]| \Z')


def identity_of(der: bytes) -> Mapping[str, str]:
    """Facts for the log, as far as they can be read: subject, issuer, serial and sha256; never raises."""
    facts = {}
    with suppress(BERMalformed):
        fields = signed_fields(der)
        if (fields.serial.tag, fields.issuer.tag, fields.subject.tag) == (INTEGER, SEQUENCE, SEQUENCE):
            facts = {"subject": name_of(fields.subject), "issuer": name_of(fields.issuer)}
            facts["serial"] = f"{int.from_bytes(fields.serial.content, 'big', signed=True):x}"
    return {**facts, "sha256": sha256(der).hexdigest()}


def sentence_about(facts: Mapping[str, str]) -> str:
    """The facts in words; empty if these octets are not even the frame of a certificate."""
    if "serial" not in facts:
        return ""
    subject, issuer, serial = (cut(facts[each], longest) for each, longest in LONGEST.items())
    return f"; SHA-256 {facts['sha256']}, serial {serial}, subject {subject}, issuer {issuer}"


def name_of(name: Value) -> str:
    """A distinguished name as RFC 4514 writes it; in hex if it is not one."""
    try:
        return ",".join("+".join(map(_attribute, _members(each, SET))) for each in reversed(_members(name, SEQUENCE)))
    except BERMalformed:
        return f"#{name.whole.hex()}"


def wrong_time(der: bytes) -> str:
    """The sentence about a validity that is not in one of the forms of RFC 5280; empty if it is."""
    with suppress(BERMalformed):
        times = values(signed_fields(der).validity.content, at_most=2)
        for field, time in zip(("notBefore", "notAfter"), times, strict=False):
            form = TIME_FORMS.get(time.tag, "")
            text = time.content.decode("latin-1")
            if form and not re.fullmatch(rf"[0-9]{{{len(form) - 1}}}Z", text):
                return f"its {field} is {cut(text, MAX_TIME)!a}, and not of the form {form} (RFC 5280, section 4.1.2.5)"
    return ""


def text_of(value: Value) -> str:
    """The text in a string of any type; what is not text is replaced."""
    if encoding := WIDE.get(value.tag):
        return value.content.decode(encoding, "replace")
    try:
        return value.content.decode()
    except UnicodeDecodeError:
        return value.content.decode("latin-1")


def _attribute(attribute: Value) -> str:
    kind, value = _pair(attribute)
    name = SHORT_NAMES.get(kind.content.hex()) or dotted(kind.content)
    return f"{name}={_SPECIAL.sub(lambda found: chr(92) + found[0], text_of(value))}"


def dotted(octets: bytes) -> str:
    """An OBJECT IDENTIFIER as people write it (X.690, section 8.19)."""
    if len(octets) > MAX_OID or not octets or octets[-1] & 0x80:
        raise BERMalformed("not an OBJECT IDENTIFIER")
    first, *rest = _arcs(octets)
    top = min(first // 40, 2)
    return ".".join(map(str, (top, first - 40 * top, *rest)))


def _arcs(octets: bytes) -> Iterator[int]:
    arc = 0
    for octet in octets:
        arc = arc << 7 | octet & 0x7F
        if octet < 0x80:
            yield arc
            arc = 0


def _pair(attribute: Value) -> tuple[Value, Value]:
    members = _members(attribute, SEQUENCE)
    if len(members) != 2 or members[0].tag != OBJECT_IDENTIFIER:
        raise BERMalformed("not an attribute")
    return members[0], members[1]


def _members(value: Value, tag: int) -> tuple[Value, ...]:
    if value.tag != tag:
        raise BERMalformed("not a name")
    return values(value.content)
