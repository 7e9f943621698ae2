"""An MDN that is asked for asynchronously is promised with the answer, and is sent whatever happens then."""

import json
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import backend as backends
from tests.support import messages, pki
from tests.support.backend import Backend, Delivered
from tests.support.client import Answer, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, keys, running
from tests.support.messages import EDI, Sent
from tests.support.partner import disposition, kept, layered, message, send, with_fields
from tests.support.pki import CLIENT, SERVER, Issued
from tests.support.site import mtlsd, mtlsd_json


@pytest.fixture(scope="module")
def receiver() -> Iterator[Backend]:
    """ACME's receiver of MDNs."""
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, receiver: Backend, backend: Backend) -> Iterator[Daemon]:
    with running(listing(Tree(tmp_path_factory.mktemp("async"), backend.url), receiver.origin)) as running_daemon:
        yield running_daemon


def listing(tree: Tree, *prefixes: str) -> Tree:
    """ACME may have its MDNs there."""
    tree.add("acme", "ACME", acme(), f"mdn_urls = {json.dumps(prefixes)}")
    return tree


def wanting(target: str, message_id: str, entity: bytes | None = None, **options: str) -> Sent:
    """A message that asks for its MDN there."""
    return with_fields(message(message_id, entity, **options), Receipt_Delivery_Option=target)


def acknowledged(answer: Answer) -> bool:
    """Whether it is the empty answer, which is all that is said on this connection."""
    has_mdn = answer.get("AS2-From") or answer.get("Content-Type") or answer.get("Message-ID")
    empty = answer.status == 200 and answer.body == b"" and answer.get("Content-Length") == "0"
    return empty and not has_mdn and answer.closes


def said(delivered: Delivered, sent: Sent, *, signed: bool = True) -> str:
    """The disposition of an MDN that was posted, after all that holds for every MDN."""
    assert delivered.line.startswith("POST ")
    assert not delivered.all("Authorization")
    assert not [name for name, _ in delivered.fields if name.lower().startswith("mtlsd-")]
    return disposition(Answer(b"", 200, delivered.fields, delivered.body), sent, signed=signed)


def until_sent(daemon: Daemon, message_id: str, **facts: object) -> dict[str, object]:
    return daemon.wait_for("delivery_finished", kind="mdn", message_id=message_id, **facts)


# --- The answer and the MDN -----------------------------------------------------------------------------------


def test_r09_the_answer_is_empty_and_the_mdn_comes_on_a_connection_of_its_own(
    daemon: Daemon, receiver: Backend, backend: Backend
) -> None:
    sent = wanting(f"{receiver.origin}/mdn?id=1", "<r09@acme.example>")
    assert acknowledged(send(daemon, sent))
    found = kept(daemon.tree, "<r09@acme.example>")  # and so it is on disk before the answer
    assert found
    assert found.deliveries == 2
    delivered = receiver.wait()
    assert delivered.line == "POST /mdn?id=1 HTTP/1.1"
    assert said(delivered, sent) == "processed"
    assert found.message.mdn
    assert delivered.body == found.message.mdn.body
    assert [each for each in delivered.fields if each in found.message.mdn.headers] == [*found.message.mdn.headers]
    assert until_sent(daemon, "<r09@acme.example>")["state"] == "delivered"
    assert backend.wait_for("<r09@acme.example>").body == EDI


def test_r09_the_mdn_comes_although_the_backend_is_down(tmp_path: Path, receiver: Backend) -> None:
    with running(listing(Tree(tmp_path), receiver.origin)) as daemon:
        sent = wanting(receiver.url, "<r09-down@acme.example>")
        assert acknowledged(send(daemon, sent))
        assert said(receiver.wait(), sent) == "processed"


def test_an_unsigned_mdn_is_sent_too(daemon: Daemon, receiver: Backend) -> None:
    sent = wanting(receiver.url, "<unsigned@acme.example>", mdn="")
    assert acknowledged(send(daemon, sent))
    assert said(receiver.wait(), sent, signed=False) == "processed"


def test_a_target_without_a_request_for_an_mdn_asks_for_none(daemon: Daemon, backend: Backend) -> None:
    sent = wanting("http://127.0.0.1:9/", "<no-request@acme.example>", mdn=None)  # type: ignore[arg-type]
    assert (send(daemon, sent).status, backend.wait_for("<no-request@acme.example>").body) == (200, EDI)
    found = kept(daemon.tree, "<no-request@acme.example>")
    assert found
    assert (found.deliveries, found.message.mdn) == (1, None)


