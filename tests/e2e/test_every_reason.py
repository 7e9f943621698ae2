"""Every reason of a refusal before the request, over real sockets: TLS, the certificate, and whose it is.

One row a code. Each is provoked on TLS 1.2 and 1.3: where `on_untrusted` is "http" it is answered, in HTML and in
problem+json, where it is "handshake" by its alert; and in both the log says what the operators need.
"""

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL

from mtlsd import errors
from mtlsd.errors import PeerError
from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import Certificate
from tests.support import pki
from tests.support.client import TLS_1_2, TLS_1_3, VERSIONS, Client, connect, opened, request, secure
from tests.support.client import context as tls_context
from tests.support.daemon import LONG, Daemon, Event, Tree, acme, authority, certificate, globex, running
from tests.support.pki import SERVER, Issued
from tests.tls.test_engine import Client as Handshake

HOST = "as2.example.com"
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PAST = datetime(2021, 1, 1, tzinfo=UTC)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
DEAD = "http://127.0.0.1:9/ocsp"  # discard: nothing listens there
GROUPS = ("TLS", "Client certificate", "Mapping a certificate to a partner")
HANDSHAKE_SECONDS = 5


@dataclass(frozen=True, eq=False)
class Row:
    """How one code is provoked with a certificate, and what becomes of it."""

    issued: Callable[[], Issued | None]
    alert: str
    register: Callable[[Tree, Issued], None] = lambda _tree, _issued: None
    status: int = 400
    sni: str = HOST
    host: str = HOST
    facts: dict[str, str] = field(default_factory=dict)  # patterns of what the log says


def under_acme(name: str = "edi.acme.example", **options: object) -> Issued:
    return certificate(acme().issuers[0], name, **options)


def initech(name: str, **options: object) -> Issued:
    """The certificate of a partner of its own, under a root of its own."""
    return certificate(authority(f"{name} Root"), f"edi.{name}.example", **options)


def below(name: str, **options: object) -> Issued:
    """The same below an intermediate."""
    return certificate(ca_of(name, **options), f"edi.{name}.example", san=("dns:edi.acme.example",))


def ca_of(name: str, **options: object) -> Issued:
    wanted = {"key": pki.ec_key(f"{name} CA"), **LONG, **options}
    return pki.intermediate(authority(f"{name} Root"), f"{name} CA", **wanted)


def tall() -> Issued:
    """One that has more CAs above it than we follow."""
    issuer = authority("tall Root")
    for number in range(MAX_CHAIN):
        issuer = pki.intermediate(issuer, f"tall CA {number}", key=pki.ec_key("tall CA"), **LONG)
    return certificate(issuer, "edi.tall.example")


def damaged() -> Issued:
    der = bytearray(under_acme("damaged").certificate.der)
    der[-1] ^= 1
    return Issued(Certificate.from_der(bytes(der)), pki.ec_key("damaged"))


def a_day_ahead() -> Issued:
    """What a client shows whose CA's clock, or ours, is wrong by a day."""
    return under_acme(start=NOW + DAY)


def registered(name: str, settings: str = "", **files: Callable[[Issued], bytes]) -> Callable[[Tree, Issued], None]:
    def register(tree: Tree, issued: Issued) -> None:
        folder = tree.add(name, name.upper(), issued, settings)
        for each, make in files.items():
            (folder / f"{each}.crl").write_bytes(make(issued))

    return register


def without_intermediate(tree: Tree, issued: Issued) -> None:
    folder = tree.add("short", "SHORT", Issued(issued.certificate, issued.key, issued.issuers))
    (folder / "tls" / "issuer-0.pem").unlink()


def by_match(tree: Tree, issued: Issued) -> None:
    folder = tree.add("matched", "MATCHED", issued, '[match]\nsubject = "CN=somebody.else.example"')
    (folder / "tls" / "client.pem").unlink()


def twice(tree: Tree, issued: Issued) -> None:
    tree.add("first", "FIRST", issued)
    tree.add("second", "SECOND", issued)


def crl(*, end: datetime = NOW + DAY, revoked: bool = False) -> Callable[[Issued], bytes]:
    return lambda issued: pki.crl(issued.issuers[0], *([issued] * revoked), start=NOW - 9 * DAY, end=end)


def constrained() -> Issued:
    return below("named", extensions=((pki.name_constraints(permitted="other.example"), True),))


