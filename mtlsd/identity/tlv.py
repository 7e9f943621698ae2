"""DER, one level at a time: tags, lengths and the octets between them (ITU-T X.690, section 8.1)."""

from dataclasses import dataclass

SEQUENCE, SET = 0x30, 0x31
INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER, BOOLEAN = 0x02, 0x03, 0x04, 0x06, 0x01


@dataclass(frozen=True, slots=True)
class Value:
    """One value in DER: its tag, its content, and all its octets."""

    tag: int  # the first octet; tags of several octets occur nowhere in a certificate
    content: bytes
    whole: bytes


def first_value(data: bytes) -> Value:
    """The value that these octets begin with; raises ValueError where they hold none that is whole."""
    start, end = _content(data, 0)
    return Value(data[0], data[start:end], data[:end])


def values(content: bytes, at_most: int = 10_000) -> tuple[Value, ...]:
    """The values that stand there one behind the other; raises ValueError for anything else, or for more of them."""
    found: list[Value] = []
    at = 0
    while at < len(content):
        if len(found) == at_most:
            raise ValueError(f"more than {at_most} values")
        start, end = _content(content, at)
        found.append(Value(content[at], content[start:end], content[at:end]))
        at = end
    return tuple(found)


def encoded(tag: int, content: bytes) -> bytes:
    """A value with this tag, in DER."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at `at` begins and ends; definite lengths only."""
    if at + 2 > len(data):
        raise ValueError("cut short")
    start, size = at + 2, data[at + 1]
    if size & 0x80:
        octets = size & 0x7F
        start += octets
        if not 1 <= octets <= 4 or start > len(data):
            raise ValueError("no length of DER")
        size = int.from_bytes(data[at + 2 : start], "big")
    if start + size > len(data):
        raise ValueError("cut short")
    return start, start + size