@pytest.mark.parametrize(("settings", "status"), [("async_ack = 202", 202), ('as2_version = "1.3"', 204)])
def test_a_partner_has_a_status_of_its_own_for_the_empty_answer(
    tmp_path: Path, receiver: Backend, backend: Backend, settings: str, status: int
) -> None:
    tree = Tree(tmp_path, backend.url)
    tree.add("acme", "ACME", acme(), f"mdn_urls = {json.dumps([receiver.origin])}\n{settings}")
    with running(tree) as daemon:
        good = wanting(receiver.url, f"<ack{status}@acme.example>")
        bad = wanting(receiver.url, f"<refused{status}@acme.example>", layered("s"))
        answers = [send(daemon, good), send(daemon, bad), send(daemon, good)]
        assert [(answer.status, answer.body) for answer in answers] == [(status, b"")] * 3
        assert {answer.get("Content-Length") for answer in answers} == ({None} if status == 204 else {"0"})
        mdns = [receiver.wait() for _ in range(2)]  # the duplicate's is the one that was still to be sent
    version, product = ("1.3", True) if status == 204 else ("1.2", False)
    assert {mdn.get("AS2-Version") for mdn in mdns} == {version}
    assert {mdn.get("AS2-Product") is not None for mdn in mdns} == {product}


def test_who_asked_for_no_mdn_at_first_gets_one_when_it_asks(
    daemon: Daemon, receiver: Backend, backend: Backend
) -> None:
    entity = layered()
    silent = message("<late@acme.example>", entity, mdn=None)
    assert (send(daemon, silent).status, backend.wait_for("<late@acme.example>").body) == (200, EDI)
    asking = message("<late@acme.example>", entity)
    first, second = send(daemon, asking), send(daemon, asking)
    assert disposition(first, asking) == "processed"
    assert first.body == second.body
    later = wanting(receiver.url, "<late@acme.example>", entity)
    assert acknowledged(send(daemon, later))
    assert receiver.wait().body == first.body
    assert send(daemon, asking).body == first.body


# --- A target that does not answer as it should ---------------------------------------------------------------


def test_r07_a_target_that_fails_is_tried_again_the_same(daemon: Daemon, receiver: Backend) -> None:
    receiver.statuses = [500, 500, 500]
    sent = wanting(receiver.url, "<r07@acme.example>")
    assert acknowledged(send(daemon, sent))
    attempts = [receiver.wait() for _ in range(4)]
    assert all(each == attempts[0] for each in attempts)
    assert said(attempts[0], sent) == "processed"
    reasons = [until_sent(daemon, "<r07@acme.example>").get("reason") for _ in range(4)]
    assert reasons == ["upstream_5xx", "upstream_5xx", "upstream_5xx", None]


def test_r08_a_target_that_never_answers_is_given_up_and_said(tmp_path: Path, backend: Backend) -> None:
    with backends.running() as late:
        late.stop()
        tree = listing(Tree(tmp_path, backend.url, delivery="give_up_after_seconds = 2"), late.origin)
        sent = wanting(late.url, "<r08@acme.example>")
        with running(tree) as daemon:
            assert acknowledged(send(daemon, sent))
            line = until_sent(daemon, "<r08@acme.example>", state="failed")
            assert (line["level"], line["reason"]) == ("error", "upstream_unreachable")
        late.start()
        retried = mtlsd("journal", "replay", "<r08@acme.example>", "--config", tree.configuration)
        assert (retried.exit_code, f"{late.origin}/inbound is due" in retried.stdout) == (0, True)
        with running(tree) as daemon:
            assert said(late.wait(), sent) == "processed"
            until_sent(daemon, "<r08@acme.example>", state="delivered")


@pytest.mark.parametrize("status", [200, 202, 204])
def test_r10_every_2xx_is_success(daemon: Daemon, receiver: Backend, status: int) -> None:
    receiver.statuses = [status]
    sent = wanting(receiver.url, f"<r10-{status}@acme.example>")
    assert acknowledged(send(daemon, sent))
    assert said(receiver.wait(), sent) == "processed"
    line = until_sent(daemon, f"<r10-{status}@acme.example>")
    assert (line["state"], line["status"]) == ("delivered", status)


