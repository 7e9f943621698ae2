"""The engine without a socket: octets in, events out, in pieces of any size; and what it says of those that fail."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

from mtlsd.config.model import ClientCertificate
from mtlsd.errors import PlainHTTPOnTLSPort, TLSHandshakeFailed, TLSRefused
from mtlsd.partners.ours.host_keys import load_host
from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.tls.contexts import ListenerContexts, build_context
from mtlsd.tls.engine import Closed, Engine, HandshakeCompleted, PlaintextReceived
from tests.support import pki
from tests.support.odd import COMMON_NAME, PRINTABLE, named, odd

KINDS = {
    "a.example": ClientCertificate.NONE,
    "b.example": ClientCertificate.REQUIRED,
    "c.example": ClientCertificate.OPTIONAL,
}


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> ListenerContexts:
    hosts = {}
    for name, kind in KINDS.items():
        folder: Path = tmp_path_factory.mktemp("hosts") / name
        pki.issue(name, san=(f"dns:{name}",)).write(folder)
        hosts[name] = build_context(name, kind, load_host(folder).value.server[0])
    return ListenerContexts(hosts)


class Client:
    """OpenSSL as a client, in memory."""

    def __init__(
        self,
        issued: pki.Issued | None = None,
        sni: bytes | None = b"b.example",
        version: int = 0,
        sent_along: Iterable[Certificate] = (),
        ciphers: bytes = b"",
        ciphersuites: bytes = b"",
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if ciphers:
            context.set_cipher_list(ciphers)
        if ciphersuites:
            context.set_tls13_ciphersuites(ciphersuites)
        if version:
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
        if issued:
            context.use_certificate(issued.certificate.x509)
            context.use_privatekey(issued.key)
        for each in sent_along:
            context.add_extra_chain_cert(each.x509)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        if sni:
            self.tls.set_tlsext_host_name(sni)

    def data_to_send(self) -> bytes:
        try:
            return self.tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""


def shake_hands(engine: Engine, client: Client, size: int = 1 << 20) -> HandshakeCompleted:
    """Exchange octets, at most `size` at a time, until the server has completed."""
    for _ in range(10):
        with suppress(SSL.WantReadError):
            client.tls.do_handshake()
        data = client.data_to_send()
        for at in range(0, len(data), size):
            engine.receive_data(data[at : at + size])
            if event := engine.next_event():
                assert isinstance(event, HandshakeCompleted)
                if answer := engine.data_to_send():
                    client.tls.bio_write(answer)
                if rest := data[at + size :]:
                    engine.receive_data(rest)
                return event
        if answer := engine.data_to_send():
            client.tls.bio_write(answer)
    raise AssertionError("no end of the handshake")


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("sni", [b"a.example", b"b.example", b"C.Example", b"unknown.example", None])
def test_a_handshake_in_pieces(listener: ListenerContexts, version: int, size: int, sni: bytes | None) -> None:
    issued = pki.self_signed("client.example")
    completed = shake_hands(Engine(listener), Client(issued, sni, version), size)
    name = (sni or b"").decode().lower()
    assert completed.host == (name if name in KINDS else "b.example")
    assert completed.server_name == (name or None)
    wanted = KINDS[completed.host] is not ClientCertificate.NONE
    assert (completed.presented is not None) == wanted
    assert not completed.presented or completed.presented.certificate == issued.certificate


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_client_without_a_certificate_completes_too(listener: ListenerContexts, version: int) -> None:
    assert shake_hands(Engine(listener), Client(version=version)).presented is None


LEAF = pki.leaf(pki.root("Root", key=pki.ec_key("Root")), key=pki.ec_key("leaf"))
OTHERS = tuple(pki.root(f"CA {n}", key=pki.ec_key("CA")).certificate for n in range(MAX_CHAIN + 4))


@pytest.mark.parametrize(
    ("sent_along", "chain"),
    [
        ((), ()),
        (OTHERS[:MAX_CHAIN], OTHERS[:MAX_CHAIN]),
        (OTHERS, OTHERS[: MAX_CHAIN + 1]),  # one more than there may be, for the judge to see
        ((LEAF.certificate, *OTHERS), OTHERS[: MAX_CHAIN + 1]),
        ((LEAF.certificate, *OTHERS[:2], LEAF.certificate), OTHERS[:2]),
        ((*OTHERS[:2] * 20, OTHERS[2]), OTHERS[:3]),  # each one once: nobody makes us read it again
    ],
)
def test_what_is_sent_along_is_the_chain(
    listener: ListenerContexts, sent_along: tuple[Certificate, ...], chain: tuple[Certificate, ...]
) -> None:
    completed = shake_hands(Engine(listener), Client(LEAF, sent_along=sent_along))
    assert completed.presented
    assert completed.presented.chain == chain


def test_an_odd_certificate_of_ours_is_sent_as_it_is() -> None:
    ours = Certificate.from_der(odd(named((COMMON_NAME, PRINTABLE, b"A & B"))))
    pair = KeyPair(ours, (ours,), pki.rsa_key("odd"))
    listener = ListenerContexts({"odd": build_context("odd", ClientCertificate.REQUIRED, pair)})
    client = Client(LEAF)
    shake_hands(Engine(listener), client)
    sent = client.tls.get_peer_certificate()
    assert sent
    assert dump_certificate(FILETYPE_ASN1, sent) == ours.der


def test_the_handshake_verifies_no_chain(listener: ListenerContexts) -> None:
    for host in listener.hosts.values():
        assert host.context.get_verify_depth() == 0


@given(payload=st.binary(max_size=60_000))
@settings(max_examples=20)
def test_what_goes_in_comes_out(listener: ListenerContexts, payload: bytes) -> None:
    engine, client = Engine(listener), Client()
    shake_hands(engine, client)
    engine.send(payload)
    client.tls.bio_write(engine.data_to_send() or b"\x17")
    for at in range(0, len(payload), 10_000):
        client.tls.send(payload[at : at + 10_000])
        engine.receive_data(client.data_to_send())
    received = b""
    while isinstance(event := engine.next_event(), PlaintextReceived):
        received += event.data
    assert received == payload


def test_close_notify_is_said_and_heard(listener: ListenerContexts) -> None:
    engine, client = Engine(listener), Client()
    shake_hands(engine, client)
    engine.close()
    client.tls.bio_write(engine.data_to_send())
    with pytest.raises(SSL.ZeroReturnError):
        client.tls.recv(1)
    client.tls.shutdown()
    engine.receive_data(client.data_to_send())
    assert isinstance(engine.next_event(), Closed)


def test_an_end_without_close_notify_is_an_end(listener: ListenerContexts) -> None:
    engine, client = Engine(listener), Client()
    shake_hands(engine, client)
    engine.receive_data(b"")
    assert isinstance(engine.next_event(), Closed)


def test_an_end_in_the_handshake_is_a_refusal(listener: ListenerContexts) -> None:
    engine = Engine(listener)
    engine.receive_data(b"\x16\x03\x01")
    engine.receive_data(b"")
    with pytest.raises(TLSHandshakeFailed):
        engine.next_event()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"POST", b"h"])
def test_http_is_told_from_tls(listener: ListenerContexts, data: bytes) -> None:
    with pytest.raises(PlainHTTPOnTLSPort):
        Engine(listener).receive_data(data)


@given(st.binary(min_size=1, max_size=600), st.booleans())
def test_any_octets_raise_only_our_errors(listener: ListenerContexts, data: bytes, record: bool) -> None:
    engine = Engine(listener)
    with suppress(TLSRefused, PlainHTTPOnTLSPort):
        engine.receive_data((b"\x16\x03\x01" + len(data).to_bytes(2, "big") if record else b"") + data)
        for _ in range(3):
            assert engine.next_event() is None
    engine.data_to_send()
    engine.send(b"x")
    engine.close()


@given(st.data())
@settings(max_examples=60)
def test_octets_changed_on_the_way_never_pass_for_a_client(listener: ListenerContexts, data: st.DataObject) -> None:
    """A changed hello may fail or not; a certificate is never reported that was not proven."""
    issued = pki.self_signed("client.example")
    engine, client = Engine(listener), Client(issued, version=SSL.TLS1_3_VERSION)
    with pytest.raises(SSL.WantReadError):
        client.tls.do_handshake()
    engine.receive_data(client.data_to_send())
    assert engine.next_event() is None
    client.tls.bio_write(engine.data_to_send())
    client.tls.do_handshake()
    flight = bytearray(client.data_to_send())
    at = 5 + data.draw(st.integers(0, 2000)) % (len(flight) - 5)  # behind the header of the first record
    flight[at] ^= data.draw(st.integers(1, 255))
    engine.receive_data(bytes(flight))
    with suppress(TLSRefused):
        assert engine.next_event() is None  # a changed length: more is waited for


def test_a_name_that_is_no_ascii_chooses_nothing(listener: ListenerContexts) -> None:
    completed = shake_hands(Engine(listener), Client(sni=b"b\xff.example"))
    assert completed.host == "b.example"
    assert completed.server_name == "b\\xff.example"