DATED = '[[certificate]]\nfile = "tls/client.pem"\n'
HARD = '[revocation]\ncrl = "hard"'
ASKS = f'[revocation]\nocsp = "hard"\nocsp_url = "{DEAD}"'
ROWS: dict[str, Row] = {
    "sni_unknown": Row(acme, "unrecognized_name", status=421, sni="nobody.example.com", host="nobody.example.com"),
    "client_cert_missing": Row(lambda: None, "certificate_required"),
    "cert_expired": Row(lambda: under_acme(end=PAST), "certificate_expired", facts={"detail": r"expired \d+ days ago"}),
    "cert_not_yet_valid": Row(
        a_day_ahead, "certificate_expired", facts={"detail": r"valid in (1 day, 0|23):\d\d:\d\d, from "}
    ),
    "cert_untrusted_issuer": Row(
        lambda: certificate(authority("Nobody's Root"), "edi.acme.example"),
        "unknown_ca",
        facts={"nearest": "same subject as a certificate of acme, other key"},
    ),
    "cert_self_signed_unknown": Row(lambda: certificate(None, "edi.stranger.example"), "unknown_ca"),
    "cert_chain_incomplete": Row(
        lambda: below("short"), "unknown_ca", without_intermediate, facts={"wanted_issuer": "CN=short CA"}
    ),
    "cert_chain_too_long": Row(tall, "unknown_ca", registered("tall")),
    "cert_bad_signature": Row(damaged, "bad_certificate"),
    "cert_revoked": Row(
        lambda: initech("revoked"),
        "certificate_revoked",
        registered("revoked", ca=crl(revoked=True)),
        facts={"detail": "was revoked on .* according to the list of", "nearest": "revoked's own, revoked"},
    ),
    "crl_missing": Row(
        lambda: initech("listless"),
        "certificate_unknown",
        registered("listless", HARD),
        facts={"detail": "no list of CN=listless Root"},
    ),
    "crl_expired": Row(
        lambda: initech("stale"),
        "certificate_unknown",
        registered("stale", HARD, ca=crl(end=NOW - DAY)),
        facts={"detail": "the list of CN=stale Root expired on"},
    ),
    "ocsp_unreachable": Row(
        lambda: initech("silent"), "certificate_unknown", registered("silent", ASKS), facts={"detail": DEAD}
    ),
    "cert_eku_no_client_auth": Row(
        lambda: initech("server", eku=(SERVER,)),
        "unsupported_certificate",
        registered("server"),
        facts={"nearest": "server's own, but not issued for TLS clients"},
    ),
    "cert_key_usage": Row(
        lambda: initech("encrypts", uses=("key_encipherment",)),
        "unsupported_certificate",
        registered("encrypts"),
        facts={"nearest": "encrypts's own, but with a key usage"},
    ),
    "cert_key_too_weak": Row(lambda: under_acme(key=pki.rsa_key("weak", 1024)), "bad_certificate"),
    "cert_sig_alg_weak": Row(lambda: under_acme(sha1=True), "bad_certificate", facts={"detail": "signed with sha1"}),
    "cert_unhandled_critical_ext": Row(
        lambda: under_acme(extensions=((UNKNOWN, True),)), "unsupported_certificate", facts={"detail": "1.2.3.4"}
    ),
    "cert_name_constraint": Row(constrained, "certificate_unknown", registered("named")),
    "ca_expired": Row(lambda: below("old", end=PAST), "certificate_expired", registered("old")),
    "cert_pin_mismatch": Row(
        lambda: under_acme(key=acme().key),
        "certificate_unknown",
        facts={"nearest": "same key as a certificate of acme, renewed: not registered yet"},
    ),
    "cert_subject_not_mapped": Row(lambda: initech("matched"), "certificate_unknown", by_match),
    "cert_ambiguous_mapping": Row(lambda: initech("twice"), "certificate_unknown", twice),
    "partner_disabled": Row(lambda: initech("broken"), "certificate_unknown", registered("broken", "hosts = 1")),
    "cert_known_but_retired": Row(
        lambda: initech("retired"),
        "certificate_unknown",
        registered("retired", f"{DATED}retire_after = 2021-01-01"),
        facts={"nearest": "retired's previous certificate, retired on 2021-01-01"},
    ),
    "cert_known_but_pending": Row(
        lambda: initech("pending"),
        "certificate_unknown",
        registered("pending", f"{DATED}active_from = 2098-01-01"),
        facts={"nearest": "pending's next certificate, .* 2098-01-01"},
    ),
    "cert_known_other_host": Row(
        lambda: initech("elsewhere"), "certificate_unknown", registered("elsewhere", 'hosts = ["x.example"]'), 403
    ),
}
IN_HTTP_ONLY = {"sni_host_mismatch": Row(acme, "", status=421, host="drop.example.com")}
IN_TLS_ONLY = {  # nobody gets as far as a certificate
    "tls_no_common_version",
    "tls_no_common_cipher",
    "tls_handshake_timeout",
    "tls_plain_http_on_tls_port",
    "tls_handshake_failed",
}