class Hesitant(Backend):
    """Says first that it works on it, then answers in pieces, with more octets than it announced, and just hangs up."""

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            self.requests.put(backends._read(stream))
        for piece in (b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok\r\n"):
            connection.sendall(piece)
        self.count += 1
        connection.close()


def test_row_a_target_that_answers_late_in_pieces_and_too_much(tmp_path: Path, backend: Backend) -> None:
    hesitant = Hesitant()
    with running(listing(Tree(tmp_path, backend.url), hesitant.origin)) as daemon:
        sent = wanting(hesitant.url, "<hesitant@acme.example>")
        assert acknowledged(send(daemon, sent))
        line = until_sent(daemon, "<hesitant@acme.example>")
        assert (line["state"], line["status"], hesitant.count) == ("delivered", 200, 1)
    hesitant.stop()


# --- Where it may go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["?id=a%20b&to=x;y", f"/{'p' * 150}?{'q' * 150}", "", "/", "?"])
def test_r11_targets_are_used_as_they_are_spelled(daemon: Daemon, receiver: Backend, rest: str) -> None:
    sent = wanting(receiver.origin + rest, f"<r11-{rest[:5]}@acme.example>")
    assert acknowledged(send(daemon, sent))
    delivered = receiver.wait()
    assert delivered.line == f"POST {rest if rest.startswith('/') else f'/{rest}'} HTTP/1.1"
    assert delivered.get("Host") == f"127.0.0.1:{receiver.address[1]}"
    assert said(delivered, sent) == "processed"


def test_r11_an_ipv6_address(tmp_path: Path, backend: Backend) -> None:
    with (
        backends.running("::1") as receiver,
        running(listing(Tree(tmp_path, backend.url), f"http://[0:0::1]:{receiver.address[1]}/in")) as daemon,
    ):
        sent = wanting(receiver.url, "<r11-ipv6@acme.example>")
        assert (send(daemon, sent).status, receiver.count) == (403, 0)
        sent = wanting(f"{receiver.origin}/in/mdn", "<r11-ipv6@acme.example>")
        assert acknowledged(send(daemon, sent))
        assert said(receiver.wait(), sent) == "processed"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9/",
        "http://127.0.0.2:{port}/",
        "http://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "http://user:secret@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}@169.254.169.254/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:{port}/",
        "http://127.0.0.1:{port}/../x",
        "http://127.0.0.1:{port}/mdn/..;/x",
        "http://127.0.0.1:{port}/mdn/%252e%252e/x",
        "http://127.0.0.1:{port}/mdn/.%00./x",
        "mailto:edi@acme.example",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/",
        "127.0.0.1:{port}",
    ],
)
def test_r12_a_target_that_is_not_listed_is_refused_before_the_body(
    daemon: Daemon, receiver: Backend, target: str
) -> None:
    sent = wanting(target.format(port=receiver.address[1]), "<r12@acme.example>")
    with opened(daemon.address, acme()) as client:
        whole = request(fields=(*sent.fields, ("Expect", "100-continue")), body=sent.body)
        answer = client.request(whole[: -len(sent.body)])
    assert (answer.status, answer.reason) == (403, "mdn_target_denied")
    assert kept(daemon.tree, "<r12@acme.example>") is None


def test_r12_a_partner_may_use_only_its_own_list(daemon: Daemon, receiver: Backend) -> None:
    sent = wanting(receiver.url, "<r12-globex@acme.example>", as2_from="NOBODY")
    with opened(daemon.address, sni="maybe.example.com") as client:
        answer = client.request(request(fields=sent.fields, body=sent.body, host="maybe.example.com"))
    assert (answer.status, answer.reason) == (403, "as2_from_unknown")


def test_r12_a_redirect_is_not_followed(daemon: Daemon, receiver: Backend) -> None:
    with backends.running() as inside:
        receiver.statuses, receiver.location = [302], inside.url
        sent = wanting(receiver.url, "<r12-redirect@acme.example>")
        assert acknowledged(send(daemon, sent))
        line = until_sent(daemon, "<r12-redirect@acme.example>")
        receiver.location = None
        assert (line["state"], line["reason"], line["status"]) == ("failed", "upstream_rejected", 302)
        assert (receiver.wait().line.startswith("POST "), inside.count) == (True, 0)


