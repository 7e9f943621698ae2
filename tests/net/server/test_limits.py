"""What a peer may take of us has an end: octets, fields, connections, descriptors. Nobody else suffers."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.client import Answer, Client, chunked, connect, context, opened, request, secure
from tests.support.daemon import Daemon, Tree, acme, keys, running
from tests.support.partner import disposition, layered, message, send

LIMITS = """
max_header_bytes = 8_192
max_header_fields = 40
max_body_bytes = 100_000
max_connections = 30
max_connections_per_address = 20
max_failures_per_hour = 3
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(Tree(tmp_path_factory.mktemp("limited"), limits=LIMITS)) as daemon:
        yield daemon


LARGE = {
    "one field": [("X", "x" * 200_000)],
    "many fields": [(f"X-{number}", "x" * 100) for number in range(2000)],
    "more fields than allowed": [(f"X-{number}", "x") for number in range(41)],
    "a long path": [],
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_header_that_is_too_large(limited: Daemon, kind: str) -> None:
    path = "/" + "x" * 100_000 if kind == "a long path" else "/as2"
    with opened(limited.address, acme()) as client:
        answer = client.request(request("POST", path, LARGE[kind]))
        assert (answer.status, answer.reason, answer.closes) == (431, "headers_too_large", True)
        assert client.is_closed()


def test_a_header_at_the_limit_is_served(limited: Daemon) -> None:
    with opened(limited.address, acme()) as client:
        fields = [(f"X-{number}", "x" * 150) for number in range(38)]
        assert client.request(request("HEAD", fields=fields), head=True).status == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(limited: Daemon) -> None:
    head = request(fields=[*message("<large@acme.example>").fields, ("Content-Length", "100001")], length=False)
    with opened(limited.address, acme()) as client:
        answer = client.request(head)  # not an octet of the body was sent
        assert (answer.status, answer.reason, answer.closes) == (413, "body_too_large", True)


def test_a_client_that_waits_for_100_hears_of_413(limited: Daemon) -> None:
    fields = [*message("<large@acme.example>").fields, ("Expect", "100-continue"), ("Content-Length", str(1 << 40))]
    with opened(limited.address, acme()) as client:
        assert client.request(request(fields=fields, length=False)).status == 413
        assert client.is_closed()


@pytest.mark.parametrize("size", [100_001, 8 << 20])
def test_a_chunked_body_that_becomes_too_large(limited: Daemon, size: int) -> None:
    fields = [*message("<large@acme.example>").fields, ("Transfer-Encoding", "chunked")]
    with opened(limited.address, acme()) as client:
        answer = client.request(request(fields=fields, length=False) + chunked(bytes(size), 10_000))
        assert (answer.status, answer.reason) == (413, "body_too_large")
        assert client.is_closed()


def test_a_length_reserves_nothing(limited: Daemon) -> None:
    """Many clients promise much and send nothing; another one is served all the same."""
    fields = [*message("<promise@acme.example>").fields, ("Content-Length", "100000")]
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(opened(limited.address, acme()))
            client.send(request(fields=fields, length=False))
        sent = message("<among@acme.example>")
        assert disposition(send(limited, sent), sent) == "processed"


def test_connections_from_one_address_and_in_all(limited: Daemon) -> None:
    with ExitStack() as stack:
        mine = [stack.enter_context(connect(limited.address, source="127.9.9.1")) for _ in range(20)]
        with connect(limited.address, source="127.9.9.1") as one_more:
            assert ended(one_more)
        limited.wait_for("connection_refused", client="127.9.9.1", reason="too_many_connections")
        for number in range(10):
            stack.enter_context(connect(limited.address, source=f"127.9.8.{number + 1}"))
        with connect(limited.address, source="127.9.7.1") as one_more:
            assert ended(one_more)
        line = limited.wait_for("connection_refused", client="127.9.7.1")
        assert "30 connections in all" in line["detail"]
        for each in mine:
            each.close()
    served(limited)


def served(daemon: Daemon) -> None:
    """A partner is served, as soon as the daemon has seen that others are gone."""
    for _ in range(100):
        try:
            with opened(daemon.address, acme()) as client:
                assert client.request(request("HEAD"), head=True).status == 200
                return
        except (OSError, EOFError):
            continue
    raise AssertionError("not served")


def descriptors(daemon: Daemon) -> int:
    """How many files and sockets the daemon has open."""
    return len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))


