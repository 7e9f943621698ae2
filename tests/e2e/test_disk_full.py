"""A disk that is full, or read-only: a clear answer, nothing is acknowledged, and nothing that was is lost."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support.admin import failing, get
from tests.support.client import opened, request
from tests.support.daemon import Daemon, Tree, acme, running, spooled
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, send

LARGE = os.urandom(3 << 20)


def small_files() -> None:
    """No file of the daemon's may grow beyond 2 MiB; what a full disk says, this says too."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))


def test_k18_a_document_that_does_not_fit_is_refused_and_can_be_sent_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with backends.running() as backend:
        tree = Tree(tmp_path_factory.mktemp("full"), backend.url)
        large = message("<k18@acme.example>", layered("sE", LARGE, content_type="application/octet-stream"))
        small = message("<k18-small@acme.example>")
        with running(tree, preexec=small_files) as daemon:
            answer = send(daemon, large)
            assert (answer.status, answer.get("Retry-After")) == (503, "60")
            assert answer.reason in ("spool_full", "journal_unavailable")
            assert answer.get("AS2-From") is None
            assert kept(tree, "<k18@acme.example>") is None
            assert not spooled(tree, "tmp")
            assert disposition(send(daemon, small), small) == "processed"
            line = daemon.wait_for("exchange_finished", message_id="<k18@acme.example>")
            assert line["level"] == "error"
        with running(tree) as daemon:
            assert disposition(send(daemon, large), large) == "processed"
            assert backend.wait_for("<k18@acme.example>").body == LARGE


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Put a file in a directory's place, which stops even root from writing into it."""
    away = path.rename(path.with_suffix(".away"))
    path.touch()
    try:
        yield
    finally:
        path.unlink()
        away.rename(path)


def test_a_spool_that_cannot_be_written_answers_503_until_it_can(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("lost"))
    sent = message("<lost@acme.example>", layered(payload=EDI * 2000))
    with running(tree) as daemon:
        with unwritable(tree.state / "spool"):
            answer = send(daemon, sent)
            assert (answer.status, answer.reason) == (503, "journal_unavailable")
            assert str(tree.root).encode() not in answer.raw
        assert kept(tree, "<lost@acme.example>") is None
        assert disposition(send(daemon, sent), sent) == "processed"


@pytest.mark.parametrize(
    ("route", "last"),
    [("", "delivery_finished"), ('mdn = "delivered"', "exchange_finished")],
    ids=["accepted", "delivered"],
)
def test_a_journal_that_is_locked_leaves_no_files(
    tmp_path_factory: pytest.TempPathFactory, route: str, last: str
) -> None:
    """Each copy that is refused would add some."""
    with backends.running() as backend:
        tree = Tree(tmp_path_factory.mktemp("locked"), backend.url, route=route)
        sent = message("<locked@acme.example>", layered("sE", LARGE))
        with running(tree) as daemon:
            send(daemon, message("<before@acme.example>"))
            daemon.wait_for(last, message_id="<before@acme.example>")  # and nothing is left to write
            with closing(sqlite3.connect(tree.state / "journal.sqlite", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # so that nobody else can write
                answer = send(daemon, sent)
            assert (answer.status, answer.reason) == (503, "journal_unavailable")
            assert not spooled(tree)
            assert disposition(send(daemon, sent), sent) == "processed"
            assert len(spooled(tree)) == 3


def test_the_answer_is_read_although_the_document_was_not_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    sent = message("<read@acme.example>", layered("sE", LARGE * 3, content_type="application/octet-stream"))
    with running(Tree(tmp_path_factory.mktemp("full")), preexec=small_files) as daemon:
        for _ in range(5):
            with opened(daemon.address, acme()) as client:
                answer = client.request(request(fields=sent.fields, body=sent.body))
                assert answer.status == 503


PLENTY = 1 << 50  # more than any disk has free


@pytest.mark.parametrize("expect", [True, False])
def test_above_the_high_watermark_nothing_is_taken_and_the_body_never_comes(
    tmp_path_factory: pytest.TempPathFactory, expect: bool
) -> None:
    tree = Tree(tmp_path_factory.mktemp("high"), limits=f"disk_stop_bytes = {PLENTY}")
    sent = message("<high@acme.example>")
    fields = (*sent.fields, ("Expect", "100-continue")) if expect else sent.fields
    with running(tree) as daemon:
        with opened(daemon.address, acme()) as client:
            head = request(fields=(*fields, ("Content-Length", str(len(sent.body)))), length=False)
            answer = client.request(head)  # and nothing of the body
        assert (answer.status, answer.reason, answer.get("Retry-After")) == (503, "spool_full", "60")
        assert daemon.wait_for("exchange_finished", message_id="<high@acme.example>")["level"] == "error"
        assert kept(tree, "<high@acme.example>") is None
        with opened(daemon.address, acme()) as client:
            assert client.request(request("HEAD", length=False), head=True).status == 200  # products probe
        assert get(tree, "/readyz").status == 503
        tree.limits = ""
        tree.configure()
        daemon.reload()
        assert disposition(send(daemon, sent), sent) == "processed"


def test_a_body_is_given_up_where_the_disk_fills_meanwhile(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("meanwhile"))
    sent = message("<meanwhile@acme.example>", layered("sE", LARGE, content_type="application/octet-stream"))
    with running(tree) as daemon, opened(daemon.address, acme()) as client:
        whole = request(fields=sent.fields, body=sent.body)
        client.send(whole[: 1 << 20])
        tree.limits = f"disk_stop_bytes = {PLENTY}"
        tree.configure()
        daemon.reload()
        client.send(whole[1 << 20 :])
        answer = client.answer()
        assert (answer.status, answer.reason) == (503, "spool_full")
        assert not spooled(tree, "tmp")


def test_a_body_that_would_not_leave_enough_is_refused_by_its_length(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tree = Tree(tmp_path_factory.mktemp("length"), limits=f"max_body_bytes = {1 << 40}\ndisk_stop_bytes = 1")
    sent = message("<length@acme.example>")
    with running(tree) as daemon, opened(daemon.address, acme()) as client:
        fields = (*sent.fields, ("Expect", "100-continue"), ("Content-Length", str(1 << 40)))
        answer = client.request(request(fields=fields, length=False))
        assert (answer.status, answer.reason) == (503, "spool_full")


def test_below_the_low_watermark_messages_are_taken_and_the_load_balancer_is_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tree = Tree(tmp_path_factory.mktemp("low"), limits=f"disk_warn_bytes = {PLENTY}")
    sent = message("<low@acme.example>")
    with running(tree) as daemon:
        assert daemon.wait_for("disk_low")["level"] == "warning"
        answer = get(tree, "/readyz")
        assert (answer.status, failing(answer)) == (503, ["disk"])
        assert get(tree, "/healthz").status == 200
        assert disposition(send(daemon, sent), sent) == "processed"


def test_a_state_directory_that_cannot_be_written_is_said_at_the_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tree = Tree(tmp_path_factory.mktemp("read-only"))
    tree.state.write_text("not a directory")
    daemon = Daemon(tree)
    assert daemon.wait() in (1, 78)
    assert any("state" in str(line) for line in daemon.log), daemon.log
    assert not [line for line in daemon.log if "Traceback" in str(line)], daemon.log