# --- Refusals and duplicates ----------------------------------------------------------------------------------


def test_k01_a_refusal_is_told_asynchronously_and_its_correction_is_accepted(
    daemon: Daemon, receiver: Backend, backend: Backend
) -> None:
    changed = layered("s").replace(b"ORDERS:D:96A", b"ORDERS:D:97A")
    sent = wanting(receiver.url, "<k01-async@acme.example>", messages.encrypt(changed, keys("EXAMPLE")))
    for _ in range(2):  # a refused message may come again and again
        answer = send(daemon, sent)
        assert acknowledged(answer)
        assert answer.reason == "as2_signature_bad"
        assert said(receiver.wait(), sent) == "processed/error: integrity-check-failed"
    assert kept(daemon.tree, "<k01-async@acme.example>") is None
    corrected = wanting(receiver.url, "<k01-async@acme.example>")
    assert acknowledged(send(daemon, corrected))
    assert said(receiver.wait(), corrected) == "processed"
    assert backend.wait_for("<k01-async@acme.example>").body == EDI


def test_a_refusal_by_the_header_alone_is_told_asynchronously(daemon: Daemon, receiver: Backend) -> None:
    sent = wanting(receiver.url, "<to-nobody@acme.example>", as2_to="NOBODY")
    answer = send(daemon, sent)
    assert acknowledged(answer)
    assert answer.reason == "as2_to_unknown"
    assert said(receiver.wait(), sent, signed=False) == "processed/error: unknown-trading-relationship"


def test_a_duplicate_has_the_stored_mdn_sent_again_to_where_it_asks(daemon: Daemon, receiver: Backend) -> None:
    sent = wanting(f"{receiver.origin}/first", "<twice@acme.example>")
    assert acknowledged(send(daemon, sent))
    first = receiver.wait()
    assert acknowledged(send(daemon, with_fields(sent, Receipt_Delivery_Option=f"{receiver.origin}/second")))
    second = receiver.wait()
    assert [first.line, second.line] == ["POST /first HTTP/1.1", "POST /second HTTP/1.1"]
    assert (first.fields, first.body) == (second.fields, second.body)
    answer = send(daemon, with_fields(sent, Receipt_Delivery_Option=None))  # now in the answer
    assert answer.body == first.body
    denied = send(daemon, with_fields(sent, Receipt_Delivery_Option="http://127.0.0.1:9/"))
    assert denied.reason == "mdn_target_denied"
    shown = mtlsd_json("journal", "show", "<twice@acme.example>", "--config", daemon.tree.configuration)
    made = [(each["kind"], each["target"].rpartition("/")[2]) for each in shown["deliveries"]]
    assert made == [("backend", "inbound"), ("mdn", "first"), ("mdn", "second")]


def test_other_content_under_a_known_id_is_told_asynchronously(daemon: Daemon, receiver: Backend) -> None:
    sent = wanting(receiver.url, "<other-async@acme.example>")
    assert acknowledged(send(daemon, sent))
    assert said(receiver.wait(), sent) == "processed"
    other = wanting(receiver.url, "<other-async@acme.example>", layered(payload=EDI + b"more"))
    answer = send(daemon, other)
    assert (acknowledged(answer), answer.reason) == (True, "as2_duplicate_other_content")
    assert said(receiver.wait(), other) == "processed/error: duplicate-document"


# --- A promise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [False, True], ids=["accepted", "refused"])
def test_an_mdn_is_sent_after_a_kill_right_after_the_answer(tmp_path: Path, backend: Backend, refused: bool) -> None:
    with backends.running() as receiver:
        receiver.stop()  # so that nothing is sent before the kill
        tree = listing(Tree(tmp_path, backend.url), receiver.origin)
        sender = keys("STRANGER") if refused else None
        sent = wanting(receiver.url, "<kill-async@acme.example>", layered(sender=sender))
        daemon = Daemon(tree)
        daemon.wait_for("started")
        answer = send(daemon, sent)
        daemon.kill()
        assert acknowledged(answer)
        receiver.start()
        with running(tree) as again:
            expected = "processed/error: authentication-failed" if refused else "processed"
            assert said(receiver.wait(), sent) == expected
            until_sent(again, "<kill-async@acme.example>", state="delivered")
        assert receiver.count == 1


