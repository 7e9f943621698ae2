"""Reads BER and DER one level at a time: tags, lengths and contents (ITU-T X.690, section 8.1).

Some products write a container before they know its length. The length is then indefinite (8.1.3.6), and two zero
octets end the container. Only BERMalformed is raised, whatever the octets are, and the time is linear in their number.
`as2.cms.der` reads values as they arrive, with the headers and the limits of this module.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
SEQUENCE, SET = 0x30, 0x31
CONSTRUCTED = 0x20
INDEFINITE = 0x80
LONG_TAG = 0x1F  # the tag number follows in octets of its own, which neither a certificate nor CMS needs
OCTET_STRINGS = {OCTET_STRING, 0x80}  # 0x80: if it is [0] IMPLICIT
END_OF_CONTENTS = b"\0\0"
MAX_LENGTH_OCTETS = 8
MAX_DEPTH = 24
MAX_VALUES = 10_000  # in one value: in memory, each needs far more than the two octets that it may have
MAX_PIECES = 100_000


class BERMalformed(ValueError):
    """The octets are not a value, or only a part of one."""


class Value(NamedTuple):  # faster to create than a dataclass, and each certificate needs two dozen
    """One value: its tag, its content, and all its octets."""

    tag: int  # the first octet
    content: bytes
    whole: bytes


V = TypeVar("V", bound=Value)


def read_header(data: bytes | bytearray, at: int = 0) -> tuple[int, int | None] | None:
    """The length of the header at `at`, and the length of its content, which is None if it is indefinite.

    Returns None if the header continues after `data`; raises BERMalformed.
    """
    if at + 2 > len(data):
        return None
    tag, length = data[at], data[at + 1]
    if tag & LONG_TAG == LONG_TAG:
        raise BERMalformed("a tag number above 30")
    if length < INDEFINITE:
        return 2, length
    if length == INDEFINITE:
        if not tag & CONSTRUCTED:
            raise BERMalformed("an indefinite length on a primitive value")
        return 2, None
    size = 2 + (length & 0x7F)
    if size > 2 + MAX_LENGTH_OCTETS:
        raise BERMalformed("a length of more octets than any length needs")
    if at + size > len(data):
        return None
    return size, int.from_bytes(data[at + 2 : at + size], "big")


def declared_size(beginning: bytes) -> int | None:
    """The length of the value that begins with these octets; None if the header does not give it."""
    try:
        header = read_header(beginning)
    except BERMalformed:
        return None
    return None if header is None or header[1] is None else header[0] + header[1]


def first_value(data: bytes) -> Value:
    """The value at the beginning of these octets; raises BERMalformed if it is not complete."""
    return read_value(data, 0, Value)


def values(content: bytes, at_most: int = MAX_VALUES) -> tuple[Value, ...]:
    """The values that follow one another in these octets; raises BERMalformed for anything else, or for too many."""
    return tuple(read_values(content, at_most, Value))


def read_values(content: bytes, at_most: int, kind: type[V]) -> list[V]:
    """The same values, as objects of this class."""
    found: list[V] = []
    at = 0
    while at < len(content):
        if len(found) == at_most:
            raise BERMalformed(f"more than {at_most} values")
        found.append(value := read_value(content, at, kind))
        at += len(value.whole)
    return found


def read_value(data: bytes, at: int, kind: type[V]) -> V:
    """The value at this index, as an object of this class; raises BERMalformed."""
    start, length = _whole_header(data, at)
    if length is None:
        end = _end_of_contents(data, start)
        return kind(data[at], data[start : end - len(END_OF_CONTENTS)], data[at:end])
    end = start + length
    return kind(data[at], data[start:end], data[at:end])


def octets_of(value: Value) -> bytes:
    """The content of an OCTET STRING, also if it is in pieces (X.690, section 8.7.3); raises BERMalformed."""
    if value.tag & ~CONSTRUCTED not in OCTET_STRINGS:
        raise BERMalformed("not an OCTET STRING")
    return joined(value, MAX_PIECES)


def joined(value: Value, at_most: int, depth: int = MAX_DEPTH) -> bytes:
    """The content of a primitive value, or of all parts of a constructed value; raises BERMalformed."""
    if not value.tag & CONSTRUCTED:
        return value.content
    if not depth:
        raise BERMalformed("nested too deeply")
    return b"".join([joined(each, at_most, depth - 1) for each in values(value.content, at_most)])


def integers_in(value: Value, depth: int = 8) -> Iterator[int]:
    """Every INTEGER in a value, down to this depth; raises BERMalformed."""
    if value.tag == INTEGER:
        yield int.from_bytes(value.content, "big", signed=True)
    elif value.tag & CONSTRUCTED and depth:
        for each in values(value.content):
            yield from integers_in(each, depth - 1)


def encode(tag: int, *parts: bytes) -> bytes:
    """Encode a value with this tag and content in DER."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _whole_header(data: bytes, at: int) -> tuple[int, int | None]:
    """The index and the length of the content, all of which must be present."""
    header = read_header(data, at)
    if header is None:
        raise BERMalformed("cut short inside a header")
    start, length = at + header[0], header[1]
    if length is not None and start + length > len(data):
        raise BERMalformed("longer than what is around it")
    return start, length


def _end_of_contents(data: bytes, at: int) -> int:
    """The index after the two zero octets that end the value whose content begins at `at`."""
    depth = 1
    while depth:
        ends = data[at : at + 2] == END_OF_CONTENTS
        at, length = _whole_header(data, at)
        depth += -1 if ends else length is None
        at += length or 0
        if depth > MAX_DEPTH:
            raise BERMalformed("nested too deeply")
    return at
