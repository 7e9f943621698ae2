"""One request a connection, read within limits on its octets, its fields and its seconds."""

from math import inf

import pytest
import trio
from trio.testing import MockClock

from mtlsd.errors import BodyTooLarge, HeadersTooLarge, PeerError
from mtlsd.net.server.one_request import MAX_FIELDS, MAX_HEADER, Conversation, RequestConnection, RequestLimits

MAX_BODY = 100
LINE = b"POST / HTTP/1.1\r\nHost: x\r\n"


def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    return ours, theirs


async def request(sent: bytes) -> tuple[int, bytes]:
    """How many fields the request has that is read of these octets, and its body."""
    ours, theirs = pair()
    async with ours, theirs:
        await theirs.send_all(sent)
        await theirs.send_eof()
        conversation = Conversation(ours, RequestConnection.opened(RequestLimits(MAX_BODY)))
        header = await conversation.receive_header()
        assert header
        return len(header.headers), await conversation.receive_body()


def with_fields(number: int) -> bytes:
    """A request with so many fields."""
    return LINE + b"".join(b"X-%d: x\r\n" % each for each in range(number - 1)) + b"\r\n"


def with_octets(number: int) -> bytes:
    """A request with a header of so many octets."""
    return LINE + b"X: " + b"x" * (number - len(LINE) - len(b"X: \r\n\r\n")) + b"\r\n\r\n"


def with_body(number: int) -> bytes:
    return LINE + b"Content-Length: %d\r\n\r\n" % number + b"x" * number


@pytest.mark.parametrize(
    ("sent", "fields", "body"),
    [
        (with_fields(MAX_FIELDS), MAX_FIELDS, b""),
        (with_octets(MAX_HEADER), 2, b""),
        (with_body(MAX_BODY), 2, b"x" * MAX_BODY),
    ],
)
async def test_what_is_within_the_limits_is_read(sent: bytes, fields: int, body: bytes) -> None:
    assert await request(sent) == (fields, body)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (with_fields(MAX_FIELDS + 1), HeadersTooLarge),
        (with_octets(MAX_HEADER + 1), HeadersTooLarge),
        (with_octets(10 * MAX_HEADER), HeadersTooLarge),
        (with_body(MAX_BODY + 1), BodyTooLarge),
    ],
)
async def test_what_is_beyond_a_limit_is_refused(sent: bytes, error: type[PeerError]) -> None:
    with pytest.raises(error):
        await request(sent)


async def test_who_leaves_without_a_request_asked_nothing() -> None:
    ours, theirs = pair()
    async with ours:
        await theirs.aclose()
        assert await Conversation(ours, RequestConnection.opened(RequestLimits())).receive_header() is None


@pytest.mark.parametrize(
    ("limits", "sent", "seconds"),
    [
        (RequestLimits(header_seconds=7), LINE, 7),
        (RequestLimits(MAX_BODY, header_seconds=7, rest_seconds=20), LINE + b"Content-Length: 9\r\n\r\nx", 20),
    ],
)
async def test_every_step_has_its_time(
    autojump_clock: MockClock, limits: RequestLimits, sent: bytes, seconds: int
) -> None:
    ours, theirs = pair()
    connection = RequestConnection.opened(limits)
    async with ours, theirs:
        await theirs.send_all(sent)
        with connection.scope:
            conversation = Conversation(ours, connection)
            await conversation.receive_header()
            await conversation.receive_body()
    assert connection.scope.cancelled_caught
    assert trio.current_time() == pytest.approx(seconds, abs=0.5)


async def test_who_does_not_read_the_answer_is_left(autojump_clock: MockClock) -> None:
    ours, theirs = pair()
    connection = RequestConnection.opened(RequestLimits(answer_seconds=3))
    async with ours, theirs:
        await theirs.send_all(LINE + b"\r\n")
        with connection.scope:
            conversation = Conversation(ours, connection)
            await conversation.receive_header()
            assert connection.scope.deadline == inf
            await conversation.answer(200, body=bytes(10_000_000))
    assert trio.current_time() == pytest.approx(3, abs=0.5)


async def test_who_never_closes_is_closed(autojump_clock: MockClock) -> None:
    ours, theirs = pair()
    async with ours, theirs:
        await theirs.send_all(LINE + b"\r\n")
        conversation = Conversation(ours, RequestConnection.opened(RequestLimits(close_seconds=2)))
        await conversation.receive_header()
        await conversation.answer(204)
        await conversation.close()
        assert (await theirs.receive_some()).startswith(b"HTTP/1.1 204 \r\n")
    assert trio.current_time() == pytest.approx(2, abs=0.5)
