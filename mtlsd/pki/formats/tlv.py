"""BER and DER, one level at a time: tags, lengths and the octets between them (ITU-T X.690, section 8.1).

Some products write containers before they know how long they become: with an indefinite length (8.1.3.6), which ends
with two octets of zero. Whatever the octets, only ValueError is raised, and time is linear in their number.
"""

from collections.abc import Iterator
from typing import NamedTuple

SEQUENCE, SET = 0x30, 0x31
CONSTRUCTED = 0x20
INDEFINITE = 0x80
INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER, BOOLEAN = 0x02, 0x03, 0x04, 0x06, 0x01
OCTET_STRINGS = {OCTET_STRING, 0x80}  # 0x80: where it is [0] IMPLICIT
MAX_PIECES = 100_000


class Value(NamedTuple):  # quicker to make than a dataclass, and of each certificate two dozen are made
    """One value: its tag, its content, and all its octets."""

    tag: int  # the first octet; tags of several octets occur nowhere in a certificate
    content: bytes
    whole: bytes


def first_value(data: bytes) -> Value:
    """The value that these octets begin with; raises ValueError where they hold none that is whole."""
    return _value(data, 0)


def values(content: bytes, at_most: int = 10_000) -> tuple[Value, ...]:
    """The values that stand there one behind the other; raises ValueError for anything else, or for more of them."""
    found: list[Value] = []
    at = 0
    while at < len(content):
        if len(found) == at_most:
            raise ValueError(f"more than {at_most} values")
        found.append(_value(content, at))
        at += len(found[-1].whole)
    return tuple(found)


def octets_of(value: Value) -> bytes:
    """What an OCTET STRING holds, also where it is in pieces (X.690, section 8.7.3); raises ValueError."""
    if value.tag & ~CONSTRUCTED not in OCTET_STRINGS:
        raise ValueError("no OCTET STRING")
    if not value.tag & CONSTRUCTED:
        return value.content
    return b"".join(each.content for each in values(value.content, MAX_PIECES))


def integers_in(value: Value, depth: int = 8) -> Iterator[int]:
    """Every INTEGER in it, at any depth up to this; raises ValueError."""
    if value.tag == INTEGER:
        yield int.from_bytes(value.content, "big", signed=True)
    elif value.tag & CONSTRUCTED and depth:
        for each in values(value.content):
            yield from integers_in(each, depth - 1)


def encoded(tag: int, content: bytes) -> bytes:
    """A value with this tag, in DER."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _value(data: bytes, at: int) -> Value:
    start, size = _header(data, at)
    if size is not None:
        return Value(data[at], data[start : start + size], data[at : start + size])
    end = _end_of_contents(data, start)
    return Value(data[at], data[start : end - 2], data[at:end])


def _header(data: bytes, at: int) -> tuple[int, int | None]:
    """Where the content begins and how long it is; None for an indefinite length."""
    if at + 2 > len(data):
        raise ValueError("cut short")
    start, size = at + 2, data[at + 1]
    if size == INDEFINITE and data[at] & CONSTRUCTED:
        return start, None
    if size & 0x80:
        octets = size & 0x7F
        start += octets
        if not 1 <= octets <= 4 or start > len(data):
            raise ValueError("no length that is known")
        size = int.from_bytes(data[at + 2 : start], "big")
    if start + size > len(data):
        raise ValueError("cut short")
    return start, size


def _end_of_contents(data: bytes, at: int) -> int:
    """Behind the two octets of zero that end the value whose content begins at `at`."""
    depth = 1
    while depth:
        ends = data[at : at + 2] == b"\0\0"
        start, size = _header(data, at)
        depth += -1 if ends else size is None
        at = start + (size or 0)
    return at
