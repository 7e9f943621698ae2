"""A receipt is a promise: whatever happens to the process after it, the message is there and is delivered."""

import pytest

from tests.support import backend as backends
from tests.support.client import opened, request
from tests.support.daemon import Daemon, Tree, acme, running, spooled
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, send


@pytest.mark.parametrize("document", [EDI, EDI * 4000], ids=["small", "large"])
def test_a_message_survives_a_kill_right_after_its_receipt(
    tmp_path_factory: pytest.TempPathFactory, document: bytes
) -> None:
    with backends.running() as backend:
        backend.stop()  # so that nothing is delivered before the kill
        tree = Tree(tmp_path_factory.mktemp("crash"), backend.url)
        sent = message("<kill@acme.example>", layered(payload=document))
        daemon = Daemon(tree)
        daemon.wait_for("started")
        answer = send(daemon, sent)
        daemon.kill()
        assert disposition(answer, sent) == "processed"
        found = kept(tree, "<kill@acme.example>")
        assert found
        assert found.state != "delivered"
        backend.start()
        with running(tree) as again:
            delivered = backend.wait_for("<kill@acme.example>")
            assert delivered.body == document
            again.wait_for("delivery_finished", state="delivered")
        assert backend.count == 1


def test_a_kill_during_a_delivery_delivers_it_again_under_the_same_key(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with backends.running() as backend:
        backend.statuses = [backends.STALL]
        tree = Tree(tmp_path_factory.mktemp("crash"), backend.url)
        daemon = Daemon(tree)
        daemon.wait_for("started")
        send(daemon, message("<again@acme.example>"))
        first = backend.wait_for("<again@acme.example>")
        daemon.kill()
        with running(tree) as again:  # which takes the lease of its earlier life back at once
            second = backend.wait_for("<again@acme.example>")
            again.wait_for("delivery_finished", state="delivered")
        assert second.get("Idempotency-Key") == first.get("Idempotency-Key")
        assert second.without_number() == first.without_number()


def test_what_was_not_acknowledged_leaves_nothing_behind(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("crash"))
    sent = message("<half@acme.example>")
    daemon = Daemon(tree)
    daemon.wait_for("started")
    with opened(daemon.address, acme()) as client:
        client.send(request(fields=sent.fields, body=sent.body)[:-100])
        send(daemon, message("<whole@acme.example>"))
        daemon.kill()
    with running(tree):
        assert kept(tree, "<half@acme.example>") is None
        assert kept(tree, "<whole@acme.example>")
        assert not spooled(tree, "tmp")
