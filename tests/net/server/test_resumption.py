"""What TLS offers, and what it does not: no resumption, nothing older than 1.2, no renegotiation, no other protocol."""

import ssl

import pytest
from OpenSSL import SSL

from tests.support.client import VERSIONS, Client, connect, context, opened, opened_by_pyopenssl, request, secure
from tests.support.daemon import Daemon, acme


def session_of(daemon: Daemon, settings: ssl.SSLContext, sni: str) -> ssl.SSLSession | None:
    """The session of a connection over which a request was served, so that every ticket has come."""
    with opened(daemon.address, settings=settings, sni=sni) as client:
        assert client.request(request("HEAD", host=sni), head=True).status == 200
        assert isinstance(client.stream, ssl.SSLSocket)
        return client.stream.session


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("first", ["as2.example.com", "drop.example.com", "maybe.example.com"])
@pytest.mark.parametrize("second", ["as2.example.com", "maybe.example.com"])
def test_no_session_is_ever_resumed(daemon: Daemon, first: str, second: str, version: ssl.TLSVersion) -> None:
    settings = context(acme(), version)
    session = session_of(daemon, settings, first)
    with connect(daemon.address) as tcp:
        stream = settings.wrap_socket(tcp, server_hostname=second, session=session)
        assert not stream.session_reused
        assert Client(stream).request(request("HEAD", host=second), head=True).status == 200
        stream.close()


def test_no_session_is_resumed_after_a_reload(daemon: Daemon) -> None:
    settings = context(acme(), ssl.TLSVersion.TLSv1_2)
    session = session_of(daemon, settings, "as2.example.com")
    daemon.reload()
    with connect(daemon.address) as tcp:
        stream = settings.wrap_socket(tcp, server_hostname="as2.example.com", session=session)
        assert not stream.session_reused
        stream.close()


@pytest.mark.parametrize("offered", [["h2", "http/1.1"], ["http/1.1"], ["h2"], ["http/1.0"], []])
def test_only_http_1_1_is_agreed(daemon: Daemon, offered: list[str]) -> None:
    settings = context(acme())
    if offered:
        settings.set_alpn_protocols(offered)
    with opened(daemon.address, settings=settings) as client:
        assert isinstance(client.stream, ssl.SSLSocket)
        agreed = client.stream.selected_alpn_protocol()
        assert agreed == ("http/1.1" if "http/1.1" in offered else None)
        assert client.stream.compression() is None


@pytest.mark.parametrize("version", VERSIONS)
def test_forward_secrecy_always(daemon: Daemon, version: ssl.TLSVersion) -> None:
    with opened(daemon.address, acme(), version=version) as client:
        assert isinstance(client.stream, ssl.SSLSocket)
        name, protocol, bits = client.stream.cipher() or ("", "", 0)
        assert name.startswith(("TLS_", "ECDHE-"))
        assert protocol in ("TLSv1.2", "TLSv1.3")
        assert bits >= 128


@pytest.mark.parametrize(
    "ciphers", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"]
)
def test_a_client_with_weak_ciphers_only(daemon: Daemon, ciphers: str) -> None:
    settings = context(acme(), ssl.TLSVersion.TLSv1_2)
    settings.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with connect(daemon.address) as tcp, pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        secure(tcp, settings, "as2.example.com")
    daemon.wait_for("handshake_failed", reason="tls_no_common_cipher")


def client_hello(version: int, versions: bytes = b"") -> bytes:
    """A hello of TLS 1.0, 1.1 or 1.2 with one cipher, by hand: this OpenSSL offers no old ones."""
    extension = b"\x00\x2b" + len(versions).to_bytes(2, "big") + versions if versions else b""
    extensions = len(extension).to_bytes(2, "big") + extension
    hello = version.to_bytes(2, "big") + bytes(32) + b"\x00" + b"\x00\x04\xc0\x2f\xc0\x13" + b"\x01\x00" + extensions
    handshake = b"\x01" + len(hello).to_bytes(3, "big") + hello
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302])
def test_nothing_older_than_tls_1_2(daemon: Daemon, version: int) -> None:
    with connect(daemon.address) as tcp:
        tcp.sendall(client_hello(version))
        answer = tcp.recv(100)
    assert answer[:1] == b"\x15"  # an alert
    assert answer[5:7] == b"\x02\x46"  # fatal, protocol_version
    daemon.wait_for("handshake_failed", reason="tls_no_common_version")


def test_renegotiation_is_refused(daemon: Daemon) -> None:
    with opened_by_pyopenssl(daemon.address, ssl.TLSVersion.TLSv1_2) as connection:
        assert connection.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            connection.do_handshake()
