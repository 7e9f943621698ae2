"""A revoked certificate opens no connection: by a file, by a list that is fetched, by OCSP; and nobody waits long."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from tests.support import authority as ca
from tests.support import pki
from tests.support.authority import Authority
from tests.support.client import Answer, opened, request
from tests.support.daemon import Daemon, Tree, acme, authority, certificate, globex, replace, running
from tests.support.pki import Issued

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
DATES: dict[str, Any] = {"start": NOW - DAY, "end": NOW + DAY}
HARD = '[revocation]\ncrl = "hard"\n'


@pytest.fixture
def server() -> Iterator[Authority]:
    with ca.running() as listening:
        yield listening


def head(daemon: Daemon, issued: Issued) -> Answer:
    with opened(daemon.address, issued) as client:
        return client.request(request("HEAD"), head=True)


def reason(daemon: Daemon, issued: Issued) -> str | None:
    return head(daemon, issued).reason


def crl_of(issuer: Issued, *revoked: Issued, age: timedelta = DAY, end: datetime = NOW + DAY) -> bytes:
    return pki.crl(issuer, *revoked, start=NOW - age, end=end)


def issued_with(url: str, name: str = "edi.initech.example") -> Issued:
    """A certificate that names a list and a responder at this URL."""
    list_at = x509.UniformResourceIdentifier(f"{url}/ca.crl")
    responder_at = x509.UniformResourceIdentifier(f"{url}/ocsp")
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, responder_at)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.CRLDistributionPoints([x509.DistributionPoint([list_at], None, None, None)]), False),
        (x509.AuthorityInformationAccess([access]), False),
    ]
    return certificate(authority("Initech Root"), name, extensions=extensions)


# --- Files ----------------------------------------------------------------------------------------------------


def test_a_list_that_is_dropped_in_ends_an_open_connection(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with running(tree) as daemon, opened(daemon.address, acme()) as client:
        assert client.request(request("HEAD"), head=True).status == 200
        replace(tree.certs / "partners" / "acme" / "ca.crl", crl_of(acme().issuers[0], acme()))
        daemon.reload()
        answer = client.request(request("POST", fields=[("Accept", "application/json")]))
        assert (answer.status, answer.reason) == (400, "cert_revoked")
        line = daemon.wait_for("exchange_finished", reason="cert_revoked")
        assert line["nearest"] == "acme's own, revoked"
        assert line["revocation_of"] == acme().certificate.subject
        with opened(daemon.address, acme()) as asking:  # and who asks is told so
            answer = asking.request(request("GET", path="/.well-known/mtlsd/whoami"))
        assert (answer.status, json.loads(answer.body)["reason"]) == (200, "cert_revoked")


def test_each_ca_of_a_chain_needs_its_list_where_lists_are_asked_for_hard(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    folder = tree.add("globex", "GLOBEX", globex(), HARD)
    middle, root = globex().issuers
    (folder / "ca.crl").write_bytes(crl_of(middle))
    with running(tree) as daemon:
        assert reason(daemon, globex()) == "crl_missing"
        (folder / "root.crl").write_bytes(crl_of(root))
        daemon.reload()
        assert head(daemon, globex()).status == 200
        (folder / "root.crl").write_bytes(crl_of(root, end=NOW - timedelta(hours=1)))
        daemon.reload()
        assert reason(daemon, globex()) == "crl_expired"
        (folder / "root.crl").write_bytes(crl_of(root, middle))
        daemon.reload()
        assert reason(daemon, globex()) == "cert_revoked"


def test_an_old_list_is_said_in_the_log_where_it_is_not_asked_for_hard(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    root = acme().issuers[0]
    (tree.certs / "partners" / "acme" / "ca.crl").write_bytes(crl_of(root, end=NOW - timedelta(hours=1)))
    with running(tree) as daemon:
        assert "expired on" in daemon.wait_for("configuration_warning")["detail"]
        assert head(daemon, acme()).status == 200
        line = daemon.wait_for("exchange_finished", status=200)
    assert line["revocation"][0].startswith("crl_expired: ")


# --- Fetched lists --------------------------------------------------------------------------------------------


def test_a_list_is_fetched_kept_and_used_after_a_restart(tmp_path: Path, server: Authority) -> None:
    who = issued_with(server.url)
    lists = {"/ca.crl": (200, crl_of(who.issuers[0], who))}
    server.get = lambda path: lists[path]
    tree = Tree(tmp_path)
    tree.add("initech", "INITECH", who, f'{HARD}fetch = true\ncrl_urls = ["{server.url}/ca.crl"]\n')
    with running(tree) as daemon:
        assert daemon.wait_for("crl_fetched")["entries"] == 1
        assert reason(daemon, who) == "cert_revoked"
        assert head(daemon, acme()).status == 200
    assert server.asked == ["GET /ca.crl"]
    with running(tree) as daemon:
        assert reason(daemon, who) == "cert_revoked"
    assert server.asked == ["GET /ca.crl"]


def test_nothing_is_fetched_where_nobody_asks_for_it(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with(server.url)
    tree.add("initech", "INITECH", who)
    with running(tree) as daemon:
        assert head(daemon, who).status == 200
    assert server.asked == []


def test_a_private_address_in_a_certificate_is_not_gone_to(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with(server.url)
    tree.add("initech", "INITECH", who, f'{HARD}fetch = true\nocsp = "hard"\n')
    with running(tree) as daemon:
        assert "a private address" in daemon.wait_for("crl_fetch_failed")["detail"]
        assert "a private address" in daemon.wait_for("ocsp_failed")["detail"]
        assert reason(daemon, who) == "crl_missing"
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, b""), "the server said 404"),
        ((200, b"<html>"), "not a readable revocation list"),
        ((302, b""), "the server said 302"),
        ((200, crl_of(authority("Another Root"))), "no CA certificate of the partner signed this list"),
    ],
)
def test_what_is_no_list_of_the_partner_s_ca_is_not_taken(
    tmp_path: Path, server: Authority, answer: tuple[int, bytes], words: str
) -> None:
    server.get = lambda _: answer
    tree, who = Tree(tmp_path), issued_with(server.url)
    tree.add("initech", "INITECH", who, f'{HARD}crl_urls = ["{server.url}/other.crl"]\n')
    with running(tree) as daemon:
        assert words in daemon.wait_for("crl_fetch_failed")["detail"]
        assert reason(daemon, who) == "crl_missing"
    assert not (tree.state / "crls").exists()


def test_a_list_of_another_partner_s_ca_at_the_same_url_takes_no_place(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    served = [crl_of(who.issuers[0], who)]
    server.get = lambda _: (200, served[0])
    settings = f'[revocation]\ncrl_urls = ["{server.url}/ca.crl"]\n'
    tree.add("initech", "INITECH", who, settings)
    tree.add("globex", "GLOBEX", globex(), settings)
    with running(tree) as daemon:
        assert daemon.wait_for("crl_fetched")["issuer"] == who.issuers[0].certificate.subject
    for kept in (tree.state / "crls").iterdir():  # it is due
        os.utime(kept, (0, 0))
    served[0] = crl_of(globex().issuers[0])
    with running(tree) as daemon:
        assert daemon.wait_for("crl_fetched")["issuer"] == globex().issuers[0].certificate.subject
        assert reason(daemon, who) == "cert_revoked"
        assert head(daemon, globex()).status == 200


def test_a_file_with_the_lists_of_several_cas_is_taken_whole(tmp_path: Path, server: Authority) -> None:
    middle, root = globex().issuers
    lists = crl_of(authority("Other Root")), crl_of(root), crl_of(middle, globex())
    joined = b"".join(x509.load_der_x509_crl(each).public_bytes(Encoding.PEM).rstrip() for each in lists)
    server.get = lambda _: (200, joined)
    tree = Tree(tmp_path)
    tree.add("globex", "GLOBEX", globex(), f'[revocation]\ncrl_urls = ["{server.url}/all.crl"]\n')
    with running(tree) as daemon:
        issuers = {daemon.wait_for("crl_fetched")["issuer"] for _ in range(2)}
        assert issuers == {each.certificate.subject for each in (middle, root)}
        assert reason(daemon, globex()) == "cert_revoked"
    with running(tree) as daemon:  # from disk
        assert reason(daemon, globex()) == "cert_revoked"
    assert server.asked == ["GET /all.crl"]


def test_a_list_from_the_future_is_not_taken(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    server.get = lambda _: (200, crl_of(who.issuers[0], age=-2 * DAY, end=NOW + 9 * DAY))
    tree.add("initech", "INITECH", who, f'{HARD}crl_urls = ["{server.url}/ca.crl"]\n')
    with running(tree) as daemon:
        assert "from the future" in daemon.wait_for("crl_fetch_failed")["detail"]
        assert reason(daemon, who) == "crl_missing"


def test_a_silent_server_of_lists_keeps_no_other_check_back(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    server.get = lambda path: None if "slow" in path else (200, crl_of(who.issuers[0], who))
    server.ask = lambda _: (200, pki.ocsp_answer(globex().issuers[0], globex(), **DATES))
    slow = ", ".join(f'"{server.url}/slow{number}.crl"' for number in range(30))
    asked = f'ocsp = "soft"\nocsp_url = "{server.url}/ocsp"\n'
    tree.add("globex", "GLOBEX", globex(), f"[revocation]\ncrl_urls = [{slow}]\n{asked}")
    tree.add("initech", "INITECH", who, f'[revocation]\ncrl_urls = ["{server.url}/ca.crl"]\n')
    with running(tree) as daemon:
        daemon.wait_for("crl_fetched")
        assert reason(daemon, who) == "cert_revoked"
        assert "POST /ocsp" in server.asked
    assert sum("slow" in each for each in server.asked) == 2


# --- OCSP -----------------------------------------------------------------------------------------------------


def asks(tree: Tree, server: Authority, who: Issued, mode: str, settings: str = "") -> None:
    tree.add("initech", "INITECH", who, f'{settings}\n[revocation]\nocsp = "{mode}"\nocsp_url = "{server.url}/ocsp"\n')


@pytest.mark.parametrize("revoked", [True, False])
def test_the_responder_is_asked_once_and_believed(tmp_path: Path, server: Authority, revoked: bool) -> None:
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    root = who.issuers[0]
    server.ask = lambda question: (
        200,
        pki.ocsp_answer(root, who, revoked=revoked, nonce=ca.nonce_of(question), **DATES),
    )
    asks(tree, server, who, "hard")
    with running(tree) as daemon:
        for _ in range(3):
            assert reason(daemon, who) == ("cert_revoked" if revoked else None)
    assert server.asked == ["POST /ocsp"]


def test_a_certificate_that_only_a_match_knows_is_asked_about_when_it_comes(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    server.ask = lambda _: (200, pki.ocsp_answer(who.issuers[0], who, revoked=True, **DATES))
    match = f'[match]\nsubject = "{who.certificate.subject}"'
    asks(tree, server, who, "hard", match)
    (tree.certs / "partners" / "initech" / "tls" / "client.pem").unlink()
    with running(tree) as daemon:
        assert server.asked == []
        assert reason(daemon, who) == "cert_revoked"
    assert server.asked == ["POST /ocsp"]


def test_whoami_asks_no_responder_for_who_asks_too_often(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path, limits="max_whoami_per_minute = 1"), issued_with("http://nowhere.example")
    asks(tree, server, who, "hard", f'[match]\nsubject = "{who.certificate.subject}"')
    (tree.certs / "partners" / "initech" / "tls" / "client.pem").unlink()
    question = request("GET", path="/.well-known/mtlsd/whoami", length=False)
    with running(tree) as daemon:
        with opened(daemon.address) as client:
            assert client.request(question).status == 200
        with opened(daemon.address, who) as client:
            assert client.request(question).status == 429
    assert server.asked == []


@pytest.mark.parametrize(("mode", "expected"), [("hard", "ocsp_unreachable"), ("soft", None)])
def test_a_silent_responder_costs_seconds_once(
    tmp_path: Path, server: Authority, mode: str, expected: str | None
) -> None:
    server.ask = lambda _: None
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    asks(tree, server, who, mode)
    with running(tree) as daemon:
        began = time.monotonic()
        assert reason(daemon, who) == expected
        assert time.monotonic() - began < 12
        began = time.monotonic()
        assert reason(daemon, who) == expected
        assert head(daemon, acme()).status == 200
        assert time.monotonic() - began < 3
        line = daemon.wait_for("exchange_finished", reason=expected, path="/as2")
        assert "no whole answer within 3 s" in (line["detail"] if expected else line["revocation"][0])


def test_an_answer_that_another_key_signed_counts_for_nothing(tmp_path: Path, server: Authority) -> None:
    tree, who = Tree(tmp_path), issued_with("http://nowhere.example")
    forger = authority("Initech Root", key=pki.ec_key("forger"))
    server.ask = lambda _: (200, pki.ocsp_answer(who.issuers[0], who, signer=forger, **DATES))
    asks(tree, server, who, "hard")
    with running(tree) as daemon:
        assert reason(daemon, who) == "ocsp_unreachable"
        assert "signed neither by the issuer" in daemon.wait_for("ocsp_failed")["detail"]
