"""The admin address, over sockets: what it serves, to whom, and within which limits."""

import json
import socket
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mtlsd.journal.model import Acceptance
from mtlsd.net.admin.admin import MAX_CONNECTIONS, Admin
from mtlsd.net.admin.health import Health
from mtlsd.net.server.one_request import MAX_HEADER
from tests.support.admin import ask, checks, get, samples, value
from tests.support.client import TIMEOUT, Answer, opened, request
from tests.support.daemon import Daemon, Tree, acme, running
from tests.support.examples import delivery, message
from tests.support.inprocess import NOW, World, in_process


def test_all_is_well(daemon: Daemon) -> None:
    healthy, ready = get(daemon.tree, "/healthz"), get(daemon.tree, "/readyz")
    assert (healthy.status, json.loads(healthy.body)["alive"]) == (200, True)
    assert (ready.status, ready.get("Content-Type")) == (200, "application/json")
    assert (ready.get("Cache-Control"), ready.closes) == ("no-store", True)
    found = checks(ready)
    assert {"daemon", "journal", "disk", "certificate server as2.example.com"} <= set(found)
    assert {"certificate signing EXAMPLE", "certificate decryption EXAMPLE"} <= set(found)
    assert [name for name, each in found.items() if each["status"] != "ok"] == []


def test_the_log_says_where_it_is(daemon: Daemon) -> None:
    (started,) = [line for line in daemon.log if line["event"] == "started"]
    assert started["admin"] == f"{daemon.tree.admin[0]}:9180"


def test_exchanges_are_counted(daemon: Daemon) -> None:
    def count(**labels: str) -> float:
        answer = get(daemon.tree, "/metrics")
        assert answer.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
        return value(answer, "mtlsd_exchanges_total", host="as2.example.com", **labels) or 0

    missing = {"status": "400", "reason": "client_cert_missing"}
    fine, refused = count(partner="acme", status="200"), count(**missing)
    with opened(daemon.address, acme()) as client:
        for _ in range(2):
            assert client.request(request("HEAD", length=False), head=True).status == 200
        assert value(get(daemon.tree, "/metrics"), "mtlsd_connections") == 1
    with opened(daemon.address) as client:
        assert client.request(request("HEAD", length=False), head=True).status == 400
    assert count(partner="acme", status="200") == fine + 2
    assert count(**missing) == refused + 1


def test_a_handshake_that_fails_is_counted(daemon: Daemon) -> None:
    labels = {"reason": "tls_plain_http_on_tls_port"}
    before = value(get(daemon.tree, "/metrics"), "mtlsd_handshakes_total", **labels) or 0
    assert ask(daemon.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 400
    assert value(get(daemon.tree, "/metrics"), "mtlsd_handshakes_total", **labels) == before + 1


def test_no_text_of_a_peer_becomes_a_label(daemon: Daemon) -> None:
    evil = "evil-1f3a"
    with opened(daemon.address, acme(), sni=f"{evil}.example") as client:
        client.request(
            request("HEAD", f"/{evil}", (("AS2-From", evil),), host=f"{evil}.example", length=False), head=True
        )
    with opened(daemon.address, acme()) as client:
        client.request(request(path=f"/{evil}", fields=(("AS2-From", evil), ("Message-ID", evil))))
    assert evil not in get(daemon.tree, "/metrics").body.decode()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /readyz HTTP/1.1\r\nHost: localhost:9180\r\n\r\n", 200),
        (b"GET /readyz HTTP/1.1\r\nHost: [::1]\r\n\r\n", 200),
        (b"GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /readyz HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /readyz/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /readyz HTTP/1.1\r\nHost: evil.example:9180\r\n\r\n", 421),
        (b"GET http://evil.example/readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        (b"GET /readyz HTTP/1.1\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nHost: \r\n\r\n", 400),
        (b"POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * MAX_HEADER + b"\r\n\r\n", 431),
    ],
)
def test_a_request_gets_the_answer_that_is_due(daemon: Daemon, line: bytes, status: int) -> None:
    assert ask(daemon.tree.admin, line).status == status


def test_a_head_has_no_body(daemon: Daemon) -> None:
    answer = ask(daemon.tree.admin, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", head=True)
    assert answer.status == 200
    assert int(answer.get("Content-Length") or 0) > 1000


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: ", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"]
)
def test_a_crowd_disturbs_nobody(daemon: Daemon, sent: bytes) -> None:
    """Whether its clients are silent, slow, or do not read their answers and stay."""
    with ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(daemon.tree.admin, TIMEOUT)) for _ in range(40)]
        for each in crowd:
            with suppress(OSError):
                each.sendall(sent)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert get(daemon.tree, path).status == 200
        if not sent.endswith(b"\n"):
            assert all(map(_is_closed, crowd[: 40 - MAX_CONNECTIONS]))  # the oldest ones
        with opened(daemon.address, acme()) as client:
            assert client.request(request("HEAD", length=False), head=True).status == 200
    assert get(daemon.tree, "/readyz").status == 200


