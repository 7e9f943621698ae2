"""A backend that is down, slow or angry: what was accepted is delivered later, once, or said to have failed."""

import pytest

from tests.support import backend as backends
from tests.support.backend import CLOSE, STALL
from tests.support.daemon import Tree, running
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, message, send


def test_k16_a_backend_that_is_down_gets_the_message_later_and_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        backend.stop()
        with running(Tree(tmp_path_factory.mktemp("dead"), backend.url)) as daemon:
            sent = message("<k16@acme.example>")
            assert disposition(send(daemon, sent), sent) == "processed"
            line = daemon.wait_for("delivery_finished", state="pending")
            assert (line["reason"], line["level"]) == ("upstream_unreachable", "warning")
            backend.start()
            delivered = backend.wait_for("<k16@acme.example>")
            line = daemon.wait_for("delivery_finished", state="delivered")
            assert line["message_id"] == "<k16@acme.example>"
        assert delivered.body == EDI
        assert backend.count == 1


def test_what_fails_for_a_while_is_tried_again_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        backend.statuses = [500, CLOSE, STALL]
        tree = Tree(tmp_path_factory.mktemp("angry"), backend.url, delivery="timeout_seconds = 1")
        with running(tree) as daemon:
            send(daemon, message("<retry@acme.example>"))
            reasons = [daemon.wait_for("delivery_finished")["reason"] for _ in range(3)]
            assert reasons == ["upstream_5xx", "upstream_unreachable", "upstream_timeout"]
            daemon.wait_for("delivery_finished", state="delivered")
            attempts = [backend.wait_for("<retry@acme.example>") for _ in range(4)]
        assert [each.get("Mtlsd-Attempt") for each in attempts] == ["1", "2", "3", "4"]
        assert all(each.without_number() == attempts[0].without_number() for each in attempts)
        found = kept(tree, "<retry@acme.example>")
        assert found
        assert (found.state, found.deliveries, found.attempts) == ("delivered", 1, 4)


def test_a_rejection_is_final_and_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        backend.statuses = [400]
        tree = Tree(tmp_path_factory.mktemp("no"), backend.url)
        with running(tree) as daemon:
            send(daemon, message("<no@acme.example>"))
            line = daemon.wait_for("delivery_finished", state="failed")
        assert (line["reason"], line["level"], line["status"]) == ("upstream_rejected", "error", 400)
        found = kept(tree, "<no@acme.example>")
        assert found
        assert found.state == "failed"


def test_a_message_that_is_too_old_fails_and_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("old"), delivery="give_up_after_seconds = 1")
    with running(tree) as daemon:
        sent = message("<old@acme.example>")
        assert disposition(send(daemon, sent), sent) == "processed"
        line = daemon.wait_for("delivery_finished", state="failed")
        assert (line["reason"], line["level"]) == ("upstream_unreachable", "error")
        assert line["message_id"] == "<old@acme.example>"


def test_a_backend_that_stalls_holds_nobody_else_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        backend.statuses = [STALL] * 4
        with running(Tree(tmp_path_factory.mktemp("slow"), backend.url)) as daemon:
            for number in range(6):
                send(daemon, message(f"<slow-{number}@acme.example>"))
            assert {backend.wait().body for _ in range(6)} == {EDI}
            for _ in range(2):
                daemon.wait_for("delivery_finished", state="delivered")
            daemon.kill()