def test_there_is_a_row_for_each_reason_and_none_besides() -> None:
    provoked = {*ROWS, *IN_HTTP_ONLY, *IN_TLS_ONLY}
    assert provoked == set(reasons())


def reasons() -> Iterator[str]:
    """The codes of these groups, as errors.py has them under its headings."""
    text = Path(errors.__file__).read_text(encoding="utf-8")
    parts = re.split(r"^# --- (.+?) -+$", text, flags=re.MULTILINE)
    for title, part in zip(parts[1::2], parts[2::2], strict=True):
        for name in re.findall(r"^class (\w+)", part, re.MULTILINE) if title in GROUPS else ():
            kind = getattr(errors, name)
            if issubclass(kind, PeerError) and hasattr(kind, "reason"):
                yield kind.reason


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """One daemon for each place where a refusal is told."""
    with ExitStack() as stack:
        found = {}
        for mode in ("http", "handshake"):
            more = f'on_untrusted = "{mode}"'
            limits = f"handshake_seconds = {HANDSHAKE_SECONDS}"
            tree = Tree(tmp_path_factory.mktemp(mode), virtualhost=more, limits=limits)
            for row in ROWS.values():
                if (issued := issued_by(row)) is not None:
                    row.register(tree, issued)
            found[mode] = stack.enter_context(running(tree))
            found[mode].wait_for("ocsp_failed")
        yield found


@cache
def issued_by(row: Row) -> Issued | None:
    """Each certificate is made once: another one would have another serial."""
    return row.issued()


def presented(row: Row, code: str) -> Issued | None:
    issued = issued_by(row)
    return Issued(issued.certificate, issued.key) if issued and code == "cert_chain_incomplete" else issued


# --- Over HTTP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("as_json", [False, True], ids=["html", "json"])
@pytest.mark.parametrize("code", [*ROWS, *IN_HTTP_ONLY])
def test_it_is_answered_with_its_reason(
    daemons: dict[str, Daemon], code: str, as_json: bool, version: ssl.TLSVersion
) -> None:
    daemon, row = daemons["http"], (ROWS | IN_HTTP_ONLY)[code]
    fields = [("Accept", "application/json")] if as_json else []
    with opened(daemon.address, presented(row, code), sni=row.sni, version=version) as client:
        answer = client.request(request(host=row.host, fields=fields))
        assert client.is_closed()
    assert (answer.status, answer.reason) == (row.status, code)
    identifier = answer.get("Mtlsd-Request-Id")
    if as_json:
        problem = json.loads(answer.body)
        assert answer.get("Content-Type") == "application/problem+json"
        assert (problem["reason"], problem["status"], problem["request_id"]) == (code, row.status, identifier)
    else:
        assert f"{code}: ".encode() in answer.body
        assert f"<p>Request {identifier}</p>".encode() in answer.body
    assert not re.search(rb"acme|globex|initech|127\.|cn=", answer.body.lower())
    check_log(daemon.wait_for("exchange_finished", request_id=identifier), row, code)


# --- In the handshake -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("code", ROWS)
def test_it_ends_in_its_alert_and_a_line_in_the_log(
    daemons: dict[str, Daemon], code: str, version: ssl.TLSVersion
) -> None:
    daemon, row = daemons["handshake"], ROWS[code]
    daemon.forget()
    expected = row.alert
    if (code, version) == ("client_cert_missing", TLS_1_2):
        expected = "handshake_failure"
    assert alert_of(daemon, presented(row, code), row.sni, version) == expected
    line = daemon.wait_for("handshake_failed", reason=code)
    assert line["alert_sent"] == expected
    check_log(line, row, code)


def alert_of(daemon: Daemon, issued: Issued | None, sni: str, version: ssl.TLSVersion) -> str:
    """The alert that ends the connection; in TLS 1.3 it comes when the client believes to be through."""
    with pytest.raises(ssl.SSLError) as caught, opened(daemon.address, issued, sni=sni, version=version) as client:
        client.rest()
    assert caught.value.reason
    return re.sub(r"^(TLSV\d+|SSLV3|TLS)_(ALERT_)?", "", caught.value.reason).lower()