def _is_closed(stream: socket.socket) -> bool:
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def test_an_admin_address_in_use_is_said_and_nothing_is_served(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with closing(socket.create_server(tree.admin)):
        daemon = Daemon(tree)
        assert daemon.wait() == 78
    assert "change `admin`" in str(daemon.log)


def test_a_change_of_the_address_needs_a_restart(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with running(tree) as daemon:
        text = tree.configuration.read_text()
        tree.configuration.write_text(text.replace(":9180", ":9181"))
        assert "restart" in daemon.wait_for("reload_failed")["detail"]
        answer = get(tree, "/metrics")
        assert value(answer, "mtlsd_config_last_reload_successful") == 0
        assert value(answer, "mtlsd_config_reloads_total", outcome="failure") == 1
        tree.configuration.write_text(text)
        daemon.wait_for("reloaded")
        assert value(get(tree, "/metrics"), "mtlsd_config_last_reload_successful") == 1


# --- In this process, on a clock that jumps ---------------------------------------------------------------------------


def serve(world: World) -> trio.SocketStream:
    """A connection to an admin address; the client's end."""
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    world.nursery.start_soon(Admin(world.daemon, Health(world.daemon)).answer, ours)
    world.clients.append(theirs)
    return theirs


async def test_who_says_nothing_is_not_waited_for(world: World, mock_clock: MockClock) -> None:
    client = serve(world)
    await client.send_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n")
    await world.jump(11)
    assert await client.receive_some(1) == b""


async def test_who_leaves_leaves_no_trace(world: World, mock_clock: MockClock) -> None:
    client = serve(world)
    await client.send_all(b"GET /rea")
    await client.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_the_disk_is_complained_about_once_and_once_when_it_is_over(world: World, mock_clock: MockClock) -> None:
    health = Health(world.daemon)
    settings = world.daemon.snapshot
    for warn in (1, 1 << 50, 1 << 50, 1, 1):
        limits = replace(settings.configuration.limits, disk_warn_bytes=warn, disk_stop_bytes=1)
        world.daemon.swap(replace(settings, configuration=replace(settings.configuration, limits=limits)))
        await health.look()
        assert health.facts().low == (warn > 1)
    assert [line["event"] for line in world.log] == ["disk_low", "disk_low_over"]


async def test_a_spool_that_cannot_be_written_makes_unready_until_it_can(
    world: World, mock_clock: MockClock, shared: Path
) -> None:
    health = Health(world.daemon)
    await health.look()
    assert health.facts().trouble is None
    temporary = shared / "state" / "spool" / "tmp"
    temporary.rmdir()
    await health.look()
    trouble = health.facts().trouble
    temporary.mkdir()
    assert trouble
    assert trouble.reason == "journal_unavailable"
    await health.look()
    assert health.facts().trouble is None


async def test_a_journal_that_answers_no_longer_is_not_alive(world: World, mock_clock: MockClock) -> None:
    health = Health(world.daemon)
    await health.look()
    world.clock.jump(29)
    assert health.facts().silent == pytest.approx(29, abs=0.5)


async def test_the_backlog_is_shown_by_kind_and_state_with_the_age_of_the_oldest(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with in_process(Tree(tmp_path)) as world:
        for number in (1, 2):
            of = message(number)
            promised = replace(delivery(of), created_at=NOW - 100 * number)
            world.daemon.journal.accept([Acceptance(of, (promised,))])
        client = serve(world)
        await client.send_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        octets = b""
        while data := await client.receive_some(65536):
            octets += data
        _, _, body = octets.partition(b"\r\n\r\n")
        found = samples(Answer(octets, 200, (), body))
        labels = (("kind", "backend"), ("state", "pending"))
        assert found["mtlsd_deliveries", labels] == 2
        assert found["mtlsd_delivery_oldest_pending_age_seconds", labels[:1]] == 200
        assert found["mtlsd_partners", ()] == 2
        ends = [name for name, _ in found if name == "mtlsd_certificate_not_after_timestamp_seconds"]
        assert len(ends) == 5  # three hosts, one that signs, one that decrypts
