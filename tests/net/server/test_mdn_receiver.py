"""The listener of the test partner takes the MDN it waits for, and stays polite and small with all others."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from mtlsd.config.addresses import Address
from mtlsd.errors import UpstreamUnreachable
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import (
    MAX_CONNECTIONS,
    MAX_FROM_ONE,
    MAX_NOTES,
    MDNListener,
    PostedMDN,
    Reception,
    send_and_listen,
)
from mtlsd.net.server.one_request import MAX_HEADER
from tests.support import pki
from tests.support.daemon import LONG
from tests.support.pki import SERVER

MAX_BODY = 1000
OURS = b"POST /mdn HTTP/1.1\r\nHost: acme.example\r\nAS2-From: EXAMPLE\r\nContent-Length: 4\r\n\r\nours"
ANOTHER = OURS.replace(b"ours", b"else")
OK = b"HTTP/1.1 200 \r\n"
Peer = Callable[[MDNListener], Awaitable[bytes]]


def judged(posted: PostedMDN) -> Reception:
    if rank := {b"fake": 1, b"like": 2}.get(posted.body):
        return Reception(200, posted.body.decode(), rank)
    return Reception(200) if posted.body == b"ours" else Reception(400, "no MDN")


async def met(*peers: Peer, waits: bool = False, tls: ssl.SSLContext | None = None) -> tuple[MDNListener, list[bytes]]:
    """A listener after these peers were there, one after another, and what each was told."""
    told: list[bytes] = []
    with MDNListener(Address("127.0.0.1", 0), tls, MAX_BODY) as listener:

        async def send() -> Answer:
            told.extend([await peer(listener) for peer in peers])
            return Answer(200, (), b"")

        await send_and_listen(send, listener, judged, promised=lambda _: waits, timeout=20)
    return listener, told


def told_of(listener: MDNListener) -> list[str]:
    """The notes, as people read them."""
    return [*map(str, listener.notes)]


def says(*pieces: bytes, closes: bool = False) -> Peer:
    """A peer that says this, and then listens to the end."""

    async def peer(listener: MDNListener) -> bytes:
        async with await trio.open_tcp_stream(listener.address.host, listener.address.port) as stream:
            try:
                for piece in pieces:
                    await stream.send_all(piece)
                if closes:
                    await stream.send_eof()
                return b"".join([data async for data in stream])
            except trio.BrokenResourceError:  # an answer came before all was said
                return b"reset"

    return peer


# --- The MDN that is waited for -------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [[OURS], [bytes([each]) for each in OURS]], ids=["whole", "by octets"])
async def test_it_is_taken_answered_and_kept_to_the_octet(pieces: list[bytes]) -> None:
    listener, told = await met(says(*pieces), waits=True)
    assert told[0].startswith(OK)
    assert b"Connection: close\r\n" in told[0]
    assert listener.posted == PostedMDN(
        (("host", "acme.example"), ("as2-from", "EXAMPLE"), ("content-length", "4")), b"ours", "127.0.0.1", None, OURS
    )
    assert listener.notes == ()


async def test_what_follows_it_is_no_part_of_it() -> None:
    listener, _ = await met(says(OURS + b"\r\nGET / HTTP/1.1\r\n\r\n"), waits=True)
    assert listener.posted
    assert listener.posted.octets == OURS


async def test_a_sender_that_expects_to_be_asked_on_is() -> None:
    async def careful(listener: MDNListener) -> bytes:
        async with await trio.open_tcp_stream(listener.address.host, listener.address.port) as stream:
            await stream.send_all(OURS.replace(b"\r\n\r\nours", b"\r\nExpect: 100-continue\r\n\r\n"))
            asked = bytes(await stream.receive_some())
            await stream.send_all(b"ours")
            return asked

    listener, told = await met(careful, waits=True)
    assert told == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert listener.posted


async def test_another_mdn_is_noted_and_the_waiting_goes_on() -> None:
    listener, told = await met(says(ANOTHER), says(OURS), says(OURS), waits=True)
    assert [each[:12] for each in told] == [b"HTTP/1.1 400", b"HTTP/1.1 200", b"HTTP/1.1 200"]
    assert told_of(listener) == ["127.0.0.1: no MDN"]
    assert listener.posted


async def test_the_waiting_ends_when_its_time_is_over(autojump_clock: MockClock) -> None:
    listener, _ = await met(waits=True)
    assert listener.posted is None


async def test_what_the_sending_raises_comes_out_as_it_is() -> None:
    async def send() -> Answer:
        raise UpstreamUnreachable("nobody")

    with MDNListener(Address("127.0.0.1", 0), None, MAX_BODY) as listener, pytest.raises(UpstreamUnreachable):
        await send_and_listen(send, listener, judged, promised=lambda _: True, timeout=1)


def test_an_address_that_is_taken_is_an_os_error() -> None:
    with MDNListener(Address("127.0.0.1", 0), None, 1) as first, pytest.raises(OSError, match="in use"):
        MDNListener(first.address, None, 1)


# --- Strangers ------------------------------------------------------------------------------------------------

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
STRANGERS: dict[str, tuple[bytes, bytes, str]] = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400", "not HTTP as it should be"),
    "a GET": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"405", "a GET, where an MDN is a POST"),
    "no Host": (b"POST / HTTP/1.1\r\n\r\n", b"400", "not HTTP as it should be"),
    "a long header": (HEAD + b"X: " + b"x" * MAX_HEADER * 2, b"431", "not HTTP as it should be"),
    "a long body": (HEAD + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, b"413", "more than 1000 octets"),
    "long chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, b"413", "more than 1000"),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", b"400", "not HTTP as it should be"),
    "a body that ends early": (HEAD + b"Content-Length: 9\r\n\r\nx", b"400", "not HTTP as it should be"),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_is_refused_and_noted(name: str) -> None:
    sent, status, words = STRANGERS[name]
    listener, told = await met(says(sent, closes=True))
    assert told[0][9:12] == status or told[0] == b"reset"
    assert listener.posted is None
    assert words in listener.notes[0].text


async def test_a_probe_by_head_is_answered() -> None:
    listener, told = await met(says(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert (told[0].startswith(OK), listener.notes) == (True, ())


async def test_a_connection_without_a_request_is_noted() -> None:
    listener, told = await met(says(closes=True))
    assert (told, told_of(listener)) == ([b""], ["127.0.0.1: the connection broke: closed without a request"])


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "no request within 5 s"),
        (b"POST", "no request within 5 s"),
        (HEAD, "no request within 5 s"),
        (HEAD + b"Content-Length: 9\r\n\r\nx", "not done within 30 s"),
    ],
)
async def test_a_peer_that_is_too_slow_is_left(autojump_clock: MockClock, sent: bytes, words: str) -> None:
    listener, told = await met(says(sent))
    assert (told, told_of(listener)) == ([b""], [f"127.0.0.1: {words}"])


def crowd(number: int, said: bytes, *, of: str = "127.0.0.1", then: Peer) -> Peer:
    """So many connections of an address (or of one each), each of which says this and waits, and then a peer."""

    async def peer(listener: MDNListener) -> bytes:
        address = listener.address.host, listener.address.port
        streams = []
        for each in range(number):
            source = of.format(each // MAX_FROM_ONE + 2)
            streams.append(await trio.open_tcp_stream(*address, local_address=source))
            await streams[-1].send_all(said)
        await wait_all_tasks_blocked(0.01)
        told = await then(listener)
        for stream in streams:
            await stream.aclose()
        return told

    return peer


@pytest.mark.parametrize("number", [MAX_FROM_ONE, 3 * MAX_FROM_ONE])
async def test_silent_connections_of_an_address_do_not_keep_the_mdn_from_there_out(number: int) -> None:
    listener, told = await met(crowd(number, b"P", then=says(OURS)), waits=True)
    assert told[0].startswith(OK)
    assert listener.posted
    assert "127.0.0.1: too many connections at a time" in told_of(listener)


async def test_nor_do_those_of_many_addresses() -> None:
    listener, told = await met(crowd(MAX_CONNECTIONS, b"P", of="127.0.0.{}", then=says(OURS)), waits=True)
    assert told[0].startswith(OK)
    assert "127.0.0.2: too many connections at a time" in told_of(listener)


async def test_an_address_whose_connections_all_send_gets_no_more_of_them() -> None:
    sending = HEAD + b"Content-Length: 9\r\n\r\nx"
    listener, told = await met(crowd(MAX_FROM_ONE, sending, then=says(OURS)))
    assert told[0] in (b"", b"reset")
    assert "127.0.0.1: too many connections at a time" in told_of(listener)


async def test_and_others_are_taken_all_the_same() -> None:
    sending = HEAD + b"Content-Length: 9\r\n\r\nx"
    listener, told = await met(crowd(MAX_FROM_ONE, sending, of="127.0.0.9", then=says(OURS)), waits=True)
    assert told[0].startswith(OK)
    assert listener.posted


# --- What may be the MDN, and may be anybody's ----------------------------------------------------------------

FORGED, LIKELY = OURS.replace(b"ours", b"fake"), OURS.replace(b"ours", b"like")


async def test_what_may_be_it_does_not_end_the_waiting() -> None:
    listener, told = await met(says(FORGED), says(OURS), waits=True)
    assert [each[:12] for each in told] == [b"HTTP/1.1 200"] * 2
    assert listener.posted
    assert (listener.posted.body, told_of(listener)) == (b"ours", ["127.0.0.1: fake"])


@pytest.mark.parametrize(
    "peers", [(FORGED, LIKELY), (LIKELY, FORGED), (LIKELY, FORGED, LIKELY.replace(b"/mdn", b"/2"))]
)
async def test_the_best_of_such_is_there_where_nothing_better_comes(
    autojump_clock: MockClock, peers: tuple[bytes, ...]
) -> None:
    listener, _ = await met(*map(says, peers), waits=True)
    assert listener.posted
    assert listener.posted.octets == LIKELY
    assert told_of(listener) == ["127.0.0.1: fake"]


async def test_the_notes_are_limited() -> None:
    listener, _ = await met(*[says(ANOTHER)] * (MAX_NOTES + 5))
    assert len(listener.notes) == MAX_NOTES


@settings(max_examples=50)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: HEAD + data))
async def test_no_octets_of_a_stranger_break_it(sent: bytes) -> None:
    listener, _ = await met(says(sent, closes=True), says(OURS), waits=True)
    assert listener.posted


# --- TLS ------------------------------------------------------------------------------------------------------


async def test_over_tls_whoever_speaks_none_is_noted(tmp_path: Path) -> None:
    pki.issue("acme.example", eku=(SERVER,), **LONG).write(tmp_path, "cert.pem", "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    listener, _ = await met(says(OURS), tls=context)
    assert listener.posted is None
    assert [each.in_handshake for each in listener.notes] == [True]
    assert str(listener.notes[0]).startswith("127.0.0.1: the TLS handshake broke: ")
