"""Refusing inside of the handshake: the judge is asked there, its word decides, and the client gets its alert."""

from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from mtlsd.config.model import ClientCertificate, OnUntrusted
from mtlsd.errors import (
    CertExpired,
    CertificateRefused,
    CertKeyTooWeak,
    CertKnownOtherHost,
    CertRevoked,
    ClientCertMissing,
    PeerError,
    SNIUnknown,
)
from mtlsd.partners.ours.host_keys import load_host
from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import Presented
from mtlsd.tls.alerts import ALERTS, Alert
from mtlsd.tls.contexts import FOLLOWED, ListenerContexts, build_context
from mtlsd.tls.engine import Engine, HandshakeCompleted
from tests.support import pki
from tests.tls.test_engine import Client, shake_hands

VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]
ROOT = pki.root("Root", key=pki.ec_key("Root"))
CA = pki.intermediate(ROOT, key=pki.ec_key("CA"))
LEAF = pki.leaf(CA, key=pki.ec_key("leaf"))
STRICT, OPEN, MILD = "strict.example", "open.example", "mild.example"


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> ListenerContexts:
    """Three hosts on one address: one that refuses in the handshake, one that asks nobody, one that tells in HTTP."""
    required, none = ClientCertificate.REQUIRED, ClientCertificate.NONE
    kinds = {
        STRICT: (required, OnUntrusted.HANDSHAKE),
        OPEN: (none, OnUntrusted.HANDSHAKE),
        MILD: (required, OnUntrusted.HTTP),
    }
    hosts = {}
    for name, (kind, told) in kinds.items():
        folder: Path = tmp_path_factory.mktemp("hosts") / name
        pki.issue(name, key=pki.ec_key(name)).write(folder)
        hosts[name] = build_context(name, kind, load_host(folder).value.server[0], told, FOLLOWED)
    return ListenerContexts(hosts)


REQUIRED = [(SSL.TLS1_2_VERSION, "handshake failure"), (SSL.TLS1_3_VERSION, "certificate required")]


class Judge:
    """Says of every client what it is told to say, and remembers whom it was asked about."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.asked: list[tuple[str, Presented]] = []

    def __call__(self, host: str, presented: Presented) -> PeerError | None:
        self.asked.append((host, presented))
        if isinstance(self.refusal, PeerError):
            return self.refusal
        if self.refusal:
            raise self.refusal
        return None


def refused(engine: Engine, client: Client) -> tuple[Exception, str]:
    """What the server's side raises, and what OpenSSL tells the client."""
    raised: Exception | None = None
    try:
        shake_hands(engine, client)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is looked at
        raised = error
    assert raised is not None
    client.tls.bio_write(engine.data_to_send())
    words = ""
    try:
        with suppress(SSL.WantReadError):
            client.tls.do_handshake()
        client.tls.recv(1)
    except SSL.Error as error:
        words = str(error.args[0][-1][2])
    return raised, words


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [*ALERTS, CertKnownOtherHost])
def test_each_refusal_has_its_alert(listener: ListenerContexts, kind: type[CertificateRefused], version: int) -> None:
    alert = ALERTS.get(kind, Alert.CERTIFICATE_UNKNOWN)
    if alert.value < 0:
        return  # OpenSSL's own: below
    refusal = kind("so it is")
    raised, words = refused(Engine(listener, Judge(refusal)), Client(LEAF, STRICT.encode(), version))
    assert raised is refusal
    assert refusal.facts["alert_sent"] == str(alert)
    assert words.endswith(f"alert {str(alert).replace('_', ' ')}")


@pytest.mark.parametrize(("version", "words"), REQUIRED)
def test_a_certificate_that_is_required_and_missing(listener: ListenerContexts, version: int, words: str) -> None:
    judge = Judge()
    raised, said = refused(Engine(listener, judge), Client(None, STRICT.encode(), version))
    assert isinstance(raised, ClientCertMissing)
    assert str(raised.facts["alert_sent"]).replace("_", " ") == words
    assert said.endswith(words)
    assert judge.asked == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_name_that_is_not_here(listener: ListenerContexts, version: int) -> None:
    raised, words = refused(Engine(listener, Judge()), Client(LEAF, b"nobody.example", version))
    assert isinstance(raised, SNIUnknown)
    assert words.endswith("unrecognized name")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_judge_sees_the_chain_and_lets_the_client_in(listener: ListenerContexts, version: int) -> None:
    judge = Judge()
    client = Client(LEAF, STRICT.encode(), version, sent_along=(CA.certificate,))
    completed = shake_hands(Engine(listener, judge), client)
    assert judge.asked == [(STRICT, Presented(LEAF.certificate, (CA.certificate,)))]
    assert completed.presented == Presented(LEAF.certificate, (CA.certificate,))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sni", [MILD, OPEN])
def test_hosts_that_tell_it_otherwise_let_everybody_in(listener: ListenerContexts, version: int, sni: str) -> None:
    judge = Judge(CertExpired())
    completed = shake_hands(Engine(listener, judge), Client(LEAF, sni.encode(), version))
    assert isinstance(completed, HandshakeCompleted)
    assert judge.asked == []
    assert (completed.presented is None) == (sni == OPEN)


@pytest.mark.parametrize("sni", [STRICT, MILD])
@pytest.mark.parametrize("name", ["a large exponent", "a small exponent that is too large"])
def test_no_signature_is_verified_with_a_key_that_takes_too_long(
    listener: ListenerContexts, sni: str, name: str
) -> None:
    costly = pki.leaf(pki.root("Costly", key=pki.costly_rsa_keys()[name]), key=pki.ec_key("leaf"))
    client = Client(costly, sni.encode(), sent_along=(costly.issuers[0].certificate,))
    assert isinstance(refused(Engine(listener, Judge()), client)[0], CertKeyTooWeak)


def test_a_chain_that_is_too_long_is_shown_as_such(listener: ListenerContexts) -> None:
    issuer = ROOT
    for number in range(MAX_CHAIN + 4):
        issuer = pki.intermediate(issuer, f"CA {number}", key=pki.ec_key("CA"))
    leaf = pki.leaf(issuer, key=pki.ec_key("leaf"))
    judge = Judge(CertRevoked())
    refused(Engine(listener, judge), Client(leaf, STRICT.encode(), sent_along=leaf.chain))
    assert len(judge.asked[0][1].chain) > MAX_CHAIN


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bug_in_the_judge_lets_nobody_in(
    listener: ListenerContexts, version: int, capfd: pytest.CaptureFixture[str]
) -> None:
    bug = RuntimeError("a bug")
    raised, words = refused(Engine(listener, Judge(bug)), Client(LEAF, STRICT.encode(), version))
    assert raised is bug
    assert words.endswith("certificate unknown")
    assert capfd.readouterr() == ("", "")
