"""BER and DER (X.690) of messages, read as it arrives; `pki.ber` has the header, the limits and whole values.

`Reader` is a push reader. Its methods are generators that yield while bytes are missing, so a grammar reads from top
to bottom like the ASN.1 that it implements, at any chunk size and in constant memory. `Element` is one complete value,
small and in memory. Both know indefinite lengths and constructed octet strings, and neither trusts a length.
"""

from collections.abc import Callable, Generator
from functools import lru_cache
from typing import NamedTuple, ParamSpec, TypeVar

from mtlsd.errors import AS2MIMEMalformed
from mtlsd.pki.ber import (
    CONSTRUCTED,
    END_OF_CONTENTS,
    INTEGER,
    MAX_DEPTH,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    BERMalformed,
    Value,
    encode,
    joined,
    read_header,
    read_value,
    read_values,
)

MAX_CHILDREN = 1024  # elements of one value in memory

Steps = Generator[None, None, None]
P = ParamSpec("P")
T = TypeVar("T")


def context(number: int, *, constructed: bool = True) -> int:
    """The tag [number], context-specific."""
    return 0x80 | number | (CONSTRUCTED if constructed else 0)


class DERHeader(NamedTuple):
    """Tag and length; the length is None where it is indefinite."""

    tag: int
    length: int | None


