"""Nobody reaches a backend with a certificate that is missing, bad, nobody's, or somebody else's.

Every certificate is presented over TLS 1.2 and 1.3 by a client that proves to have its key.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509

from tests.support import pki
from tests.support.backend import Backend
from tests.support.client import VERSIONS, opened, opened_by_pyopenssl, request
from tests.support.daemon import LONG, Daemon, Tree, acme, authority, certificate, globex, running
from tests.support.messages import build, message
from tests.support.pki import SERVER, Issued

PAST, FUTURE = datetime(2021, 1, 1, tzinfo=UTC), datetime(2098, 1, 1, tzinfo=UTC)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def under_acme(name: str = "edi.acme.example", **options: object) -> Issued:
    """A certificate that ACME's own root issued."""
    return certificate(acme().issuers[0], name, **options)


def namesake() -> Issued:
    return pki.root("ACME Root", key=pki.rsa_key("namesake"), **LONG)


def bare(issued: Issued) -> Issued:
    """Without what it should send along."""
    return Issued(issued.certificate, issued.key)


REFUSED: dict[str, tuple[Callable[[], Issued], str]] = {
    "another root": (lambda: certificate(authority("Other Root"), "edi.acme.example"), "cert_untrusted_issuer"),
    "self-signed": (lambda: certificate(None, "edi.stranger.example"), "cert_self_signed_unknown"),
    "a root of the same name": (lambda: certificate(namesake(), "edi.acme.example"), "cert_untrusted_issuer"),
    "a sister of the pinned one": (lambda: under_acme("sister.acme.example"), "cert_pin_mismatch"),
    "the same key, renewed": (lambda: under_acme(key=acme().key), "cert_pin_mismatch"),
    "the same subject, another key": (lambda: under_acme(key=pki.rsa_key("another")), "cert_pin_mismatch"),
    "expired": (lambda: under_acme(end=PAST), "cert_expired"),
    "not yet valid": (lambda: under_acme(start=FUTURE), "cert_not_yet_valid"),
    "for servers only": (lambda: under_acme(eku=(SERVER,)), "cert_eku_no_client_auth"),
    "RSA-1024": (lambda: under_acme(key=pki.rsa_key("weak", 1024)), "cert_key_too_weak"),
    "SHA-1": (lambda: under_acme(sha1=True), "cert_sig_alg_weak"),
    "an unknown critical extension": (
        lambda: under_acme(extensions=((UNKNOWN, True),)),
        "cert_unhandled_critical_ext",
    ),
    "no digitalSignature": (lambda: under_acme(uses=("key_encipherment",)), "cert_key_usage"),
    "ACME's root itself": (lambda: acme().issuers[0], "cert_key_usage"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_its_reason_and_never_reaches_the_backend(
    daemon: Daemon, untouched: Backend, kind: str, version: ssl.TLSVersion
) -> None:
    make, reason = REFUSED[kind]
    sent = message(build(), message_id=f"<{kind}-{version}@acme.example>")
    with opened(daemon.address, make(), version=version) as client:
        answer = client.request(request(fields=sent.fields, body=sent.body))
        assert client.is_closed()
    assert (answer.status, answer.reason) == (400, reason)
    assert b"<title>400 The SSL certificate error</title>" in answer.body
    assert untouched.count == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_chain_without_its_intermediate_verifies_where_the_partner_registered_it(
    daemon: Daemon, version: ssl.TLSVersion
) -> None:
    with opened(daemon.address, bare(globex()), version=version) as client:
        assert client.request(request("HEAD"), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", [acme, globex])
def test_the_registered_certificate_is_served(
    daemon: Daemon, version: ssl.TLSVersion, who: Callable[[], Issued]
) -> None:
    with opened(daemon.address, who(), version=version) as client:
        for _ in range(3):
            assert client.request(request("HEAD"), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_an_optional_host_serves_a_client_without_a_certificate(daemon: Daemon, version: ssl.TLSVersion) -> None:
    with opened(daemon.address, version=version, sni="maybe.example.com") as client:
        assert client.request(request("HEAD", host="maybe.example.com"), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_host_that_wants_no_certificate_asks_for_none(daemon: Daemon, version: ssl.TLSVersion) -> None:
    expired = under_acme(end=PAST)  # it would be refused, if it were asked for
    with opened(daemon.address, expired, version=version, sni="drop.example.com") as client:
        assert client.request(request("HEAD", host="drop.example.com"), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_partner_s_certificate_does_not_speak_for_another_partner(daemon: Daemon, version: ssl.TLSVersion) -> None:
    sent = message(build(sender="GLOBEX"), as2_from="GLOBEX", message_id="<k10@globex.example>")
    with opened(daemon.address, acme(), version=version) as client:
        answer = client.request(request(fields=sent.fields, body=sent.body))
    assert (answer.status, answer.reason) == (403, "as2_from_mismatch_cert")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_names_of_cas_are_sent(daemon: Daemon, version: ssl.TLSVersion) -> None:
    """They would tell a stranger who the partners are, and 900 of them break the handshake."""
    with opened_by_pyopenssl(daemon.address, version) as connection:
        assert connection.get_client_ca_list() == []


def test_certificates_without_an_extended_key_usage_are_accepted(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("eku"))
    plain, server = certificate(authority("P"), "plain.example", eku=()), certificate(None, "s.example", eku=(SERVER,))
    tree.add("plain", "PLAIN", plain)
    tree.add("server", "SERVER", server, 'relax = ["server-auth-only"]')
    tree.add("curve", "CURVE", curve := certificate(authority("C"), "c.example", key=pki.ec_key("c")))
    tree.add("edwards", "EDWARDS", edwards := certificate(authority("E"), "e.example", key=pki.ed25519_key("e")))
    with running(tree) as daemon:
        for version in VERSIONS:
            for issued in (plain, server, curve, edwards):
                with opened(daemon.address, issued, version=version) as client:
                    assert client.request(request("HEAD"), head=True).status == 200


def test_a_host_of_nobody_s_is_closed_to_a_partner_that_is_not_listed_for_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tree = Tree(tmp_path_factory.mktemp("hosts"))
    tree.add(
        "elsewhere", "ELSEWHERE", issued := certificate(authority("W"), "w.example"), 'hosts = ["maybe.example.com"]'
    )
    with running(tree) as daemon:
        with opened(daemon.address, issued) as client:
            answer = client.request(request("POST"))
            assert (answer.status, answer.reason) == (403, "cert_known_other_host")
        with opened(daemon.address, issued, sni="maybe.example.com") as client:
            assert client.request(request("HEAD", host="maybe.example.com"), head=True).status == 200
