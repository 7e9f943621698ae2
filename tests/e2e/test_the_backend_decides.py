"""`mdn = "delivered"`: no MDN before the backend's 2xx, and nothing is remembered of a message that it did not take."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support.backend import CLOSE, STALL, Backend
from tests.support.daemon import Daemon, Tree, acme, running, spooled
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, send, with_fields
from tests.support.site import mtlsd

LARGE = EDI * 20_000  # the documents are in the spool


@pytest.fixture(scope="module")
def own() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, own: Backend) -> Iterator[Daemon]:
    tree = Tree(
        tmp_path_factory.mktemp("delivered"), own.url, route='mdn = "delivered"', delivery="timeout_seconds = 1"
    )
    tree.add("acme", "ACME", acme(), f'mdn_urls = ["{own.origin}/"]')
    with running(tree) as running_daemon:
        yield running_daemon


@pytest.mark.parametrize("payload", [EDI, LARGE], ids=["small", "large"])
def test_the_mdn_comes_once_the_backend_has_the_document(daemon: Daemon, own: Backend, payload: bytes) -> None:
    sent = message(message_id := f"<taken-{len(payload)}@acme.example>", layered(payload=payload))
    assert disposition(send(daemon, sent), sent) == "processed"
    delivered = own.requests.get_nowait()  # it was there before the answer
    assert (delivered.body, delivered.get("Mtlsd-Message-Id")) == (payload, message_id)
    found = kept(daemon.tree, message_id)
    assert found
    assert (found.state, found.deliveries, found.attempts) == ("delivered", 1, 1)


@pytest.mark.parametrize("payload", [EDI, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("status", [500, 503, 404, 302, CLOSE, STALL])
def test_k17_a_backend_that_does_not_take_it(daemon: Daemon, own: Backend, status: int, payload: bytes) -> None:
    sent = message(message_id := f"<k17-{status}-{len(payload)}@acme.example>", layered(payload=payload))
    own.statuses = [status]
    answer = send(daemon, sent)
    assert (answer.status, answer.reason) == (503, "upstream_unavailable")
    assert answer.get("Retry-After")
    assert not answer.get("AS2-From")
    assert kept(daemon.tree, message_id) is None
    own.wait()
    assert disposition(send(daemon, sent), sent) == "processed"
    assert own.wait().body == payload


@pytest.mark.parametrize("sloppy", [b"Server : IIS\r\n\r\n", b"Content-Length: 9\r\n\r\nok", b"nonsense\r\n\r\n"])
def test_a_2xx_is_a_2xx_whatever_follows(daemon: Daemon, own: Backend, sloppy: bytes) -> None:
    sent = message(message_id := f"<sloppy-{len(sloppy)}@acme.example>")
    own.sloppy = b"HTTP/1.1 200 OK\r\n" + sloppy
    try:
        assert disposition(send(daemon, sent), sent) == "processed"
        own.wait()
    finally:
        own.sloppy = b""
    found = kept(daemon.tree, message_id)
    assert found
    assert (found.state, found.attempts) == ("delivered", 1)
    warnings = [line for line in daemon.log if line["event"] == "answer_malformed"]
    assert len(warnings) == 1  # once for this backend
    assert (warnings[0]["status"], warnings[0]["backend"]) == (200, own.url.partition("?")[0])


def test_the_words_of_a_backend_are_kept_with_the_attempt(tmp_path: Path, own: Backend) -> None:
    sent = message(message_id := "<words@acme.example>")
    own.sloppy = b"HTTP/1.1 422 X\r\nContent-Length: 29\r\n\r\norder 4711:\r\n unknown \x1b[31m!!"
    try:
        with running(Tree(tmp_path, own.url)) as daemon:
            assert disposition(send(daemon, sent), sent) == "processed"
            line = daemon.wait_for("delivery_finished", state="failed")
            configuration = ["--config", str(daemon.tree.configuration)]
            shown = mtlsd("journal", "show", message_id, *configuration)
            as_json = json.loads(mtlsd("journal", "show", message_id, "--json", *configuration).stdout)
            verified = mtlsd("journal", "verify", *configuration)
    finally:
        own.sloppy = b""
        own.wait()
    words = "order 4711: unknown \\x1b[31m!!"
    assert (line["status"], line["detail"]) == (422, words)
    assert f"422 upstream_rejected {words}" in shown.stdout
    assert words in json.dumps(as_json, ensure_ascii=False).replace("\\\\", "\\")
    assert verified.exit_code in (0, 1), verified.output
    assert "altered" not in verified.stdout


def test_k17_nothing_stays_in_the_spool(tmp_path: Path) -> None:
    with running(Tree(tmp_path, route='mdn = "delivered"')) as daemon:
        assert send(daemon, message("<nobody@acme.example>", layered(payload=LARGE))).status == 503
        assert not spooled(daemon.tree)
        line = daemon.wait_for("exchange_finished", reason="upstream_unavailable")
        assert "upstream_unreachable" in line["detail"]


def test_a_receipt_that_is_asked_for_late_is_made_once_and_kept(daemon: Daemon, own: Backend) -> None:
    entity = layered()
    silent, asking = (message("<late@acme.example>", entity, mdn=mdn) for mdn in (None, ""))
    assert send(daemon, silent).body == b""
    own.wait()
    answers = {send(daemon, asking).body for _ in range(2)}
    found = kept(daemon.tree, "<late@acme.example>")
    assert found
    assert found.message.mdn
    assert answers == {found.message.mdn.body}
    other = message("<late@acme.example>", layered(payload=LARGE), mdn=None)
    assert send(daemon, other).reason == "as2_duplicate_other_content"
    assert own.requests.empty()


def test_r05_copies_at_the_same_time_reach_the_backend_once(daemon: Daemon, own: Backend) -> None:
    sent = message("<copies@acme.example>")
    before = own.count
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: send(daemon, sent), range(8)))
    assert {answer.body for answer in answers} == {answers[0].body}
    assert disposition(answers[0], sent) == "processed"
    assert own.count == before + 1
    own.wait()


def test_what_becomes_of_the_first_copy_is_for_all_that_wait(daemon: Daemon, own: Backend) -> None:
    """And one that comes later is a first attempt."""
    sent = message("<one-fails@acme.example>")
    before, own.statuses = own.count, [STALL]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: send(daemon, sent), range(4)))
    assert {(answer.status, answer.reason) for answer in answers} == {(503, "upstream_unavailable")}
    assert own.count == before + 1
    assert disposition(send(daemon, sent), sent) == "processed"
    own.wait(), own.wait()


def test_of_too_many_copies_the_last_are_refused_at_once(daemon: Daemon, own: Backend) -> None:
    sent = message("<many-copies@acme.example>")
    before, own.statuses = own.count, [STALL]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: send(daemon, sent), range(12)))
    assert {answer.status for answer in answers} == {503}
    line = daemon.wait_for("exchange_finished", detail="8 copies of the message wait for the backend")
    assert line["duration_ms"] < 900
    assert own.count == before + 1
    own.wait()


def test_a_stalled_backend_holds_only_so_many_exchanges_of_its_route(tmp_path: Path) -> None:
    with backends.running() as slow:
        slow.statuses = [STALL] * 3
        tree = Tree(tmp_path, slow.url, "max_forwarded_per_route = 3", "timeout_seconds = 2", 'mdn = "delivered"')
        with running(tree) as daemon:
            sent = [message(f"<{number}@acme.example>") for number in range(8)]
            with ThreadPoolExecutor(8) as threads:
                answers = list(threads.map(lambda each: send(daemon, each), sent))
            assert {(answer.status, answer.get("Retry-After")) for answer in answers} == {(503, "60")}
            assert slow.count == 3
            refused = [line for line in daemon.log if "max_forwarded_per_route" in line.get("detail", "")]
            assert len(refused) == 5
            assert all(line["duration_ms"] < 1500 for line in refused)
            assert disposition(send(daemon, sent[0]), sent[0]) == "processed"


def test_other_content_under_a_known_id_never_reaches_the_backend(daemon: Daemon, own: Backend) -> None:
    send(daemon, message("<other@acme.example>"))
    own.wait()
    before, other = own.count, message("<other@acme.example>", layered(payload=EDI + b"more"))
    assert disposition(send(daemon, other), other) == "processed/error: duplicate-document"
    assert own.count == before


def test_an_asynchronous_mdn_waits_for_the_backend_too(daemon: Daemon, own: Backend) -> None:
    sent = with_fields(message("<async@acme.example>"), Receipt_Delivery_Option=f"{own.origin}/mdn")
    own.statuses = [500]
    assert send(daemon, sent).status == 503
    answer = send(daemon, sent)
    assert (answer.status, answer.body) == (200, b"")
    assert [own.wait().line.split()[1] for _ in range(3)] == ["/inbound?from=mtlsd", "/inbound?from=mtlsd", "/mdn"]


def test_a_refused_message_never_reaches_the_backend(daemon: Daemon, own: Backend) -> None:
    before, sent = own.count, message("<refused@acme.example>", layered("s"))
    assert disposition(send(daemon, sent), sent) == "processed/error: insufficient-message-security"
    assert own.count == before


def test_after_a_restart_the_same_message_gets_the_same_mdn(tmp_path: Path, own: Backend) -> None:
    tree = Tree(tmp_path, own.url, route='mdn = "delivered"')
    sent = message("<restart@acme.example>")
    with running(tree) as daemon:
        first = send(daemon, sent)
    before = own.count
    with running(tree) as daemon:
        assert send(daemon, sent).body == first.body
    assert own.count == before
    own.wait()
