"""The client, with servers that drip, flood, hang up, or are not who they should be: it ends, and says why."""

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from mtlsd.config.addresses import Backend
from mtlsd.errors import (
    FailureCause,
    UpstreamBadAnswer,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamTLS,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from mtlsd.net.client.http import MAX_ANSWER, MAX_RECEIVED, Answer, Recording, send
from tests.e2e.test_asynchronous_receipts import serving
from tests.support import pki
from tests.support.daemon import LONG
from tests.support.pki import SERVER, Issued

OK = b"HTTP/1.1 200 OK\r\n"
Server = Callable[[trio.SocketStream], Awaitable[None]]


async def asked(
    server: Server,
    *,
    scheme: str = "http",
    context: ssl.SSLContext | None = None,
    recording: Recording | None = None,
    host: str = "127.0.0.1",
    status_decides: bool = False,
) -> Answer:
    """Send a request to this server."""

    async def handler(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the client went away
            await server(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        address = listeners[0].socket.getsockname()
        url = Backend.parse(f"{scheme}://{host}:{address[1]}/mdn")
        try:
            return await send(
                url,
                "POST",
                (),
                (),
                timeout=2,
                context=context,
                recording=recording,
                connect_to=address,
                status_decides=status_decides,
            )
        except UpstreamFailed as failure:
            failed = failure
            await wait_all_tasks_blocked(0.01)  # the server reads what it was told
        finally:
            nursery.cancel_scope.cancel()
    raise failed


async def heard(stream: trio.SocketStream) -> None:
    """Wait for the end of the request's header."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some(65536)


def says(*pieces: bytes) -> Server:
    async def server(stream: trio.SocketStream) -> None:
        await heard(stream)
        for piece in pieces:
            await stream.send_all(piece)

    return server


def drips(start: bytes, octet: bytes) -> Server:
    """A server that never waits as long as the deadline, and never ends."""

    async def server(stream: trio.SocketStream) -> None:
        await heard(stream)
        await stream.send_all(start)
        while True:
            await trio.sleep(1.5)
            await stream.send_all(octet)

    return server


def floods(start: bytes, again: bytes) -> Server:
    async def server(stream: trio.SocketStream) -> None:
        await heard(stream)
        await stream.send_all(start)
        while True:
            await stream.send_all(again)

    return server


# --- Time and octets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "octet"),
    [
        (OK + b"X: ", b"a"),
        (OK + b"Content-Length: 1000\r\n\r\n", b"a"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["header", "body", "chunks", "100 Continue"],
)
async def test_a_whole_answer_has_one_deadline(autojump_clock: MockClock, start: bytes, octet: bytes) -> None:
    with pytest.raises(UpstreamTimeout, match="no answer within 2 s") as caught:
        await asked(drips(start, octet))
    assert caught.value.body_began


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connecting_has_one_deadline_with_its_tls(autojump_clock: MockClock, scheme: str) -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await asked(lambda _: trio.sleep_forever(), scheme=scheme)
    assert caught.value.body_began == (scheme == "http")


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\nX: %s\r\n\r\n" % (b"a" * 8000)),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK, b"X: %s\r\n" % (b"a" * 8000)),
        (OK + b"X: ", b"a" * 8000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;%s\r\na\r\n" % (b"a" * 8000)),
    ],
    ids=["large 100 Continue", "100 Continue", "fields", "field", "chunks"],
)
async def test_an_answer_without_an_end_is_cut_off_and_not_recorded_for_ever(start: bytes, again: bytes) -> None:
    recording = Recording()
    with pytest.raises(UpstreamBadAnswer):
        await asked(floods(start, again), recording=recording)
    assert len(recording.received) <= MAX_RECEIVED


async def test_of_a_long_body_only_the_start_is_read(autojump_clock: MockClock) -> None:
    answer = await asked(floods(OK + b"\r\n", b"a" * 65536))
    assert (answer.status, MAX_ANSWER < len(answer.body) <= 2 * MAX_ANSWER) == (200, True)


async def test_a_few_answers_1xx_are_passed_over(autojump_clock: MockClock) -> None:
    answer = await asked(says(*[b"HTTP/1.1 102 Processing\r\n\r\n"] * 5, OK + b"Content-Length: 2\r\n\r\nok"))
    assert (answer.status, answer.body) == (200, b"ok")


# --- What is said of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "kind", "words"),
    [
        ([], UpstreamUnreachable, "the server closed the connection before it answered"),
        ([OK + b"Content-Length: 9\r\n\r\n"], UpstreamBadAnswer, "not HTTP as it should be: "),
        ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], UpstreamBadAnswer, "not HTTP as it should be: "),
    ],
)
async def test_an_answer_that_is_none(
    autojump_clock: MockClock, pieces: list[bytes], kind: type[UpstreamFailed], words: str
) -> None:
    with pytest.raises(kind) as caught:
        await asked(says(*pieces))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(words)
    assert caught.value.retryable


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda rest: OK + rest))
@settings(max_examples=60)
async def test_only_our_own_errors_escape(octets: bytes) -> None:
    try:
        await asked(says(octets))
    except UpstreamFailed as failure:
        text = str(failure)
    else:
        text = "an answer"
    assert text
    assert "Error" not in text


async def test_no_tls_where_tls_was_expected(autojump_clock: MockClock) -> None:
    async def server(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(UpstreamTLS) as caught:
        await asked(server, scheme="https")
    assert (str(caught.value), caught.value.reason) == (
        "the TLS handshake failed: wrong version number",
        "upstream_tls",
    )


async def test_a_server_that_ends_tls_without_a_word(autojump_clock: MockClock) -> None:
    with pytest.raises(UpstreamTLS, match=r"^the other side ended TLS without a word$"):
        await asked(_taken, scheme="https")


async def _taken(stream: trio.SocketStream) -> None:
    await stream.receive_some(65536)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("trusted", [False, True], ids=["unknown root", "other name"])
async def test_a_server_that_we_do_not_trust_hears_an_alert(
    autojump_clock: MockClock, version: ssl.TLSVersion, trusted: bool
) -> None:
    """Its operators see in their own log that the certificate was refused, and not a connection that broke."""
    root = pki.root("Server root", **LONG)
    offered = serving(pki.issue("edi.acme.example", issuer=root, eku=(SERVER,), san=("dns:other.example",), **LONG))
    offered.maximum_version = version
    said: list[str] = []

    async def server(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, offered, server_side=True)
        try:
            await secure.do_handshake()
            await secure.receive_some()
        except trio.BrokenResourceError as error:
            said.append(str(error.__cause__))

    context = ssl.create_default_context(cadata=root.pem.decode() if trusted else None)
    with pytest.raises(UpstreamUntrusted) as caught:
        await asked(server, scheme="https", context=context)
    text = str(caught.value)
    assert text.startswith("the server's certificate is not trusted: ")
    assert ("is not valid for '127.0.0.1'" in text) == trusted
    assert "_ssl.c" not in text
    assert said
    assert "alert" in said[0].lower()


# --- Why, as a value ------------------------------------------------------------------------------------------

TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x16"


async def cause_of(fail: Callable[[], Awaitable[object]]) -> FailureCause | None:
    with pytest.raises(UpstreamFailed) as caught:
        await fail()
    return caught.value.cause


@pytest.mark.parametrize(
    ("scheme", "said", "cause"),
    [
        ("http", b"SSH-2.0-OpenSSH_9\r\n\r\n", FailureCause.NO_HTTP),
        ("http", TLS_ALERT, FailureCause.NO_HTTP),
        ("http", b"", None),
        ("http", OK + b"Content-Length: 9\r\n\r\n", None),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", FailureCause.NO_TLS),
        ("https", b"SSH-2.0-OpenSSH_9\r\n\r\n", FailureCause.NO_TLS),
        ("https", TLS_ALERT, None),
    ],
)
async def test_a_server_that_speaks_something_else_is_known(
    autojump_clock: MockClock, scheme: str, said: bytes, cause: FailureCause | None
) -> None:
    async def server(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(said)

    assert await cause_of(partial(asked, server, scheme=scheme)) is cause


ROOT = pki.root("Server root", **LONG)
USUAL: dict[str, Any] = {"eku": (SERVER,), "san": ("ip:127.0.0.1", "dns:edi.acme.example"), **LONG}
BELOW_ROOT = pki.issue("edi.acme.example", issuer=ROOT, **USUAL)
EXPIRED = pki.issue("edi.acme.example", issuer=ROOT, **USUAL | {"end": datetime(2020, 1, 2, tzinfo=UTC)})


@pytest.mark.parametrize(
    ("offered", "host", "trusted", "cause"),
    [
        (BELOW_ROOT, "127.0.0.2", True, FailureCause.OTHER_NAME),
        (BELOW_ROOT, "other.example", True, FailureCause.OTHER_NAME),
        (BELOW_ROOT, "127.0.0.1", False, FailureCause.UNKNOWN_ISSUER),
        (replace(BELOW_ROOT, issuers=(ROOT, ROOT)), "127.0.0.1", False, FailureCause.UNKNOWN_ISSUER),
        (pki.self_signed(**USUAL), "127.0.0.1", True, FailureCause.UNKNOWN_ISSUER),
        (EXPIRED, "127.0.0.1", True, None),
    ],
    ids=["another address", "another name", "unknown root", "unknown root, sent along", "self-signed", "expired"],
)
async def test_why_a_server_is_not_trusted_is_known(
    autojump_clock: MockClock, offered: Issued, host: str, trusted: bool, cause: FailureCause | None
) -> None:
    async def server(stream: trio.SocketStream) -> None:
        await trio.SSLStream(stream, serving(offered), server_side=True).do_handshake()

    context = ssl.create_default_context(cadata=ROOT.pem.decode() if trusted else None)
    assert await cause_of(partial(asked, server, scheme="https", context=context, host=host)) is cause


async def test_that_nobody_is_there_is_known() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: a connection is refused
        nobody = Backend.parse(f"http://127.0.0.1:{taken.getsockname()[1]}/")
        fail = partial(send, nobody, "POST", (), (), timeout=5)
        assert await cause_of(fail) is FailureCause.CONNECTION_REFUSED


async def test_that_a_name_has_no_address_is_known() -> None:
    fail = partial(send, Backend.parse("http://a.invalid/"), "POST", (), (), timeout=60)
    assert await cause_of(fail) is FailureCause.NO_ADDRESS


async def test_over_tls_an_answer_may_end_without_close_notify(autojump_clock: MockClock) -> None:
    root = pki.root("Server root", **LONG)
    offered = serving(pki.issue("edi.acme.example", issuer=root, eku=(SERVER,), san=("ip:127.0.0.1",), **LONG))

    async def server(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, offered, server_side=True)
        await secure.receive_some()
        await secure.send_all(OK + b"\r\n" + b"a" * 500_000)

    context = ssl.create_default_context(cadata=root.pem.decode())
    answer = await asked(server, scheme="https", context=context)
    assert (answer.status, len(answer.body)) == (200, 500_000)


# --- The status decides ---------------------------------------------------------------------------------------

SLOPPY = {
    "a blank before the colon": OK + b"Server : IIS\r\n\r\n",
    "a line without a colon": OK + b"Welcome\r\n\r\n",
    "a blank field name": OK + b": x\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a body shorter than its length": OK + b"Content-Length: 100\r\n\r\nok",
    "a chunk without its end": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nok",
    "no chunk at all": OK + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    "an unknown transfer coding": OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "a header without an end": OK + b"Server: IIS\r\n",
    "the status line alone": OK,
    "two blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "no version": b"HTTP/1 200\r\n\r\n",
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Server : IIS\r\n\r\n",
}


@pytest.mark.parametrize("kind", SLOPPY)
async def test_the_status_decides_whatever_follows(kind: str) -> None:
    answer = await asked(says(SLOPPY[kind]), status_decides=True)
    assert answer.status == 200
    assert answer.flaw


@pytest.mark.parametrize("kind", SLOPPY)
async def test_an_answer_whose_body_is_needed_must_be_whole(kind: str) -> None:
    with pytest.raises((UpstreamBadAnswer, UpstreamUnreachable)):
        await asked(says(SLOPPY[kind]))


@pytest.mark.parametrize("status", [200, 204, 301, 400, 422, 503])
async def test_every_status_decides(status: int) -> None:
    answer = await asked(says(b"HTTP/1.1 %d X\r\nServer : IIS\r\n\r\n" % status), status_decides=True)
    assert answer.status == status


async def test_a_body_that_never_ends_is_waited_for_no_longer_than_the_timeout(autojump_clock: MockClock) -> None:
    async def server(stream: trio.SocketStream) -> None:
        await says(OK + b"Content-Length: 100\r\n\r\nok")(stream)
        await trio.sleep_forever()

    answer = await asked(server, status_decides=True)
    assert (answer.status, answer.body, answer.flaw) == (200, b"ok", "the answer did not end in time")


@pytest.mark.parametrize(
    "octets", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2", b"HTTP/1.1 999 X\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
async def test_without_a_status_there_is_no_answer(octets: bytes) -> None:
    with pytest.raises((UpstreamBadAnswer, UpstreamUnreachable)):
        await asked(says(octets), status_decides=True)


async def test_a_sound_answer_has_no_flaw() -> None:
    answer = await asked(says(OK + b"Content-Length: 2\r\n\r\nok"), status_decides=True)
    assert (answer.status, answer.body, answer.flaw) == (200, b"ok", "")


async def test_an_early_200_is_not_believed() -> None:
    """The server cannot have the document yet."""

    async def server(stream: trio.SocketStream) -> None:
        await says(OK + b"Server : IIS\r\n\r\n")(stream)

    async def ask(nursery: trio.Nursery) -> Answer:
        listeners = await nursery.start(partial(trio.serve_tcp, server, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        pieces = [bytes(1024 * 1024)] * 64
        fields = [("Content-Length", str(64 * 1024 * 1024))]
        url = Backend.parse(f"http://127.0.0.1:{port}/in")
        return await send(url, "POST", fields, pieces, timeout=20, status_decides=True)

    async with trio.open_nursery() as nursery:
        with pytest.raises(UpstreamFailed):
            await ask(nursery)
        nursery.cancel_scope.cancel()
