"""`GET /.well-known/mtlsd/whoami`: each client learns all about itself, over TLS 1.2 and 1.3, and nothing of others."""

import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.net.server.test_client_certificates import PAST, REFUSED, UNKNOWN, under_acme
from tests.support import pki
from tests.support.backend import Backend
from tests.support.client import VERSIONS, Answer, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, authority, certificate, globex, running
from tests.support.pki import SERVER, Issued

PATH = "/.well-known/mtlsd/whoami"
PAGE = (("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),)
PASSING = [
    "dates",
    "key",
    "key usage",
    "extended key usage",
    "critical extensions",
    "signature algorithm",
    "chain",
    "mapping to a partner",
]


@pytest.fixture(scope="module")
def open_daemon(tmp_path_factory: pytest.TempPathFactory, untouched: Backend) -> Iterator[Daemon]:
    tree = Tree(tmp_path_factory.mktemp("whoami"), untouched.url, limits="max_whoami_per_minute = 1_000_000")
    tree.add("late", "LATE", late())
    tree.add("elsewhere", "ELSEWHERE", elsewhere(), 'hosts = ["maybe.example.com"]')
    tree.add("soon", "SOON", soon())
    tree.add("excused", "EXCUSED", excused(), 'relax = ["any-key-usage", "sha1-chain", "server-auth-only"]')
    folder = tree.add("gappy", "GAPPY", gappy())
    (folder / "tls" / "issuer-0.pem").unlink()  # the intermediate
    folder = tree.add("matched", "MATCHED", matched(), '[match]\nsubject = "CN=matched.example"')
    (folder / "tls" / "client.pem").rename(folder / "tls" / "root.pem")
    with running(tree) as daemon:
        yield daemon


@cache
def late() -> Issued:
    return certificate(authority("Late Root"), "late.example", end=PAST)


@cache
def elsewhere() -> Issued:
    return certificate(authority("W"), "w.example")


@cache
def soon() -> Issued:
    return certificate(None, "soon.example", end=datetime.now(UTC) + timedelta(days=3, hours=1))


@cache
def excused() -> Issued:
    options = {"uses": ("key_encipherment",), "eku": (SERVER,), "sha1": True}
    return certificate(authority("Excused Root", key=pki.rsa_key("Excused Root")), "excused.example", **options)


@cache
def gappy() -> Issued:
    return certificate(pki.intermediate(authority("Gappy Root"), "Gappy CA", **LONG), "gappy.example")


@cache
def matched() -> Issued:
    return authority("Matched Root")


def ask(
    daemon: Daemon,
    issued: Issued | None = None,
    host: str = "as2.example.com",
    version: ssl.TLSVersion | None = None,
    fields: tuple[tuple[str, str], ...] = (),
) -> Answer:
    with opened(daemon.address, issued, sni=host, version=version) as client:
        return client.request(request("GET", PATH, fields, host=host, length=False))


def told(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200
    assert answer.get("Content-Type") == "application/json"
    assert answer.get("Cache-Control") == "no-store"
    assert answer.get("Mtlsd-Request-Id")
    found: dict[str, Any] = json.loads(answer.body)
    assert found["next"]
    return found


def failed(found: dict[str, Any]) -> dict[str, str]:
    return {each["rule"]: each["reason"] for each in found["rules"] if each["result"] == "failed"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("who", "name"), [(acme, "acme"), (globex, "globex")])
def test_a_partner_learns_who_it_is(
    open_daemon: Daemon, version: ssl.TLSVersion, who: Callable[[], Issued], name: str
) -> None:
    found = told(ask(open_daemon, who(), version=version))
    assert (found["verdict"], found["reason"], found["partner"], found["as2_ids"]) == (
        "accepted",
        None,
        name,
        [name.upper()],
    )
    assert found["routes"] == [{"path": "/as2", "handler": "as2", "as2_to": "EXAMPLE"}]
    assert [(each["rule"], each["result"]) for each in found["rules"]] == [(rule, "passed") for rule in PASSING]
    assert found["days_left"] > 10_000
    assert found["connection"]["tls"] == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    assert (found["connection"]["sni"], found["connection"]["host"]) == ("as2.example.com", "as2.example.com")
    assert found["connection"]["cipher"]
    leaf, *chain = found["certificates"]
    assert leaf["sha256"] == who().certificate.sha256
    assert leaf["serial"] == f"{who().certificate.serial:x}"
    assert [each["sha256"] for each in chain] == [each.sha256 for each in who().chain]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_client_reads_why_and_nothing_of_anybody(
    open_daemon: Daemon, untouched: Backend, kind: str, version: ssl.TLSVersion
) -> None:
    make, reason = REFUSED[kind]
    answer = ask(open_daemon, make(), version=version)
    found = told(answer)
    assert (found["verdict"], found["reason"], found["partner"], found["routes"]) == ("refused", reason, None, [])
    assert reason in failed(found).values()
    assert len(found["rules"]) == len(PASSING)
    for secret in (b"globex", b"GLOBEX", b"/as2", str(untouched.address[1]).encode(), b"nearest", b"certs/"):
        assert secret not in answer.body
    assert acme().certificate.sha256.encode() not in answer.body
    with opened(open_daemon.address, make(), version=version) as client:
        assert client.request(request()).reason == reason  # the very same as for a message


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_is_wrong_is_said_at_once(open_daemon: Daemon, version: ssl.TLSVersion) -> None:
    issued = under_acme(
        key=pki.rsa_key("weak", 1024),
        end=PAST,
        eku=(SERVER,),
        uses=("key_encipherment",),
        extensions=((UNKNOWN, True),),
        sha1=True,
    )
    assert failed(told(ask(open_daemon, issued, version=version))) == {
        "dates": "cert_expired",
        "key": "cert_key_too_weak",
        "key usage": "cert_key_usage",
        "extended key usage": "cert_eku_no_client_auth",
        "critical extensions": "cert_unhandled_critical_ext",
        "signature algorithm": "cert_sig_alg_weak",
    }


def test_an_expired_certificate_that_is_registered_is_known_and_its_chain_is_right(open_daemon: Daemon) -> None:
    found = told(ask(open_daemon, late()))
    assert (found["verdict"], found["reason"], found["partner"], found["routes"]) == (
        "refused",
        "cert_expired",
        "late",
        [],
    )
    ago = datetime.now(UTC) - late().certificate.not_after
    assert found["days_left"] == found["certificates"][0]["days_left"] == -ago.days
    assert failed(found) == {"dates": "cert_expired"}
    (chain,) = (each for each in found["rules"] if each["rule"] == "chain")
    assert (chain["result"], chain["remark"]) == ("passed", "as of 2021-01-01")


def test_a_partner_is_not_told_to_replace_what_its_relaxations_allow(open_daemon: Daemon) -> None:
    found = told(ask(open_daemon, excused()))
    assert (found["verdict"], found["partner"]) == ("accepted", "excused")
    assert failed(found) == {}
    assert found["next"] == ["No action needed: your certificate is accepted."]


def test_the_issuer_that_is_missing_is_named_from_what_the_client_sent(open_daemon: Daemon) -> None:
    found = told(ask(open_daemon, Issued(gappy().certificate, gappy().key)))
    assert (found["reason"], found["partner"]) == ("cert_chain_incomplete", "gappy")
    assert "The missing issuer is CN=Gappy CA" in found["next"]


def test_the_right_subject_alone_proves_nothing(open_daemon: Daemon) -> None:
    """No partner's name is told while the chain does not verify."""
    found = told(ask(open_daemon, certificate(authority("Forged Root"), "matched.example")))
    assert (found["verdict"], found["partner"], found["as2_ids"], found["routes"]) == ("refused", None, [], [])
    (mapping,) = (each for each in found["rules"] if each["rule"] == "mapping to a partner")
    assert mapping["result"] == "not judged"
    proven = told(ask(open_daemon, certificate(matched(), "matched.example")))
    assert (proven["verdict"], proven["partner"]) == ("accepted", "matched")


def test_the_issuer_of_a_stranger_s_certificate_is_in_what_it_sent(open_daemon: Daemon) -> None:
    above = pki.intermediate(authority("ACME Root", key=pki.rsa_key("ACME Root")), "Unsent CA")
    issued = certificate(above, "edi.acme.example")
    found = told(ask(open_daemon, Issued(issued.certificate, issued.key)))
    assert found["reason"] == "cert_untrusted_issuer"
    assert found["certificates"][0]["issuer"] == above.certificate.subject


def test_a_partner_on_a_host_that_is_closed_to_it(open_daemon: Daemon) -> None:
    found = told(ask(open_daemon, elsewhere()))
    assert (found["reason"], found["partner"], found["routes"]) == ("cert_known_other_host", "elsewhere", [])
    assert failed(found) == {"mapping to a partner": "cert_known_other_host"}


def test_a_certificate_that_ends_soon_is_to_be_renewed(open_daemon: Daemon) -> None:
    found = told(ask(open_daemon, soon()))
    assert (found["verdict"], found["days_left"]) == ("accepted", 3)
    assert "in 3 days" in found["next"][0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("host", "verdict", "reason"),
    [
        ("as2.example.com", "refused", "client_cert_missing"),
        ("maybe.example.com", "anonymous", None),
        ("drop.example.com", "anonymous", None),
    ],
)
def test_every_host_answers_without_a_certificate(
    open_daemon: Daemon, host: str, verdict: str, reason: str | None, version: ssl.TLSVersion
) -> None:
    found = told(ask(open_daemon, host=host, version=version))
    assert (found["verdict"], found["reason"], found["partner"], found["routes"]) == (verdict, reason, None, [])
    assert (found["rules"], found["certificates"]) == ([], [])


def test_no_other_path_of_a_required_host_is_open_and_the_connection_stays_judged(open_daemon: Daemon) -> None:
    with opened(open_daemon.address) as client:
        for _ in range(2):
            assert client.request(request("GET", PATH, length=False)).status == 200
        assert client.request(request()).reason == "client_cert_missing"
    for path in (f"{PATH}/", f"{PATH}/x", "/.well-known/mtlsd/", "/.well-known/mtlsd/Whoami", "/x" + PATH):
        with opened(open_daemon.address) as client:
            assert client.request(request("GET", path, length=False)).reason == "client_cert_missing"


def test_head_has_no_body_and_other_methods_are_refused(open_daemon: Daemon) -> None:
    with opened(open_daemon.address) as client:
        answer = client.request(request("HEAD", PATH, length=False), head=True)
        assert (answer.status, answer.body) == (200, b"")
        assert client.request(request("GET", f"{PATH}?report=json", length=False)).status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        with opened(open_daemon.address) as client:
            answer = client.request(request(method, PATH, body=b"x"))
            assert (answer.status, answer.reason, answer.get("Allow")) == (405, "method_not_allowed", "GET, HEAD")


def test_a_request_with_a_body_is_answered_and_the_connection_closed(open_daemon: Daemon) -> None:
    with opened(open_daemon.address) as client:
        answer = client.request(request("GET", PATH, body=b"POST /as2 HTTP/1.1\r\nHost: as2.example.com\r\n\r\n"))
        assert (answer.status, answer.closes) == (200, True)
        assert client.is_closed()
    with opened(open_daemon.address) as client:
        answer = client.request(request("GET", PATH, (("Transfer-Encoding", "chunked"),), b"0\r\n\r\n"))
        assert (answer.status, answer.reason) == (400, "bad_request")
        assert client.is_closed()
    with opened(open_daemon.address) as client:
        answer = client.request(request("GET", PATH, host="maybe.example.com", length=False))
        assert (answer.status, answer.reason) == (421, "sni_host_mismatch")


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_people_get_a_page_of_its_own_without_a_script(open_daemon: Daemon) -> None:
    subject = "CN=\\<script\\>alert(1)\\</script\\>\u202e&\\\"'\\<img src\\=x\\>"
    hostile = certificate(None, "hostile", subject=subject)
    answer = ask(open_daemon, hostile, fields=PAGE)
    assert (answer.status, answer.get("Content-Type")) == (200, "text/html; charset=utf-8")
    policy = answer.get("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert answer.get("X-Content-Type-Options") == "nosniff"
    page = Tags(answer.body.decode())
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe", "a", "form", "object", "base"}
    assert not {name for _, attributes in page.tags for name in attributes} & {"src", "href", "style", "onload"}
    assert "\\<script\\>alert(1)\\</script\\>" in page.text  # as text, spelled as RFC 4514 says
    assert "\u202e" not in page.text
    assert "cert_self_signed_unknown" in page.text
    assert ("html", {"lang": "en"}) in page.tags
    assert {"main", "h1", "meta", "title"} <= names
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")


@pytest.mark.parametrize("who", [acme, None])
def test_the_page_says_what_the_json_says(open_daemon: Daemon, who: Callable[[], Issued] | None) -> None:
    issued = who() if who else None
    found, page = told(ask(open_daemon, issued)), Tags(ask(open_daemon, issued, fields=PAGE).body.decode()).text
    words = [*found["next"][:1], *(each["rule"] for each in found["rules"])]
    assert [word for word in words if word not in page] == []


def test_who_asks_for_json_gets_it(open_daemon: Daemon) -> None:
    told(ask(open_daemon, fields=(("Accept", "application/json, text/html;q=0.5"),)))


def test_it_is_limited_for_each_address_and_can_be_switched_off(tmp_path: Path) -> None:
    tree = Tree(tmp_path, limits="max_whoami_per_minute = 3", hosts={"as2.example.com": "required"})
    with running(tree) as daemon:
        with opened(daemon.address) as client:
            for _ in range(3):
                assert client.request(request("GET", PATH, length=False)).status == 200
            answer = client.request(request("GET", PATH, length=False))
            assert (answer.status, answer.reason, answer.get("Retry-After")) == (429, "spike_arrested", "60")
        with opened(daemon.address, source="127.0.0.2") as client:
            assert client.request(request("GET", PATH, length=False)).status == 200
        with opened(daemon.address, acme()) as client:  # messages have nothing to do with it
            assert client.request(request("HEAD"), head=True).status == 200
        text = tree.configuration.read_text()
        tree.configuration.write_text(text.replace("[[virtualhost]]", "[[virtualhost]]\nwhoami = false", 1))
        daemon.reload()
        with opened(daemon.address) as client:
            assert client.request(request("GET", PATH, length=False)).reason == "client_cert_missing"
        with opened(daemon.address, acme()) as client:
            assert client.request(request("GET", PATH, length=False)).reason == "no_route"


def test_a_partner_that_is_disabled_is_told_to_ask_and_nothing_else(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    settings = tree.certs / "partners" / "acme" / "partner.toml"
    settings.write_text(f"disabled = true\n{settings.read_text()}")
    with running(tree) as daemon:
        found = told(ask(daemon, acme()))
    assert found["reason"] == "partner_disabled"
    assert failed(found) == {"mapping to a partner": "partner_disabled"}
    assert len(found["next"]) == 2
    assert "disabled" in found["next"][0]


def test_the_log_has_what_the_client_is_not_told(open_daemon: Daemon) -> None:
    open_daemon.forget()
    ask(open_daemon, under_acme(key=acme().key))
    line = open_daemon.wait_for("exchange_finished", whoami="cert_pin_mismatch")
    assert (line["status"], line["level"]) == (200, "info")
    assert "same key as a certificate of acme" in line["nearest"]
