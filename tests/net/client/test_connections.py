"""Connections that are kept for the next request: only sound ones, not for long, and never for another context."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mtlsd.config.addresses import Backend
from mtlsd.errors import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable, UpstreamUntrusted
from mtlsd.net.client.connections import IDLE_SECONDS, MAX_IDLE, MAX_IDLE_IN_ALL, Endpoint, IdleConnections
from mtlsd.net.client.http import Answer, send
from tests.e2e.test_asynchronous_receipts import serving
from tests.support import pki
from tests.support.daemon import LONG
from tests.support.pki import SERVER as SERVER_USE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = ("Idempotency-Key", "one-and-the-same")


@dataclass
class Origin:
    """A server of several connections; `script` says what to do at each request, by its number from 0."""

    script: Callable[[int], bytes | None]  # an answer; None: none, and close
    after: bytes = b""  # said unasked, when the client has its answer
    closes_after: bool = False  # without having said that it would
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while (request := await _request(stream)) is not None:
                self.requests.append(request)
                answer = self.script(len(self.requests) - 1)
                if answer is None:
                    break
                await stream.send_all(answer)
                if b"\r\n\r\n" not in answer or b"close" in answer or answer.startswith(b"HTTP/1.0"):
                    break
                if self.after or self.closes_after:
                    await wait_all_tasks_blocked()
                    if self.after:
                        await stream.send_all(self.after)
                    if self.closes_after:
                        break
            await stream.aclose()


async def _request(stream: trio.abc.Stream) -> bytes | None:
    data = b""
    while not data.endswith(b"0\r\n\r\n"):  # the end of a chunked body
        more = await stream.receive_some(65536)
        if not more:
            return None
        data += more
    return data


@asynccontextmanager
async def kept(origin: Origin, tls: ssl.SSLContext | None = None) -> AsyncIterator[IdleConnections]:
    """The connections, with their closer, and the server."""
    connections = IdleConnections()

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await origin.serve(trio.SSLStream(stream, tls, server_side=True, https_compatible=True) if tls else stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        origin.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(connections.run)
        await wait_all_tasks_blocked()
        yield connections
        nursery.cancel_scope.cancel()


async def post(origin: Origin, connections: IdleConnections, context: ssl.SSLContext | None = None) -> Answer:
    url = Backend.parse(f"{'https' if context else 'http'}://127.0.0.1:{origin.port}/in")
    fields = (KEY, ("Transfer-Encoding", "chunked"))
    answer = await send(
        url, "POST", fields, [b"a", b"b"], timeout=2, context=context, status_decides=True, connections=connections
    )
    await wait_all_tasks_blocked(0.01)
    return answer


def always(answer: bytes | None) -> Callable[[int], bytes | None]:
    return lambda _: answer


def first_then(answer: bytes | None, *, otherwise: bytes = OK) -> Callable[[int], bytes | None]:
    """A sound answer to the first request, this one to the second, and sound ones again."""
    return lambda number: answer if number == 1 else otherwise


# --- Kept -----------------------------------------------------------------------------------------------------


async def test_the_second_request_uses_the_first_connection() -> None:
    origin = Origin(always(OK))
    async with kept(origin) as connections:
        for _ in range(3):
            assert (await post(origin, connections)).body == b"ok"
    assert (origin.connections, len(origin.requests)) == (1, 3)
    assert b"Connection: close" not in origin.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        OK + b"\r\n",
    ],
    ids=["close", "HTTP/1.0", "bad length", "bad chunk", "two answers", "an octet too many"],
)
async def test_an_answer_after_which_no_request_may_follow(answer: bytes) -> None:
    origin = Origin(always(answer))
    async with kept(origin) as connections:
        assert (await post(origin, connections)).status == 200
        assert not len(connections)
        assert (await post(origin, connections)).status == 200
    assert origin.connections == len(origin.requests) == 2


@pytest.mark.parametrize(("after", "closes"), [(OK, False), (b"x", False), (b"", True), (OK, True)])
async def test_a_server_that_speaks_unasked_or_closes_while_idle_gets_a_new_connection(
    after: bytes, closes: bool
) -> None:
    origin = Origin(always(OK), after=after, closes_after=closes)
    async with kept(origin) as connections:
        for _ in range(2):
            assert (await post(origin, connections)).body == b"ok"
            await wait_all_tasks_blocked(0.01)
    assert origin.connections == len(origin.requests) == 2  # each request was seen once


# --- A kept connection breaks ---------------------------------------------------------------------------------


async def test_a_kept_connection_that_breaks_before_the_answer_is_replaced_once() -> None:
    origin = Origin(first_then(None))
    async with kept(origin) as connections:
        await post(origin, connections)
        assert (await post(origin, connections)).body == b"ok"
    assert origin.connections == 2
    assert len(origin.requests) == 3
    assert origin.requests[1] == origin.requests[2]  # the whole body again, and the same Idempotency-Key
    assert b"one-and-the-same" in origin.requests[2]


async def test_it_is_replaced_only_once() -> None:
    origin = Origin(lambda number: None if number else OK)
    async with kept(origin) as connections:
        await post(origin, connections)
        with pytest.raises(UpstreamUnreachable) as caught:
            await post(origin, connections)
    assert caught.value.body_began
    assert len(origin.requests) == 3


async def test_a_new_connection_that_breaks_is_not_replaced() -> None:
    origin = Origin(always(None))
    async with kept(origin) as connections:
        with pytest.raises(UpstreamUnreachable):
            await post(origin, connections)
    assert len(origin.requests) == 1


async def test_a_server_that_may_have_the_document_is_known_if_no_new_connection_succeeds(
    nursery: trio.Nursery,
) -> None:
    """Otherwise another backend would get the same document."""
    origin = Origin(first_then(None))
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    origin.port = listener.socket.getsockname()[1]

    async def serve_one() -> None:
        stream = await listener.accept()
        await listener.aclose()
        await origin.serve(stream)

    connections = IdleConnections()
    nursery.start_soon(connections.run)
    nursery.start_soon(serve_one)
    await post(origin, connections)
    with pytest.raises(UpstreamUnreachable) as caught:
        await post(origin, connections)
    assert caught.value.body_began
    assert len(origin.requests) == 2


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 20"])
async def test_after_the_first_octet_of_an_answer_nothing_is_sent_again(begun: bytes) -> None:
    origin = Origin(first_then(begun))
    async with kept(origin) as connections:
        await post(origin, connections)
        with pytest.raises(UpstreamFailed):
            await post(origin, connections)
    assert len(origin.requests) == 2


@pytest.mark.parametrize(
    "cut", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\npart"]
)
async def test_a_status_decides_on_a_kept_connection_as_on_a_new_one(cut: bytes) -> None:
    origin = Origin(first_then(cut))
    async with kept(origin) as connections:
        await post(origin, connections)
        answer = await post(origin, connections)
        assert (answer.status, bool(answer.flaw)) == (200, True)
        assert not len(connections)
    assert len(origin.requests) == 2


async def test_a_silent_server_has_one_deadline_and_no_second_request(autojump_clock: MockClock) -> None:
    origin = Origin(first_then(b"HTTP/1.1 100 Continue\r\n\r\n"))
    async with kept(origin) as connections:
        await post(origin, connections)
        began = trio.current_time()
        with pytest.raises(UpstreamTimeout):
            await post(origin, connections)
        assert trio.current_time() - began < 3
    assert len(origin.requests) == 2


# --- Bounds ---------------------------------------------------------------------------------------------------


async def test_an_idle_connection_is_closed_in_time(autojump_clock: MockClock) -> None:
    origin = Origin(always(OK))
    async with kept(origin) as connections:
        await post(origin, connections)
        await trio.sleep(IDLE_SECONDS - 1)
        assert len(connections) == 1
        await trio.sleep(1.1)
        assert not len(connections)
        await post(origin, connections)
    assert origin.connections == 2


async def test_of_many_connections_to_one_server_few_are_kept() -> None:
    origin = Origin(always(OK))
    async with kept(origin) as connections:
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_IDLE + 5):
                nursery.start_soon(post, origin, connections)
        assert 0 < len(connections) <= MAX_IDLE


async def test_many_servers_do_not_use_up_the_descriptors(nursery: trio.Nursery) -> None:
    connections = IdleConnections()
    nursery.start_soon(connections.run)
    await wait_all_tasks_blocked()
    ours, theirs = [], []
    for number in range(MAX_IDLE_IN_ALL + 3):
        one, other = trio.socket.socketpair()
        ours.append(one)
        theirs.append(other)
        connections.keep(Endpoint("http", f"server-{number}", 80), trio.SocketStream(one))
    assert len(connections) == MAX_IDLE_IN_ALL
    assert [each.fileno() for each in ours[:4]] == [-1, -1, -1, ours[3].fileno()]  # the oldest are closed
    for each in theirs:
        each.close()


async def test_nothing_is_kept_if_nothing_would_close_it() -> None:
    origin = Origin(always(OK))
    async with kept(origin):
        alone = IdleConnections()
        await post(origin, alone)
        assert not len(alone)


async def test_all_are_closed_at_the_end() -> None:
    origin = Origin(always(OK))
    async with kept(origin) as connections:
        await post(origin, connections)
    assert not len(connections)


# --- TLS ------------------------------------------------------------------------------------------------------

ROOT = pki.root("Connections Root", **LONG)
TLS = serving(pki.issue("127.0.0.1", issuer=ROOT, eku=(SERVER_USE,), san=("ip:127.0.0.1",), **LONG))


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ROOT.pem.decode())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_over_tls_the_connection_is_used_again(version: ssl.TLSVersion) -> None:
    origin, context = Origin(always(OK)), trusting()
    context.maximum_version = version
    async with kept(origin, TLS) as connections:
        for _ in range(3):
            assert (await post(origin, connections, context)).body == b"ok"
    assert (origin.connections, len(origin.requests)) == (1, 3)


async def test_another_context_never_gets_the_connection() -> None:
    origin, first, second = Origin(always(OK)), trusting(), trusting()
    async with kept(origin, TLS) as connections:
        await post(origin, connections, first)
        await post(origin, connections, second)
        strict = ssl.create_default_context(cadata=pki.root("Nobody", **LONG).pem.decode())
        with pytest.raises(UpstreamUntrusted):
            await post(origin, connections, strict)
    assert (origin.connections, len(origin.requests)) == (3, 2)


@pytest.mark.parametrize(("after", "closes"), [(b"x", False), (b"", True)])
async def test_over_tls_too_a_server_that_speaks_unasked_or_closes_gets_a_new_connection(
    after: bytes, closes: bool
) -> None:
    origin, context = Origin(always(OK), after=after, closes_after=closes), trusting()
    async with kept(origin, TLS) as connections:
        for _ in range(2):
            assert (await post(origin, connections, context)).body == b"ok"
            await wait_all_tasks_blocked(0.01)
    assert origin.connections == len(origin.requests) == 2


async def test_over_tls_too_a_connection_that_breaks_is_replaced_once() -> None:
    origin, context = Origin(first_then(None)), trusting()
    async with kept(origin, TLS) as connections:
        await post(origin, connections, context)
        assert (await post(origin, connections, context)).body == b"ok"
    assert origin.connections == 2
    assert origin.requests[1] == origin.requests[2]