def test_a_refusal_whose_mdn_cannot_be_promised_is_not_acknowledged(daemon: Daemon, receiver: Backend) -> None:
    sent = wanting(receiver.url, "<no-promise@acme.example>", layered(sender=keys("STRANGER")))
    with closing(sqlite3.connect(daemon.tree.state / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # so that nobody else can write
        answer = send(daemon, sent)
    assert (answer.status, answer.reason, answer.get("Retry-After")) == (503, "journal_unavailable", "60")
    count = receiver.count
    assert acknowledged(send(daemon, sent))
    assert said(receiver.wait(), sent) == "processed/error: authentication-failed"
    assert receiver.count == count + 1


# --- https ----------------------------------------------------------------------------------------------------


def test_https_with_our_client_certificate_and_a_root_of_the_partner(tmp_path: Path, backend: Backend) -> None:
    tree = Tree(tmp_path, backend.url)
    ours = pki.issue("as2.example.com", eku=(SERVER, CLIENT), san=("dns:as2.example.com",), **LONG)
    ours.write(tree.certs / "hosts" / "as2.example.com")
    server = pki.issue("mdn.acme.example", issuer=acme().issuers[0], eku=(SERVER,), san=("ip:127.0.0.1",), **LONG)
    with (
        backends.running(tls=serving(server, clients=ours)) as receiver,
        running(listing(tree, receiver.origin)) as daemon,
    ):
        sent = wanting(receiver.url, "<https@acme.example>")
        assert acknowledged(send(daemon, sent))
        delivered = receiver.wait()
        assert said(delivered, sent) == "processed"
        assert delivered.certificate == ours.certificate.der
        until_sent(daemon, "<https@acme.example>", state="delivered")


@pytest.mark.parametrize("name", ["ip:127.0.0.1", "dns:other.example"])
def test_https_to_a_server_that_is_not_proven_sends_nothing(tmp_path: Path, backend: Backend, name: str) -> None:
    stranger = pki.root("Stranger's root", **LONG) if name.startswith("ip") else acme().issuers[0]
    server = pki.issue("mdn.acme.example", issuer=stranger, eku=(SERVER,), san=(name,), **LONG)
    with backends.running(tls=serving(server)) as receiver:
        with running(listing(Tree(tmp_path, backend.url), receiver.origin)) as daemon:
            assert acknowledged(send(daemon, wanting(receiver.url, "<unproven@acme.example>")))
            line = until_sent(daemon, "<unproven@acme.example>")
            assert (line["state"], line["reason"]) == ("pending", "upstream_tls")
            assert "the server's certificate is not trusted: " in str(line["detail"])
            assert "put its root into mdn/ of the partner's directory" in str(line["detail"])
        assert receiver.count == 0


@pytest.mark.parametrize("pin", [False, True], ids=["its root", "itself"])
def test_https_to_a_server_that_mdn_vouches_for_while_the_client_stays_pinned(
    tmp_path: Path, backend: Backend, pin: bool
) -> None:
    server = pki.issue("mdn", issuer=pki.root("MDN root", **LONG), eku=(SERVER,), san=("ip:127.0.0.1",), **LONG)
    with backends.running(tls=serving(server)) as receiver:
        tree = listing(Tree(tmp_path, backend.url), receiver.origin)
        folder = tree.certs / "partners" / "acme"
        for root in (folder / "tls").glob("issuer-*.pem"):
            root.unlink()
        (folder / "mdn").mkdir()
        (folder / "mdn" / "server.pem").write_bytes(server.pem if pin else server.issuers[0].pem)
        with running(tree) as daemon:
            sent = wanting(receiver.url, f"<mdn-roots-{pin}@acme.example>")
            assert acknowledged(send(daemon, sent))
            assert said(receiver.wait(), sent) == "processed"


def serving(server: Issued, clients: Issued | None = None) -> ssl.SSLContext:
    """What a TLS server needs; it asks for the certificate of `clients`, where they are given."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as name:
        pem = Path(name, "pair.pem")
        pem.write_bytes(server.chain_pem + server.key_pem)
        made.load_cert_chain(pem)
    if clients:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=clients.certificate.der)
    return made