def ended(stream: socket.socket) -> bool:
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def test_failures_are_limited_and_a_stranger_s_are_not_the_partner_s(limited: Daemon) -> None:
    bad = [message(f"<bad-{number}@acme.example>", layered(recipient=keys("ANOTHER"))) for number in range(4)]
    for each in bad[:3]:  # a stranger, over a host where TLS proves nobody
        with opened(limited.address, sni="drop.example.com", source="127.9.6.1") as client:
            answer = client.request(request(fields=each.fields, body=each.body, host="drop.example.com"))
            assert disposition(answer, each) == "processed/error: decryption-failed"
    with opened(limited.address, sni="drop.example.com", source="127.9.6.1") as client:
        answer = client.request(request(fields=bad[3].fields, body=bad[3].body, host="drop.example.com"))
        assert (answer.status, answer.reason, answer.get("Retry-After")) == (503, "spike_arrested", "60")
    sent = message("<not-charged@acme.example>")
    assert disposition(send(limited, sent), sent) == "processed"


def test_a_stranger_s_messages_count_as_failures_until_they_are_complete(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    host = "drop.example.com"
    sent = [message(f"<under-way-{number}@acme.example>") for number in range(6)]

    def begin(stack: ExitStack, number: int) -> tuple[Client, Answer]:
        """Send the header, and wait until the body may follow."""
        client = stack.enter_context(opened(daemon.address, sni=host, source="127.9.6.2"))
        fields = [*sent[number].fields, ("Expect", "100-continue"), ("Content-Length", str(len(sent[number].body)))]
        return client, client.request(request(fields=fields, host=host, length=False))

    with running(Tree(tmp_path_factory.mktemp("under-way"), limits="max_failures_per_hour = 3")) as daemon:
        with ExitStack() as stack:
            begun = [begin(stack, number) for number in range(3)]
            assert [answer.status for _, answer in begun] == [100, 100, 100]
            assert begin(stack, 3)[1].reason == "spike_arrested"
            assert disposition(begun[0][0].request(sent[0].body), sent[0]) == "processed"
            client, answer = begin(stack, 4)
            assert answer.status == 100
            assert disposition(client.request(sent[4].body), sent[4]) == "processed"
        for _ in range(2):  # the other two have gone, and count for good
            daemon.wait_for("exchange_finished", host=host, reason="bad_request")
        with ExitStack() as stack:
            assert begin(stack, 4)[1].status == 100
            assert begin(stack, 5)[1].reason == "spike_arrested"


def test_handshakes_that_never_finish_hold_nobody_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("flood"), limits="max_connections = 400\nmax_connections_per_address = 300")
    with running(tree) as daemon, ExitStack() as stack:
        for _ in range(200):
            tcp = stack.enter_context(connect(daemon.address, source="127.9.5.1"))
            tcp.sendall(b"\x16\x03\x01\x02\x00\x01")
        sent = message("<flood@acme.example>")
        assert disposition(send(daemon, sent), sent) == "processed"


def test_running_out_of_descriptors_is_survived(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(Tree(tmp_path_factory.mktemp("few"))) as daemon:
        served(daemon)
        few = descriptors(daemon) + 10
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (few, few))
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(connect(daemon.address))
            while descriptors(daemon) < few:
                assert daemon.process.poll() is None
        while descriptors(daemon) > few - 10:
            assert daemon.process.poll() is None
        served(daemon)
        sent = message("<few@acme.example>")
        assert disposition(send(daemon, sent), sent) == "processed"
        (line,) = (each for each in daemon.log if each["event"] == "library_trouble")
        assert "EMFILE" in line["detail"]


def test_a_connection_that_is_reset_at_once_harms_nobody(limited: Daemon) -> None:
    for _ in range(30):
        tcp = connect(limited.address, source="127.9.4.1")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        tcp.close()
    served(limited)


def test_a_reset_in_the_middle_of_anything_harms_nobody(limited: Daemon) -> None:
    sent = message("<reset@acme.example>")
    data = request(fields=sent.fields, body=sent.body)
    for cut in (0, 10, 200, len(data) - 10):
        with connect(limited.address) as tcp:
            stream = secure(tcp, context(acme()), "as2.example.com")
            stream.sendall(data[:cut])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            stream.close()
    served(limited)
