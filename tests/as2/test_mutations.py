"""No change to a valid message, and no way of cutting it up, makes other content of it, or an error that is not ours.

The messages are changed on the wire; and those that are signed also behind the signature, and then wrapped anew: our
certificate is public, so anybody can do that. What a hostile message may cost in memory is in `test_memory`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.headers import AS2Headers
from mtlsd.as2.receiver import Receiver, VerifiedMessage
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.errors import AS2Refused
from tests.support import messages
from tests.support.messages import NOW, Sent
from tests.support.mutations import CHUNKS, MUTATIONS, Mutation, Row, Valid, mutate, rows, send, valid, wrap

LIMITS = MessageLimits(max_expanded_octets=10_000_000, max_expansion_ratio=100)
MAX_PASSES = 6  # one for each digest, one for authenticated attributes, and the first
WHOLE = (1 << 30,)

ROWS = rows()
WRAPPED = [row for row in ROWS if row.signed and not row.layers.endswith("s")]

Outcome = tuple[VerifiedMessage, bytes] | type[AS2Refused]


def outcome(row: Row, sent: Sent, chunks: Sequence[int] = WHOLE) -> Outcome:
    """What the receiver makes of it, read again where it asks for that, as the handler does."""
    agreement = Agreement(messages.organization(), messages.partner(require=row.require), row.require)
    hints = Hints()
    for _ in range(MAX_PASSES):
        try:
            headers = AS2Headers.parse(sent.fields)
            headers.check()
            return _read(Receiver(headers, agreement, LIMITS, NOW, hints), sent.body, chunks)
        except ReadAgain as again:
            hints = again.hints
        except AS2Refused as refusal:
            return type(refusal)
    pytest.fail("the receiver asks for ever")


def _read(receiver: Receiver, body: bytes, chunks: Sequence[int]) -> tuple[VerifiedMessage, bytes]:
    payload = b""
    for piece in _pieces(body, chunks):
        receiver.receive_data(piece)
        payload += b"".join(event.data for event in receiver.events())
    verified = receiver.finish()
    assert isinstance(verified, VerifiedMessage)
    return verified, payload + b"".join(event.data for event in receiver.events())


def _pieces(body: bytes, chunks: Sequence[int]) -> Iterator[bytes]:
    sizes, at = cycle(chunks), 0
    while at < len(body):
        size = next(sizes)
        yield body[at : at + size]
        at += size


def check(row: Row, found: Outcome, *originals: Valid) -> None:
    """A refusal, or the content and the MIC of a message that is whole; unproved content is nobody's."""
    if isinstance(found, type):
        return
    verified, payload = found
    if row.is_proved:
        assert any(original.gave(verified, payload) for original in originals)
        assert (verified.signer is not None) == bool(row.signed)
    else:
        assert verified.signer is None


def check_alike(one: Outcome, other: Outcome) -> None:
    """Other chunks may find another fault first, but never make a message of none."""
    assert isinstance(one, type) == isinstance(other, type)
    assert isinstance(one, type) or one == other


many = settings(max_examples=450, derandomize=True, database=None)


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("chunks", [WHOLE, (1,), (500, 1, 61)], ids=str)
def test_any_chunks_give_the_content(row: Row, chunks: tuple[int, ...]) -> None:
    message = valid(row)
    found = outcome(row, message.sent, chunks)
    assert not isinstance(found, type), found
    assert message.gave(*found)


@many
@given(row=st.sampled_from(ROWS), mutations=MUTATIONS, chunks=CHUNKS)
def test_a_message_changed_on_the_wire(row: Row, mutations: list[Mutation], chunks: list[int]) -> None:
    one, other = valid(row, 0), valid(row, 1)
    changed = Sent(one.sent.fields, mutate(one.sent.body, other.sent.body, mutations))
    found = outcome(row, changed, chunks)
    check(row, found, one, other)
    check_alike(found, outcome(row, changed))


@many
@given(row=st.sampled_from(WRAPPED), mutations=MUTATIONS, chunks=CHUNKS)
def test_a_message_changed_behind_its_signature_and_wrapped_anew(
    row: Row, mutations: list[Mutation], chunks: list[int]
) -> None:
    one, other = valid(row, 0), valid(row, 1)
    at = row.layers.index("s") + 1
    entity = mutate(one.stages[at], other.stages[at], mutations)
    cheap = replace(row, sealed="CBC DER")
    for layer in row.layers[at:]:
        entity = wrap(cheap, layer, entity)
    found = outcome(row, send(row, entity), chunks)
    check(row, found, one, other)
    check_alike(found, outcome(row, send(row, entity)))


@many
@given(row=st.sampled_from(ROWS), field=st.integers(0, 30), mutations=MUTATIONS, chunks=CHUNKS)
def test_a_message_whose_header_is_changed(row: Row, field: int, mutations: list[Mutation], chunks: list[int]) -> None:
    one, other = valid(row, 0), valid(row, 1)
    lines = [f"{name}: {value}".encode("latin-1") for name, value in one.sent.fields]
    at = field % len(lines)
    lines[at] = mutate(lines[at], other.sent.body, mutations)
    changed = [line.decode("latin-1").partition(":")[::2] for line in lines]
    sent = Sent(tuple((name, value.strip()) for name, value in changed), one.sent.body)
    check(row, outcome(row, sent, chunks), one, other)
