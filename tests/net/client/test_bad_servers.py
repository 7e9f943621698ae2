"""The client against backends that misbehave: only its own errors escape, and nothing lasts for ever."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlsd.config.addresses import Backend
from mtlsd.errors import UpstreamBadAnswer, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from mtlsd.net.client import http
from mtlsd.net.client.http import MAX_ANSWER, Answer

Server = Callable[[trio.SocketStream], Awaitable[None]]
LARGE = (bytes(http.CHUNK),) * 40  # more than the buffers of a socket hold
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def answer_of(server: Server, body: Sequence[bytes] = (b"document",), timeout: float = 5) -> Answer:
    """What the client makes of a backend that does this with a connection."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await server(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        host, port = listeners[0].socket.getsockname()
        fields = [("Content-Length", str(sum(map(len, body))))]
        try:
            return await http.send(Backend.parse(f"http://{host}:{port}/"), "POST", fields, body, timeout=timeout)
        except UpstreamFailed as error:
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    raise failure


def saying(*pieces: bytes) -> Server:
    """Read what comes at first, say this, and close."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for piece in pieces:
            await stream.send_all(piece)

    return serve


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.binary(max_size=50).map(b"HTTP/1.1 200 OK\r\n".__add__))
async def test_only_our_own_errors_escape_whatever_the_backend_says(said: bytes) -> None:
    try:
        answer = await answer_of(saying(said))
    except (UpstreamUnreachable, UpstreamBadAnswer):
        return
    assert 200 <= answer.status < 1000


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes(100_000),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"220 mail.example ESMTP\r\n",
    ],
    ids=["nothing", "half a header", "half a body", "half a chunk", "1xx", "101", "long", "many", "another protocol"],
)
async def test_what_is_no_whole_answer_is_no_answer(said: bytes) -> None:
    with pytest.raises((UpstreamUnreachable, UpstreamBadAnswer)):
        await answer_of(saying(said))


async def test_what_follows_1xx_is_the_answer() -> None:
    answer = await answer_of(saying(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3, FINE))
    assert answer.status == 200


async def test_an_answer_that_never_ends_ends_with_the_timeout() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"HTTP/1.1 102 Processing\r\n\r\n")

    with pytest.raises((UpstreamTimeout, UpstreamBadAnswer)):  # or there are too many interim answers first
        await answer_of(serve, timeout=0.2)


async def test_of_an_endless_body_no_more_is_read_than_we_keep() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n")
        while True:
            await stream.send_all(bytes(65536))

    answer = await answer_of(serve)
    assert answer.status == 200
    assert MAX_ANSWER < len(answer.body) <= MAX_ANSWER + http.RECEIVE


@pytest.mark.parametrize(("status", "taken"), [(200, False), (202, False), (413, True), (503, True)])
async def test_an_answer_before_the_whole_document_can_only_refuse_it(status: int, taken: bool) -> None:
    """A backend that says 2xx and closes cannot have what we still hold."""

    async def closing(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)
        await stream.receive_some(1)

    try:
        said = (await answer_of(closing, LARGE)).status
    except UpstreamUnreachable:  # a reset may overtake a refusal, too: then it is tried again
        return
    assert (said, taken) == (status, True)
