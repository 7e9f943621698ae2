"""`POST /.well-known/mtlsd/as2-selftest`: the real MDN and a report; nothing is delivered or kept."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtlsd.as2.headers import algorithm_of
from mtlsd.journal.sql.sqlite import SQLiteJournal
from tests.support import backend as backends
from tests.support import messages, pki
from tests.support.backend import Backend
from tests.support.client import Answer, opened, request
from tests.support.daemon import Daemon, Tree, acme, globex, keys, running, spooled
from tests.support.messages import EDI, Sent
from tests.support.partner import disposition, layered, message, receipt, send, with_fields
from tests.support.pki import Issued

PATH = "/.well-known/mtlsd/as2-selftest"
INSIDE = ("layers", "payload", "mic", "mics")
SECRET = b"TOP SECRET " * 10


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Daemon]:
    tree = Tree(tmp_path_factory.mktemp("selftest"), backend.url, limits="max_failures_per_hour = 100_000")
    tree.add("acme", "ACME", acme(), 'mdn_urls = ["https://edi.acme.example/"]')
    tree.add("loose", "LOOSE", globex(), "require = []")
    (tree.certs / "partners" / "globex" / "tls" / "client.pem").unlink()
    with running(tree) as daemon:
        yield daemon
    assert backend.count == 0


def post(
    daemon: Daemon, sent: Sent, issued: Issued | None = None, host: str = "as2.example.com", **fields: str
) -> Answer:
    more = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    with opened(daemon.address, issued, sni=host) as client:
        return client.request(request("POST", PATH, (*more, *sent.fields), sent.body, host=host))


def report(daemon: Daemon, sent: Sent, issued: Issued | None = None, host: str = "as2.example.com") -> dict[str, Any]:
    answer = post(daemon, sent, issued, host, Accept="application/json")
    assert (answer.status, answer.get("Content-Type")) == (200, "application/json")
    found: dict[str, Any] = json.loads(answer.body)
    assert found["request_id"] == answer.get("Mtlsd-Request-Id")
    assert found["reason"] == answer.reason
    return found


def mdn_of(found: dict[str, Any]) -> Answer:
    """The MDN in a report, as if it had been the answer."""
    body = base64.b64decode(found["mdn"]["body"])
    fields = (*((name, value) for name, value in found["mdn"]["headers"]), ("Content-Length", str(len(body))))
    return Answer(body, 200, fields, body)


@pytest.mark.parametrize(("issued", "host"), [(acme(), "as2.example.com"), (None, "drop.example.com")])
@pytest.mark.parametrize("payload", [EDI, EDI * 3000], ids=["small", "large"])
def test_a_product_gets_the_mdn_with_the_report_in_its_text(
    daemon: Daemon, issued: Issued | None, host: str, payload: bytes
) -> None:
    sent = message("<product@acme.example>", layered(payload=payload))
    answer = post(daemon, sent, issued, host)
    assert disposition(answer, sent) == "processed"
    read = receipt(answer, sent)
    assert b"This was a self-test: nothing was stored" in answer.body
    for line in (b"Layer 1: encrypted, aes256-cbc", b"Layer 2: signed, sha256", b"Layer 3: compressed", b"(ours)"):
        assert line in answer.body
    assert f"MIC: {read.mic}".encode() in answer.body


def test_a_person_gets_json_with_the_same_mdn_inside(daemon: Daemon) -> None:
    sent = message("<person@acme.example>")
    found = report(daemon, sent, acme())
    assert disposition(mdn_of(found), sent) == "processed"
    read = receipt(mdn_of(found), sent)
    assert (found["verdict"], found["reason"], found["status"]) == ("accepted", None, 200)
    assert [each["layer"] for each in found["layers"]] == ["encrypted", "signed", "compressed"]
    assert found["layers"][1]["signer"] == keys("ACME").certificate.sha256
    assert found["payload"] == {"content_type": "application/EDIFACT", "size": len(EDI)}
    assert found["mic"] == f"{read.mic}, {read.mic_algorithm}"
    ours = [each for each in found["mics"] if each["ours"]]
    assert {each["value"] for each in ours} == {read.mic}
    assert {each["algorithm"] for each in found["mics"]} == {"sha1", "sha256", "sha384", "sha512"}
    assert algorithm_of(str(read.mic_algorithm)) in {each["algorithm"] for each in ours}


def test_nothing_is_kept_delivered_or_held_as_a_duplicate(tmp_path: Path) -> None:
    with backends.running() as backend, running(Tree(tmp_path, backend.url)) as daemon:
        sent = message("<twice@acme.example>", layered(payload=EDI * 5000))
        for _ in range(2):
            assert disposition(post(daemon, sent, acme()), sent) == "processed"
        other = message("<twice@acme.example>", layered(payload=b"other"))
        assert disposition(post(daemon, other, acme()), other) == "processed"
        files = spooled(daemon.tree)
        assert files == []
        assert backend.count == 0
        assert disposition(send(daemon, sent), sent) == "processed"  # the first of its id
        assert backend.wait_for("<twice@acme.example>").body == EDI * 5000
        assert backend.requests.empty()
        assert daemon.stop() == 0
        opened_journal = SQLiteJournal(daemon.tree.state / "journal.sqlite")
        try:
            (listed,) = opened_journal.messages(limit=10)
            assert listed.message.message_id == "<twice@acme.example>"
            (node,) = opened_journal.proof.nodes()
            kinds = [each.kind for each in opened_journal.proof.entries(node, 0, 100)]
        finally:
            opened_journal.close()
    assert kinds.count("selftested") == 3
    assert kinds.count("accepted") == 1
    verify = [sys.executable, "-m", "mtlsd", "journal", "verify", "--config", str(daemon.tree.configuration)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0


REFUSED: dict[str, tuple[bytes, str]] = {
    "for another key": (layered(recipient=keys("OTHER")), "as2_decrypt_failed"),
    "signed by another": (layered(payload=SECRET, sender=keys("OTHER")), "as2_signer_unknown"),
    "not signed": (layered("E", payload=SECRET), "as2_decrypt_failed"),
    "altered": (layered(payload=SECRET)[:-40] + bytes(40), "as2_decrypt_failed"),
    "not encrypted": (layered("s", payload=SECRET), "as2_security_too_low"),
}


@pytest.mark.parametrize(("issued", "host"), [(acme(), "as2.example.com"), (None, "drop.example.com")])
@pytest.mark.parametrize("kind", REFUSED)
def test_of_a_refused_message_nothing_inside_is_told(
    daemon: Daemon, kind: str, issued: Issued | None, host: str
) -> None:
    """What a self-test says is what a route says, octet for octet but for ids and dates."""
    entity, reason = REFUSED[kind]
    sent = message(f"<{kind}@acme.example>".replace(" ", "-"), entity)
    found = report(daemon, sent, issued, host)
    assert (found["verdict"], found["reason"]) == ("refused", reason)
    assert [found[each] for each in INSIDE] == [None] * len(INSIDE)
    text, ordinary = post(daemon, sent, issued, host), routed(daemon, sent, issued, host)
    assert (text.status, text.reason) == (ordinary.status, ordinary.reason) == (200, reason)
    assert disposition(text, sent) == disposition(ordinary, sent) == disposition(mdn_of(found), sent)
    assert explanation(text) == explanation(ordinary) == explanation(mdn_of(found))


def routed(daemon: Daemon, sent: Sent, issued: Issued | None, host: str) -> Answer:
    with opened(daemon.address, issued, sni=host) as client:
        return client.request(request(fields=sent.fields, body=sent.body, host=host))


def explanation(answer: Answer) -> bytes:
    """The words of an MDN for people, without our reference."""
    return answer.body.split(b"The AS2 message ", 1)[1].split(b"Reference: ", 1)[0]


def test_of_a_message_without_a_signature_nothing_inside_is_told_even_where_it_is_accepted(daemon: Daemon) -> None:
    sent = message("<loose@x.example>", layered("E", payload=SECRET), as2_from="LOOSE")
    found = report(daemon, sent, globex())
    assert found["verdict"] == "accepted"
    assert [found[each] for each in INSIDE] == [None] * len(INSIDE)
    assert any("not signed" in each for each in found["remarks"])
    answer = post(daemon, sent, globex())
    assert disposition(answer, sent) == "processed"
    assert b"EDIFACT" not in explanation(answer)


@pytest.mark.parametrize(("layers", "profiles"), [("", {"rfc", "openas2"}), ("c", {"rfc", "with-headers"})])
def test_of_a_message_in_the_clear_every_mic_is_told_with_its_profile(
    daemon: Daemon, layers: str, profiles: set[str]
) -> None:
    sent = message(f"<clear-{layers}@x.example>", layered(layers), as2_from="LOOSE")
    found = report(daemon, sent, globex())
    (ours,) = (each for each in found["mics"] if each["ours"])
    assert set(ours["profiles"]) == profiles
    assert found["mic"].startswith(ours["value"])
    document = base64.b64encode(hashlib.sha1(EDI, usedforsecurity=False).digest()).decode()
    (mendelson,) = (each for each in found["mics"] if each["value"] == document)
    assert "mendelson" in mendelson["profiles"]
    assert f"{document} {mendelson['what']}, raw, sha1 (mic_profile ".encode() in post(daemon, sent, globex()).body


def test_an_asynchronous_mdn_is_in_the_answer_and_goes_nowhere(daemon: Daemon) -> None:
    for entity in (layered(), REFUSED["not signed"][0]):
        sent = message("<async@acme.example>", entity)
        sent = with_fields(sent, Receipt_Delivery_Option="https://edi.acme.example/mdn")
        receipt(post(daemon, sent, acme()), sent)
        assert "https://edi.acme.example/mdn" in " ".join(report(daemon, sent, acme())["remarks"])
    denied = with_fields(sent, Receipt_Delivery_Option="https://elsewhere.example/")
    assert (post(daemon, denied, acme()).status, post(daemon, denied, acme()).reason) == (403, "mdn_target_denied")


def test_without_a_request_for_an_mdn_there_is_the_report_alone(daemon: Daemon) -> None:
    sent = with_fields(message("<no@acme.example>"), **{"Disposition-Notification-To": None})
    answer = post(daemon, sent, acme())
    assert (answer.status, answer.get("Content-Type")) == (200, "text/plain; charset=us-ascii")
    assert b"Layer 1: encrypted" in answer.body
    assert report(daemon, sent, acme())["mdn"] is None
    refused = with_fields(message("<no@acme.example>", layered("E")), **{"Disposition-Notification-To": None})
    assert (post(daemon, refused, acme()).status, post(daemon, refused, acme()).reason) == (400, "as2_decrypt_failed")


def test_the_oddities_of_the_header_are_listed(daemon: Daemon) -> None:
    sent = with_fields(message("odd id", as2_from='"ACME"'), AS2_Version=None, Mime_Version=None)
    said = " ".join(report(daemon, sent, acme())["oddities"])
    for word in ("AS2-Version is missing", "Message-ID is not of the form", "As2-From: quotes are not needed"):
        assert word in said


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"AS2-From": "NOBODY"}, 403, "as2_from_mismatch_cert"),
        ({"AS2-From": "GLOBEX"}, 403, "as2_from_mismatch_cert"),
        ({"AS2-To": "NOBODY"}, 200, "as2_to_unknown"),
        ({"AS2-To": None}, 400, "as2_header_missing"),
        ({"Content-Encoding": "gzip"}, 415, "content_coding_unsupported"),
    ],
)
def test_what_a_route_refuses_by_the_header_is_refused_here(
    daemon: Daemon, fields: dict[str, str | None], status: int, reason: str
) -> None:
    answer = post(daemon, with_fields(message("<header@acme.example>"), **fields), acme())
    assert (answer.status, answer.reason) == (status, reason)


def test_a_stranger_and_other_methods_are_refused(daemon: Daemon) -> None:
    sent = message("<stranger@acme.example>")
    assert post(daemon, sent).reason == "client_cert_missing"
    with opened(daemon.address, acme()) as client:
        assert client.request(request("HEAD", PATH), head=True).status == 200
        answer = client.request(request("GET", PATH, length=False))
        assert (answer.status, answer.get("Allow")) == (405, "POST, HEAD")


def test_failures_count_like_those_of_messages(tmp_path: Path) -> None:
    tree = Tree(tmp_path, limits="max_failures_per_hour = 3")
    with running(tree) as daemon:
        bad, good = message("<bad@acme.example>", layered("E")), message("<good@acme.example>")
        for _ in range(2):
            assert post(daemon, bad, acme()).reason == "as2_decrypt_failed"
        assert send(daemon, bad).reason == "as2_decrypt_failed"
        for answer in (
            post(daemon, bad, acme()),
            post(daemon, good, acme(), Accept="application/json"),
            send(daemon, good),
        ):
            assert (answer.status, answer.reason, answer.get("Retry-After")) == (503, "spike_arrested", "60")


def test_the_test_partner_may_send_there(daemon: Daemon, tmp_path: Path) -> None:
    Issued(keys("ACME").certificate, keys("ACME").private_key).write(tmp_path, "as2.pem", "as2.key")  # type: ignore[arg-type]
    acme().write(tmp_path, "tls.pem", "tls.key")
    (tmp_path / "example.pem").write_bytes(pki.pem_of(keys("EXAMPLE").certificate))
    (tmp_path / "order.edi").write_bytes(EDI)
    host, port = daemon.address
    options = "--as2-from ACME --as2-to EXAMPLE --cert tls.pem --key tls.key --sign-cert as2.pem --sign-key as2.key"
    url = f"https://as2.example.com:{port}{PATH}"
    trust = f"--encrypt-to example.pem --ca {daemon.tree.certs}/hosts/as2.example.com/chain.pem --resolve {host}"
    command = [sys.executable, "-m", "mtlsd", "send", url, "order.edi", *options.split(), *trust.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MIC          equal" in done.stdout


def test_it_can_be_switched_off_and_has_the_limits_of_a_body(tmp_path: Path) -> None:
    tree = Tree(tmp_path, limits="max_body_bytes = 100_000", hosts={"as2.example.com": "required"})
    with running(tree) as daemon:
        large = message("<large@acme.example>", messages.entity(b"x" * 200_000))
        assert post(daemon, large, acme()).reason == "body_too_large"
        text = tree.configuration.read_text()
        tree.configuration.write_text(text.replace("[[virtualhost]]", "[[virtualhost]]\nselftest = false", 1))
        daemon.reload()
        assert post(daemon, message("<off@acme.example>"), acme()).reason == "no_route"