class Reader:
    """Reads one BER value as its bytes arrive. Never looks past what it was given."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0  # octets consumed since the beginning
        self._ends: list[int | None] = []  # where each value that was entered ends
        self._limits: list[int | None] = [None]  # and the end of it, or of the nearest definite one around it

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def rest(self) -> bytes:
        """What was received behind the value that was read."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def enter(self, tag: int) -> Steps:
        """Read the header of a constructed value and go inside it."""
        header = yield from self._header()
        if header.tag != tag:
            raise AS2MIMEMalformed(f"tag {header.tag:#04x} where {tag:#04x} was expected")
        self._push(header)

    def more(self) -> Generator[None, None, bool]:
        """Whether the value that we are inside of has another element; at its end, leave it."""
        end = self._ends[-1]
        if end is None:
            if (yield from self._peek(2)) != END_OF_CONTENTS:
                return True
            self._skip(2)
        elif self._position < end:
            return True
        self._ends.pop()
        self._limits.pop()
        return False

    def leave(self) -> Steps:
        """Leave the value that we are inside of; it must be at its end."""
        if (yield from self.more()):
            raise AS2MIMEMalformed("more elements than the structure has")

    def next_tag(self) -> Generator[None, None, int]:
        return (yield from self._peek(1))[0]

    def element(self, limit: int) -> Generator[None, None, "Element"]:
        """One complete value, of at most `limit` octets."""
        captured = bytearray()
        yield from self._capture(captured, limit)
        return Element.parse(bytes(captured))

    def octets(self, tag: int, pieces: list[bytes]) -> Steps:
        """The contents of an octet string with this tag (primitive form), appended piece by piece to `pieces`."""
        header = yield from self._header()
        yield from self._octets(header, tag, pieces)

    def _octets(self, header: DERHeader, tag: int, pieces: list[bytes]) -> Steps:
        if header.tag == tag and header.length is not None:
            yield from self._primitive(header.length, pieces)
        elif header.tag == tag | CONSTRUCTED:
            self._push(header)
            while (yield from self.more()):
                segment = yield from self._header()
                yield from self._octets(segment, OCTET_STRING, pieces)
        else:
            raise AS2MIMEMalformed(f"tag {header.tag:#04x} where an octet string was expected")

    def _primitive(self, length: int, pieces: list[bytes]) -> Steps:
        while length:
            if not self._buffer:
                yield
                continue
            taken = bytes(self._buffer[:length]) if length < len(self._buffer) else bytes(self._buffer)
            self._skip(len(taken))
            length -= len(taken)
            pieces.append(taken)

    def _capture(self, captured: bytearray, limit: int) -> Steps:
        start = self._position
        header = yield from self._header(captured)
        if self._position - start > limit:
            raise AS2MIMEMalformed(f"elements over the limit of {limit} octets")
        if header.length is None:
            self._push(header)
            while (yield from self.more()):
                yield from self._capture(captured, limit - (self._position - start))
            captured += END_OF_CONTENTS
        else:
            if header.length > limit:
                raise AS2MIMEMalformed(f"an element of {header.length} octets, over the limit of {limit}")
            captured += yield from self._take(header.length)

    def _header(self, copy: bytearray | None = None) -> Generator[None, None, DERHeader]:
        buffer = self._buffer
        while (found := _in_a_message(read_header, buffer)) is None:
            yield
        size, length = found
        header = DERHeader(buffer[0], length)
        if copy is not None:
            copy += buffer[:size]
        self._skip(size)
        self._check_fits(header)
        return header

    def _check_fits(self, header: DERHeader) -> None:
        limit = self._limits[-1]
        if limit is not None and self._position + (header.length or 0) > limit:
            raise AS2MIMEMalformed("an element is longer than the one around it")

    def _push(self, header: DERHeader) -> None:
        if len(self._ends) >= MAX_DEPTH:
            raise AS2MIMEMalformed("nested too deeply")
        end = None if header.length is None else self._position + header.length
        self._ends.append(end)
        self._limits.append(self._limits[-1] if end is None else end)

    def _peek(self, count: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < count:
            yield
        return bytes(self._buffer[:count])

    def _take(self, count: int) -> Generator[None, None, bytes]:
        taken = yield from self._peek(count)
        self._skip(count)
        return taken

    def _skip(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count


def _in_a_message(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What cannot be read as BER makes the message malformed."""
    try:
        return read(*args, **options)
    except BERMalformed as error:
        raise AS2MIMEMalformed(str(error)) from error


class Element(Value):
    """One complete value: its tag, its content, and its encoding to the octet."""

    __slots__ = ()

    @classmethod
    def parse(cls, data: bytes) -> "Element":
        """The one value that `data` is; anything behind it is refused."""
        element = _in_a_message(read_value, data, 0, cls)
        if len(element.whole) != len(data):
            raise AS2MIMEMalformed("octets behind the value")
        return element

    def children(self) -> list["Element"]:
        return _in_a_message(read_values, self.content, MAX_CHILDREN, Element)

    def expect(self, tag: int) -> "Element":
        if self.tag != tag:
            raise AS2MIMEMalformed(f"tag {self.tag:#04x} where {tag:#04x} was expected")
        return self

    def only_child(self) -> "Element":
        children = self.children()
        if len(children) != 1:
            raise AS2MIMEMalformed("not one value, where one was expected")
        return children[0]

    def octets(self) -> bytes:
        """The content of an octet string, whichever form it has."""
        return _in_a_message(joined, self, MAX_CHILDREN)

    def integer(self) -> int:
        return int.from_bytes(self.expect(INTEGER).content, "big", signed=True)

    def oid(self) -> str:
        return decode_oid(self.expect(OBJECT_IDENTIFIER).content)


@lru_cache(maxsize=256)
def decode_oid(contents: bytes) -> str:
    """Dotted form of an OBJECT IDENTIFIER's contents (X.690, section 8.19)."""
    if not contents or contents[-1] & 0x80 or len(contents) > 64:
        raise AS2MIMEMalformed("not an object identifier")
    arcs, value = [], 0
    for octet in contents:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


@lru_cache(maxsize=64)
def encode_oid(dotted: str) -> bytes:
    """A DER OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = map(int, dotted.split("."))
    return encode(OBJECT_IDENTIFIER, b"".join(map(_base128, [40 * first + second, *rest])))


def encode_integer(value: int) -> bytes:
    """A DER INTEGER."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _base128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))
