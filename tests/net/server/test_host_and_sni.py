"""The virtual host is chosen by SNI, before any certificate is asked for, and Host must name that very one."""

import socket
import ssl

import pytest

from tests.support.client import VERSIONS, connect, context, opened, request
from tests.support.daemon import Daemon, acme

SAME = [
    "as2.example.com",
    "AS2.Example.COM",
    "as2.example.com:443",
    "as2.example.com:8443",
    "as2.example.com.",
    "as2.example.com.:443",
]
OTHER = [
    "drop.example.com",
    "maybe.example.com",
    "evil.example",
    "as2.example.com.evil.example",
    "as2.example.com@evil.example",
    "as2_example.com",
    "xn--as2-example.com",
    "127.0.0.1",
    "[::1]:8443",
    "as2.example.com, drop.example.com",
]


@pytest.mark.parametrize("host", SAME)
def test_these_spell_the_same_host(daemon: Daemon, host: str) -> None:
    with opened(daemon.address, acme()) as client:
        assert client.request(request("HEAD", host=host), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", OTHER)
def test_another_host_is_misdirected_and_the_connection_ends(
    daemon: Daemon, host: str, version: ssl.TLSVersion
) -> None:
    with opened(daemon.address, acme(), version=version) as client:
        answer = client.request(request(host=host))
        assert (answer.status, answer.reason, answer.closes) == (421, "sni_host_mismatch", True)
        assert client.is_closed()


def test_the_second_request_of_a_connection_is_looked_at_too(daemon: Daemon) -> None:
    with opened(daemon.address, acme()) as client:
        client.send(request("HEAD") + request("HEAD", host="drop.example.com"))
        assert client.answer(head=True).status == 200
        assert client.answer(head=True).status == 421
        assert client.is_closed()


def test_an_absolute_target_wins_over_host(daemon: Daemon) -> None:
    with opened(daemon.address, acme()) as client:
        head = request("HEAD", "https://as2.example.com/as2", host="drop.example.com")
        assert client.request(head, head=True).status == 200
        answer = client.request(request("POST", "https://drop.example.com/as2"))
        assert (answer.status, answer.reason) == (421, "sni_host_mismatch")


@pytest.mark.parametrize(
    "lines",
    [b"", b"Host:\r\n", b"Host: \r\n", b"Host: as2.example.com\r\nHost: as2.example.com\r\n", b"Host: :443\r\n"],
    ids=["missing", "empty", "blank", "twice", "only a port"],
)
def test_a_host_that_is_missing_empty_or_repeated_is_a_bad_request(daemon: Daemon, lines: bytes) -> None:
    with opened(daemon.address, acme()) as client:
        answer = client.request(b"POST /as2 HTTP/1.1\r\n" + lines + b"Content-Length: 0\r\n\r\n")
        assert (answer.status, answer.reason, answer.closes) == (400, "bad_request", True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sni", [None, "unknown.example", "AS2.EXAMPLE.COM"])
def test_a_client_that_names_none_of_ours_gets_the_strictest_host(
    daemon: Daemon, sni: str | None, version: ssl.TLSVersion
) -> None:
    with opened(daemon.address, sni=sni, version=version) as client:
        assert client.request(request()).reason == "client_cert_missing"
    with opened(daemon.address, sni=sni, version=version) as client:
        assert client.request(request(host="drop.example.com")).status == 421
    with opened(daemon.address, acme(), sni=sni, version=version) as client:
        assert client.request(request("HEAD"), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_hosts_that_share_an_address_keep_their_own_policies(daemon: Daemon, version: ssl.TLSVersion) -> None:
    for host, without in {"as2.example.com": 400, "maybe.example.com": 200, "drop.example.com": 200}.items():
        with opened(daemon.address, sni=host, version=version) as client:
            assert client.request(request("HEAD", host=host), head=True).status == without
        with opened(daemon.address, acme(), sni=host, version=version) as client:
            assert client.request(request("HEAD", host=host), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sni", ["as2.example.com", "drop.example.com", None])
def test_a_hello_in_records_of_one_octet_gains_nothing(
    daemon: Daemon, sni: str | None, version: ssl.TLSVersion
) -> None:
    """The server name then comes last, after most of the hello was read."""
    with connect(daemon.address) as tcp:
        client = Trickling(tcp, context(version=version), sni)
        client.shake_hands()
        answer = client.request(request("POST", host=sni or "as2.example.com"))
    assert b"421" not in answer[:15]
    assert (b" 400 " in answer[:15] and b"client_cert_missing" in answer) == (sni != "drop.example.com")


class Trickling:
    """TLS in memory, its first flight in records of one octet each."""

    def __init__(self, tcp: socket.socket, settings: ssl.SSLContext, sni: str | None) -> None:
        self._tcp = tcp
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = settings.wrap_bio(self._incoming, self._outgoing, server_hostname=sni)
        self._begun = False

    def shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                return self._flush()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()

    def request(self, data: bytes) -> bytes:
        self._tls.write(data)
        self._flush()
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._receive()

    def _receive(self) -> None:
        data = self._tcp.recv(65536)
        assert data, "the daemon closed the connection"
        self._incoming.write(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if not self._begun and data:
            self._begun = True
            kind, version, body = data[:1], data[1:3], data[5:]
            data = b"".join(kind + version + b"\x00\x01" + body[at : at + 1] for at in range(len(body)))
        self._tcp.sendall(data)
