"""A client with one odd field in a certificate is served; a client that is refused for one is named in the log."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.reader import read_public
from mtlsd.pki.identity import identity_of
from tests.support import pki
from tests.support.client import opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, authority, certificate, running
from tests.support.odd import DNS, EDI_PARTY, FRACTION, Fields, alternative_names, changed, ended, fields_of, tlv
from tests.support.pki import Issued

ROOT = authority("Odd Root", key=pki.rsa_key("Odd Root"))
BRIDGE = pki.intermediate(ROOT, "Odd CA", key=pki.rsa_key("Odd CA"), **LONG)
LEAF = certificate(ROOT, "odd", key=pki.rsa_key("odd leaf"))
BELOW = certificate(BRIDGE, "below", key=pki.rsa_key("below"))


@dataclass(frozen=True)
class Shown:
    """What a client shows: certificates that nobody here has to read, and the key of the first."""

    chain: tuple[bytes, ...]
    key_pem: bytes

    @property
    def chain_pem(self) -> bytes:
        return b"".join(map(_pem, self.chain))


def _pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


def odd(issued: Issued, *changes: Callable[[Fields], None], issuer: Issued = ROOT) -> bytes:
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    return changed(issued.certificate, issuer.key, *changes)


VALID = odd(LEAF, alternative_names(DNS, EDI_PARTY))
ODD_BRIDGE = odd(BRIDGE, alternative_names(EDI_PARTY))
UNREADABLE = odd(LEAF, ended(FRACTION))
UNREADABLE_CA = odd(BRIDGE, ended(FRACTION))


def with_costly_key(fields: Fields) -> None:
    """An RSA key with an exponent of 2000 bits."""
    numbers = fields_of(fields_of(fields[6])[1][5:])
    costly = tlv(0x30, numbers[0], tlv(2, b"\x01" + bytes(249) + b"\x01"))
    fields[6] = tlv(0x30, fields_of(fields[6])[0], tlv(3, b"\0", costly))


COSTLY = odd(BRIDGE, ended(FRACTION), with_costly_key)


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """One that answers a client that is refused, and one that sends it an alert."""
    with ExitStack() as stack:
        found = {}
        for mode in ("http", "handshake"):
            tree = Tree(tmp_path_factory.mktemp(mode), virtualhost=f'on_untrusted = "{mode}"')
            tree.add("odd", "ODD", Issued(Certificate.from_der(VALID), LEAF.key, (ROOT,)))
            tree.add("below", "BELOW", Issued(BELOW.certificate, BELOW.key, (ROOT,)))
            folder = tree.add("broken", "BROKEN", acme())
            (folder / "tls" / "client.pem").write_bytes(_pem(UNREADABLE))
            found[mode] = stack.enter_context(running(tree))
        yield found


SERVED = {
    "its own is irregular": (Shown((VALID,), LEAF.key_pem), "odd"),
    "an irregular CA is needed": (Shown((BELOW.certificate.der, ODD_BRIDGE), BELOW.key_pem), "below"),
    "an irregular CA is sent along": (Shown((VALID, ODD_BRIDGE), LEAF.key_pem), "odd"),
    "an unreadable CA is sent along": (Shown((VALID, UNREADABLE_CA), LEAF.key_pem), "odd"),
}


@pytest.mark.parametrize("mode", ["http", "handshake"])
@pytest.mark.parametrize("case", SERVED)
def test_an_odd_field_keeps_no_partner_out(daemons: dict[str, Daemon], mode: str, case: str) -> None:
    shown, partner = SERVED[case]
    daemon = daemons[mode]
    daemon.forget()
    with opened(daemon.address, shown) as client:  # type: ignore[arg-type]
        assert client.request(request("GET", "/nowhere")).reason == "no_route"
    assert daemon.wait_for("exchange_finished")["partner"] == partner


REFUSED = {
    "its own cannot be read": (Shown((UNREADABLE,), LEAF.key_pem), "cert_untrusted_issuer", UNREADABLE),
    "a needed CA cannot be read": (
        Shown((BELOW.certificate.der, UNREADABLE_CA), BELOW.key_pem),
        "cert_chain_incomplete",
        BELOW.certificate.der,
    ),
    "a CA that cannot be read has a costly key": (
        Shown((BELOW.certificate.der, COSTLY), BELOW.key_pem),
        "cert_untrusted_issuer",
        COSTLY,
    ),
}


@pytest.mark.parametrize("mode", ["http", "handshake"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_certificate_is_named_in_the_log(daemons: dict[str, Daemon], mode: str, case: str) -> None:
    shown, reason, named = REFUSED[case]
    daemon = daemons[mode]
    daemon.forget()
    try:
        with opened(daemon.address, shown) as client:  # type: ignore[arg-type]
            assert client.request(request("GET", "/nowhere")).reason == reason
    except (ssl.SSLError, OSError):
        assert mode == "handshake"
    line = daemon.wait_for("exchange_finished" if mode == "http" else "handshake_failed")
    assert line["reason"] == reason
    assert {each: line[each] for each in ("subject", "issuer", "serial", "sha256")} == identity_of(named)
    if named == UNREADABLE:
        assert "its notAfter is '99991231225959.357Z'" in line["detail"]
    if UNREADABLE_CA in shown.chain:
        [about] = line["unreadable"]
        assert {each: about[each] for each in ("subject", "issuer", "serial", "sha256")} == identity_of(UNREADABLE_CA)
        assert "its notAfter is '99991231225959.357Z'" in about["detail"]


def test_a_file_with_an_unreadable_certificate_is_named_with_it(daemons: dict[str, Daemon]) -> None:
    daemon = daemons["http"]
    daemon.forget()
    daemon.reload()
    line = daemon.wait_for("configuration_problem")
    assert {each: line[each] for each in ("subject", "issuer", "serial", "sha256")} == identity_of(UNREADABLE)
    note = (daemon.tree.state / "trust" / "broken" / "tls" / "client.pem.why").read_text()
    for each in ("subject CN=odd, issuer CN=Odd Root", *identity_of(UNREADABLE).values()):
        assert each in note


def test_a_kept_certificate_is_the_one_that_was_sent() -> None:
    assert read_public(_pem(VALID)).certificates[0].der == VALID
