"""A client that stalls is not waited for, wherever it stalls; and each request is judged at its own time."""

import shutil
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mtlsd.snapshot.snapshot import load_snapshot
from tests.support import pki
from tests.support.client import context, request
from tests.support.daemon import LONG, Tree, acme, certificate
from tests.support.inprocess import NOW, World, in_process
from tests.support.partner import message

HEAD = request("HEAD")
DAY = 86400


async def closed(stream: trio.SocketStream) -> bool:
    """Whether the other end hung up without saying anything in HTTP."""
    while data := await stream.receive_some(65536):
        assert not data.startswith(b"HTTP")
    return True


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="as2.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("part", [0, 1, 5, 100, None], ids=["nothing", "an octet", "a header", "a part", "a hello"])
async def test_a_handshake_that_is_never_finished(world: World, mock_clock: MockClock, part: int | None) -> None:
    stream = world.connect()
    await stream.send_all(client_hello()[:part])
    await world.jump(9)
    assert not world.log
    await world.jump(1)
    assert world.log[-1]["event"] == "handshake_failed"
    assert world.log[-1]["reason"] == "tls_handshake_timeout"
    assert await closed(stream)


@pytest.mark.parametrize("part", [1, 20, -1])
async def test_a_header_that_is_never_finished(world: World, mock_clock: MockClock, part: int) -> None:
    client = await world.secure(acme())
    await client.send(HEAD[:part])
    await world.jump(29)
    assert not world.log
    await world.jump(1)
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Mtlsd-Reason: request_timeout\r\n" in answer
    assert await client.is_closed()


async def test_a_header_that_trickles(world: World, mock_clock: MockClock) -> None:
    client = await world.secure(acme())
    for at in range(3):
        await client.send(HEAD[at : at + 1])
        await world.jump(10)
    assert (await client.answer()).startswith(b"HTTP/1.1 408 ")
    assert await client.is_closed()


@pytest.mark.parametrize("requests", [0, 1, 3])
async def test_a_connection_that_idles_is_closed_without_a_word(
    world: World, mock_clock: MockClock, requests: int
) -> None:
    client = await world.secure(acme())
    for _ in range(requests):
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        await world.jump(74)
    await world.jump(75)
    assert await client.is_closed()
    assert len(world.log) == requests


async def test_line_ends_do_not_keep_a_connection_open(world: World, mock_clock: MockClock) -> None:
    client = await world.secure(acme())
    for _ in range(3):
        await client.send(b"\r\n")
        await world.jump(25)
    assert await client.is_closed()


async def test_a_body_that_stalls(world: World, mock_clock: MockClock) -> None:
    client = await world.secure(acme())
    sent = message("<slow@acme.example>")
    await client.send(request(fields=sent.fields, body=sent.body)[:-1])
    await world.jump(30 + len(sent.body) / 1024)
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert await client.is_closed()
    assert not list((world.daemon.snapshot.configuration.server.state / "spool" / "tmp").iterdir())


async def test_a_body_at_the_least_pace_is_waited_for(shared: Path, mock_clock: MockClock) -> None:
    async with in_process(Tree(shared, limits="body_grace_seconds = 1")) as world:
        client = await world.secure(acme())
        sent = message("<steady@acme.example>")
        data = request(fields=sent.fields, body=sent.body)
        at = len(data) - len(sent.body)
        await client.send(data[:at])
        while at < len(data):
            await client.send(data[at : at + 500])
            at += 500
            await world.jump(500 / 1024)
        assert b"AS2-From: EXAMPLE\r\n" in await client.answer()
        await trio.aclose_forcefully(client.stream)


async def test_a_body_below_the_least_pace_is_not(world: World, mock_clock: MockClock) -> None:
    client = await world.secure(acme())
    sent = message("<trickle@acme.example>")
    await client.send(request(fields=sent.fields, body=sent.body)[: -len(sent.body)])
    for at in range(40):
        await client.send(sent.body[at : at + 1])
        await world.jump(1)
        if world.log:
            break
    assert at < 35
    assert (await client.answer()).startswith(b"HTTP/1.1 408 ")
    assert await client.is_closed()


