"""BER as whole values and as it arrives: what one reads the other reads, and only our own errors escape."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.cms.der import Element, Reader, Steps
from mtlsd.errors import AS2MIMEMalformed
from mtlsd.pki.ber import (
    CONSTRUCTED,
    MAX_DEPTH,
    OCTET_STRING,
    SEQUENCE,
    BERMalformed,
    Value,
    declared_size,
    encode,
    first_value,
    integers_in,
    joined,
    octets_of,
    values,
)

LIMIT = 100_000  # octets
HEADERS = [
    b"\x30\x80",
    b"\x24\x80",
    b"\0\0",
    b"\x30\x02",
    b"\x04\x81\x80",
    b"\x04\x82\x01",
    b"\x1f\x01",
    b"\x30\x88",
    b"\x30\x89",
]
OCTETS = st.binary(max_size=200) | st.lists(st.sampled_from(HEADERS) | st.binary(max_size=3), max_size=40).map(b"".join)
PRIMITIVES = st.builds(encode, st.sampled_from([2, 4, 6, 0x80]), st.binary(max_size=300))


def constructed(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A value of several, of definite length and of indefinite."""
    parts = st.lists(children, max_size=4).map(b"".join)
    tags = st.sampled_from([0x24, SEQUENCE, 0xA0])
    return st.builds(encode, tags, parts) | st.builds(indefinite, tags, parts)


def indefinite(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x80]) + content + b"\0\0"


VALUES = st.recursive(PRIMITIVES, constructed, max_leaves=12)


def arriving(data: bytes, piece: int) -> Element | None:
    """The value that the streaming reader finds, `piece` octets at a time; None if it waits for more."""
    reader, found = Reader(), []

    def steps() -> Steps:
        found.append((yield from reader.element(LIMIT)))

    grammar = steps()
    with suppress(StopIteration):
        next(grammar)
        for at in range(0, len(data), piece):
            reader.receive_data(data[at : at + piece])
            next(grammar)
    return found[0] if found else None


@given(VALUES, st.integers(1, 50))
def test_a_value_is_read_to_the_octet_at_once_and_as_it_arrives(data: bytes, piece: int) -> None:
    value = first_value(data + b"rest")
    assert value.whole == data
    assert Element.parse(data) == value == arriving(data, piece)
    if data[1] != 0x80:
        assert encode(value.tag, value.content) == data
        assert declared_size(data[:12]) == len(data)
    if value.tag & CONSTRUCTED:
        assert b"".join(each.whole for each in values(value.content)) == value.content


@given(VALUES)
def test_a_value_that_is_cut_short_is_none(data: bytes) -> None:
    for size in {0, 1, 2, len(data) // 2, len(data) - 1} - {len(data)}:
        with pytest.raises(BERMalformed):
            first_value(data[:size])


READERS: dict[str, Callable[[bytes], object]] = {
    "first_value": first_value,
    "values": values,
    "octets_of": lambda data: octets_of(first_value(data)),
    "integers_in": lambda data: list(integers_in(first_value(data))),
    "joined": lambda data: joined(Value(0x24, data, data), 10),
    "declared_size": declared_size,
}


@pytest.mark.parametrize("reader", READERS)
@given(OCTETS)
def test_only_our_own_error_escapes(reader: str, data: bytes) -> None:
    with suppress(BERMalformed):
        READERS[reader](data)


@given(OCTETS, st.integers(1, 50))
def test_of_a_message_it_says_that_the_message_is_malformed(data: bytes, piece: int) -> None:
    with suppress(AS2MIMEMalformed):
        element = Element.parse(data)
        element.children()
        element.octets()
    with suppress(AS2MIMEMalformed):
        arriving(data, piece)


@given(OCTETS)
def test_both_ways_of_reading_refuse_the_same(data: bytes) -> None:
    found: list[Element | Value | None] = []
    for read in (first_value, lambda each: arriving(each, 1)):
        try:
            found.append(read(data))
        except (BERMalformed, AS2MIMEMalformed):
            found.append(None)
    assert found[0] == found[1]


TOO_MUCH = {
    "an indefinite length on a primitive value": b"\x04\x80\0\0",
    "a tag number above 30": b"\x3f\x81\0\0",
    "a length of more octets": b"\x30\x89" + bytes(9),
    "nested too deeply": b"\x30\x80" * (MAX_DEPTH + 1) + b"\0\0" * (MAX_DEPTH + 1),
    "longer than what is around it": b"\x30\x05ab",
    "cut short inside a header": b"\x30\x82\x01",
}


@pytest.mark.parametrize("words", TOO_MUCH)
def test_what_is_refused_has_its_own_words(words: str) -> None:
    with pytest.raises(BERMalformed, match=words):
        first_value(TOO_MUCH[words])


def test_limits_are_exact() -> None:
    assert first_value(b"\x30\x80" * MAX_DEPTH + b"\0\0" * MAX_DEPTH)
    assert len(values(b"\5\0" * 10, at_most=10)) == 10
    with pytest.raises(BERMalformed, match="more than 9 values"):
        values(b"\5\0" * 10, at_most=9)


def test_an_octet_string_in_pieces_is_joined_at_any_depth() -> None:
    inner = indefinite(OCTET_STRING | CONSTRUCTED, encode(OCTET_STRING, b"b") + encode(OCTET_STRING, b"c"))
    whole = first_value(encode(OCTET_STRING | CONSTRUCTED, encode(OCTET_STRING, b"a"), inner))
    assert octets_of(whole) == b"abc"
    with pytest.raises(BERMalformed, match="not an OCTET STRING"):
        octets_of(first_value(encode(SEQUENCE, inner)))
