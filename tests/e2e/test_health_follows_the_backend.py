"""A backend that is down is seen by the probes and the metrics, and keeps nobody out who can be served without it."""

import pytest

from tests.support import backend as backends
from tests.support.admin import checks, get, value
from tests.support.daemon import Tree, running
from tests.support.partner import disposition, message, send

KIND = {"kind": "backend"}


def test_with_our_own_receipt_we_stay_ready_and_say_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        tree = Tree(tmp_path_factory.mktemp("down"), backend.url)
        shown = f"backend {backend.origin}/inbound"  # without the query
        backend.stop()
        sent = message("<down@acme.example>")
        with running(tree) as daemon:
            assert checks(get(tree, "/readyz"))[shown]["detail"] == "not asked lately"
            assert disposition(send(daemon, sent), sent) == "processed"
            daemon.wait_for("delivery_finished", state="pending")
            ready, metrics = get(tree, "/readyz"), get(tree, "/metrics")
            assert (ready.status, checks(ready)[shown]["status"]) == (200, "warn")
            labels = {"outcome": "pending", "reason": "upstream_unreachable", **KIND}
            assert value(metrics, "mtlsd_delivery_attempts_total", **labels)
            assert value(metrics, "mtlsd_ready", check=shown) == 1
            assert value(metrics, "mtlsd_journal_commit_messages_sum") == 1
            backend.start()
            daemon.wait_for("delivery_finished", state="delivered")
            assert checks(get(tree, "/readyz"))[shown]["status"] == "ok"
            metrics = get(tree, "/metrics")
            assert value(metrics, "mtlsd_delivery_attempts_total", outcome="delivered", **KIND) == 1
            assert value(metrics, "mtlsd_deliveries", state="pending", **KIND) is None


def test_where_every_route_asks_the_backend_first_we_are_not_ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        tree = Tree(tmp_path_factory.mktemp("down"), backend.url, route='mdn = "delivered"')
        backend.stop()
        with running(tree) as daemon:
            assert get(tree, "/readyz").status == 200
            assert send(daemon, message("<first@acme.example>")).status == 503
            assert get(tree, "/readyz").status == 503
            labels = {"outcome": "refused", "reason": "upstream_unreachable", **KIND}
            assert value(get(tree, "/metrics"), "mtlsd_delivery_attempts_total", **labels) == 1


def test_who_is_proved_by_the_message_alone_is_counted_by_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("signed"))
    sent = message("<signed@acme.example>")
    with running(tree) as daemon:
        assert disposition(send(daemon, sent, host="drop.example.com"), sent) == "processed"
        assert daemon.wait_for("exchange_finished")["partner"] == "acme"
        labels = {"host": "drop.example.com", "partner": "acme", "status": "200"}
        assert value(get(tree, "/metrics"), "mtlsd_exchanges_total", **labels) == 1