async def test_a_client_that_does_not_read_its_answers(world: World, mock_clock: MockClock) -> None:
    client = await world.secure(acme())
    world.nursery.start_soon(_keep_asking, client.stream)
    for _ in range(20):
        await world.jump(5)
    assert len(world.log) > 100
    answered = len(world.log)
    await world.jump(60)
    assert len(world.log) <= answered + 1
    await trio.aclose_forcefully(client.stream)


async def _keep_asking(stream: "trio.SSLStream[trio.SocketStream]") -> None:
    try:
        while True:
            await stream.send_all(HEAD * 100)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def test_a_client_that_has_said_all_still_gets_its_answer(world: World, mock_clock: MockClock) -> None:
    client = await world.secure(acme())
    await client.send(HEAD)
    await client.stream.transport_stream.send_eof()
    assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
    await trio.aclose_forcefully(client.stream)


@pytest.mark.parametrize("data", [HEAD[:30], request(body=b"12345")[:-2]], ids=["in the header", "in the body"])
async def test_a_client_that_leaves_in_the_middle(world: World, mock_clock: MockClock, data: bytes) -> None:
    client = await world.secure(acme())
    await client.send(data)
    await trio.aclose_forcefully(client.stream)
    await world.jump(0)
    assert [line["status"] for line in world.log] == [400]


async def test_stopping_closes_what_idles_at_once(world: World, mock_clock: MockClock) -> None:
    clients = [await world.secure(acme()) for _ in range(5)]
    for client in clients:
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
    await world.jump(0)
    world.daemon.stop()
    for client in clients:
        assert await client.is_closed()


# --- Judged at its own time -------------------------------------------------------------------------------------


async def test_a_certificate_that_expires_is_refused_on_the_next_request(tmp_path: Path, mock_clock: MockClock) -> None:
    issued = certificate(acme().issuers[0], "short.example", end=_date(NOW + DAY))
    async with in_process(_with_short(tmp_path, issued)) as world:
        client = await world.secure(issued)
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        world.now[0] = NOW + DAY + 1
        answer = await client.request(HEAD)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Mtlsd-Reason: cert_expired\r\n" in answer
        assert await client.is_closed()


async def test_a_root_that_expires_takes_its_certificates_with_it(tmp_path: Path, mock_clock: MockClock) -> None:
    root = pki.root("Short Root", **{**LONG, "end": _date(NOW + DAY)})
    issued = certificate(root, "long.example")
    async with in_process(_with_short(tmp_path, issued)) as world:
        client = await world.secure(issued)
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        world.now[0] = NOW + DAY + 1
        assert b"Mtlsd-Reason: ca_expired\r\n" in await client.request(HEAD)
        assert await client.is_closed()


async def test_a_clock_that_is_set_back_is_believed(tmp_path: Path, mock_clock: MockClock) -> None:
    issued = certificate(acme().issuers[0], "young.example", start=_date(NOW - DAY))
    async with in_process(_with_short(tmp_path, issued)) as world:
        client = await world.secure(issued)
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        world.now[0] = NOW - 2 * DAY
        assert b"Mtlsd-Reason: cert_not_yet_valid\r\n" in await client.request(HEAD)
        assert await client.is_closed()


async def test_a_partner_who_is_removed_is_refused_on_the_next_request(tmp_path: Path, mock_clock: MockClock) -> None:
    async with in_process(Tree(tmp_path)) as world:
        client = await world.secure(acme())
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        shutil.rmtree(tmp_path / "certs" / "partners" / "acme")
        world.daemon.swap(load_snapshot(tmp_path / "virtualhosts.toml", None, time.time(), world.daemon.snapshot))
        answer = await client.request(HEAD)
        assert b"Mtlsd-Reason: cert_untrusted_issuer\r\n" in answer
        assert await client.is_closed()


def _with_short(root: Path, issued: pki.Issued) -> Tree:
    """A tree with one more partner."""
    tree = Tree(root)
    tree.add("short", "SHORT", issued)
    return tree


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