def check_log(line: Event, row: Row, code: str) -> None:
    assert line["reason"] == code
    assert line["sni"] == row.sni
    issued = issued_by(row)
    if issued is not None and code not in ("sni_unknown", "sni_host_mismatch"):
        assert line["subject"] == issued.certificate.subject
        assert line["sha256"] == issued.certificate.sha256
        assert {"issuer", "serial"} <= line.keys()
    for name, pattern in row.facts.items():
        assert re.search(pattern, str(line[name])), (name, line)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", [acme, globex])
def test_a_partner_is_let_in(daemons: dict[str, Daemon], who: Callable[[], Issued], version: ssl.TLSVersion) -> None:
    for daemon in daemons.values():
        with opened(daemon.address, who(), version=version) as client:
            for _ in range(2):
                assert client.request(request("HEAD"), head=True).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_host_does_not_require_it_does_not_require_in_the_handshake(
    daemons: dict[str, Daemon], version: ssl.TLSVersion
) -> None:
    daemon = daemons["handshake"]
    for host in ("maybe.example.com", "drop.example.com"):
        with opened(daemon.address, sni=host, version=version) as client:
            assert client.request(request("HEAD", host=host), head=True).status == 200
    expired = under_acme(end=PAST)
    assert alert_of(daemon, expired, "maybe.example.com", version) == "certificate_expired"
    with opened(daemon.address, expired, sni="drop.example.com", version=version) as client:
        assert client.request(request("HEAD", host="drop.example.com"), head=True).status == 200


# --- Before any certificate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["http", "handshake"])
@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_tls_no_common_version(daemons: dict[str, Daemon], mode: str, version: int) -> None:
    client = Handshake(sni=HOST.encode(), version=version, ciphers=b"ALL:@SECLEVEL=0")
    check_handshake(daemons[mode], client, "tls_no_common_version", 70)


@pytest.mark.parametrize("mode", ["http", "handshake"])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_tls_no_common_cipher(daemons: dict[str, Daemon], mode: str, version: int) -> None:
    client = Handshake(
        sni=HOST.encode(), version=version, ciphers=b"AES128-SHA256", ciphersuites=b"TLS_AES_128_CCM_SHA256"
    )
    check_handshake(daemons[mode], client, "tls_no_common_cipher", 40)


def check_handshake(daemon: Daemon, client: Handshake, reason: str, alert: int) -> None:
    """A handshake that the server ends at the first flight, with an alert in the clear."""
    daemon.forget()
    with connect(daemon.address) as tcp:
        with pytest.raises(SSL.WantReadError):
            client.tls.do_handshake()
        tcp.sendall(client.data_to_send())
        answer = Client(tcp).rest()
    assert (answer[0], answer[5:7]) == (21, bytes([2, alert]))  # a fatal alert
    assert daemon.wait_for("handshake_failed", reason=reason)["detail"]


@pytest.mark.parametrize("mode", ["http", "handshake"])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_tls_handshake_timeout(daemons: dict[str, Daemon], mode: str, version: int) -> None:
    daemon, client = daemons[mode], Handshake(sni=HOST.encode(), version=version)
    daemon.forget()
    with connect(daemon.address) as tcp:
        with pytest.raises(SSL.WantReadError):
            client.tls.do_handshake()
        tcp.sendall(client.data_to_send()[:-20])
        Client(tcp).rest()
    line = daemon.wait_for("handshake_failed", reason="tls_handshake_timeout")
    assert line["duration_ms"] >= HANDSHAKE_SECONDS * 1000


@pytest.mark.parametrize("mode", ["http", "handshake"])
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_tls_handshake_failed(daemons: dict[str, Daemon], mode: str, version: ssl.TLSVersion) -> None:
    """The client does not trust us, and says so."""
    daemon, distrustful = daemons[mode], tls_context(acme(), version)
    distrustful.verify_mode = ssl.CERT_REQUIRED
    daemon.forget()
    with connect(daemon.address) as tcp, pytest.raises(ssl.SSLCertVerificationError):
        secure(tcp, distrustful, HOST)
    assert "unknown ca" in daemon.wait_for("handshake_failed", reason="tls_handshake_failed")["detail"]


@pytest.mark.parametrize("mode", ["http", "handshake"])
def test_tls_plain_http_on_tls_port(daemons: dict[str, Daemon], mode: str) -> None:
    daemon = daemons[mode]
    daemon.forget()
    with connect(daemon.address) as tcp:
        answer = Client(tcp).request(request())
        tcp.shutdown(socket.SHUT_WR)
    assert (answer.status, answer.reason) == (400, "tls_plain_http_on_tls_port")
    daemon.wait_for("handshake_failed", reason="tls_plain_http_on_tls_port")
