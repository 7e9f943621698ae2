"""SIGTERM: no new connections, what is under way is finished within a deadline, exit 0."""

import signal

import pytest

from tests.support.client import opened, request
from tests.support.daemon import Tree, acme, running, spooled
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message


def test_a_message_under_way_gets_its_receipt(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("stop"))
    sent = message("<stop@acme.example>", layered("sE", EDI * 4000))
    data = request(fields=sent.fields, body=sent.body)
    with running(tree) as daemon:
        with opened(daemon.address, acme()) as client, opened(daemon.address, acme()) as idle:
            assert idle.request(request("HEAD"), head=True).status == 200
            client.send(data[:-100])
            while not spooled(tree, "tmp"):
                assert idle.request(request("HEAD"), head=True).status == 200
            daemon.process.terminate()
            daemon.wait_for("stopping")
            assert idle.is_closed()
            with pytest.raises(ConnectionError), opened(daemon.address):
                pass
            client.send(data[-100:])
            answer = client.answer()
            assert disposition(answer, sent) == "processed"
            assert answer.closes
            assert client.is_closed()
        assert daemon.wait() == 0
        assert daemon.log[-1]["event"] == "stopped"
    assert kept(tree, "<stop@acme.example>")


def test_a_message_that_is_never_finished_is_given_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("stop"), limits="shutdown_seconds = 1")
    sent = message("<never@acme.example>", layered("sE", EDI * 4000))
    with running(tree) as daemon, opened(daemon.address, acme()) as client, opened(daemon.address, acme()) as other:
        client.send(request(fields=sent.fields, body=sent.body)[:-100])
        while not spooled(tree, "tmp"):
            assert other.request(request("HEAD"), head=True).status == 200
        daemon.process.terminate()
        answer = client.answer()
        assert (answer.status, answer.reason) == (503, "shutting_down")
        assert daemon.wait() == 0
        daemon.wait_for("exchange_finished", reason="shutting_down", message_id="<never@acme.example>")
    assert kept(tree, "<never@acme.example>") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_stops_at_once(tmp_path_factory: pytest.TempPathFactory, number: signal.Signals) -> None:
    with running(Tree(tmp_path_factory.mktemp("stop"))) as daemon:
        daemon.process.send_signal(number)
        assert daemon.wait() == 0


def test_a_new_request_on_an_open_connection_is_told_to_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("stop"))
    with running(tree) as daemon:
        with opened(daemon.address, acme()) as client:
            client.send(request("POST")[:20])
            with opened(daemon.address, acme()) as other:
                assert other.request(request("HEAD"), head=True).status == 200
            daemon.process.terminate()
            daemon.wait_for("stopping")
            client.send(request("POST")[20:])
            answer = client.answer()
            assert (answer.status, answer.reason) == (503, "shutting_down")
            assert answer.get("Retry-After") == "5"
        assert daemon.wait() == 0
