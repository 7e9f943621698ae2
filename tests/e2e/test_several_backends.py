"""Several backends for a route: one of them gets each message, and never a second after the first may have it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support.backend import CLOSE, Backend
from tests.support.daemon import Daemon, Tree, running
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, message, send
from tests.support.site import mtlsd


@pytest.fixture
def pair() -> Iterator[tuple[Backend, Backend]]:
    with backends.running() as first, backends.running() as second:
        yield first, second


def tree(tmp_path: Path, *targets: Backend, route: str = "", delivery: str = "") -> Tree:
    """Routes with all of these backends."""
    made = Tree(tmp_path, "BACKENDS", route=route, delivery=delivery)
    listed = ", ".join(f'"{each.url}"' for each in targets)
    made.configuration.write_text(made.configuration.read_text().replace('"BACKENDS"', f"[{listed}]"))
    return made


def shown(backend: Backend) -> str:
    """Its URL without the query, which may hold a secret."""
    return backend.url.partition("?")[0]


def accepted(daemon: Daemon, message_id: str) -> None:
    sent = message(message_id)
    assert disposition(send(daemon, sent), sent) == "processed"


def test_the_first_gets_it_and_the_second_while_that_is_down(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    first, second = pair
    with running(tree(tmp_path, first, second)) as daemon:
        accepted(daemon, "<1@acme.example>")
        assert first.wait().body == EDI
        first.stop()
        accepted(daemon, "<2@acme.example>")
        assert second.wait().body == EDI
        line = daemon.wait_for("delivery_finished", message_id="<2@acme.example>")
        assert (line["state"], line["target"]) == ("delivered", shown(second))
        assert shown(first) in line["detail"]
        found = kept(daemon.tree, "<2@acme.example>")
        assert found
        assert found.attempts == 1


def test_one_that_says_no_is_passed_over(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    first, second = pair
    first.statuses = [503]
    with running(tree(tmp_path, first, second)) as daemon:
        accepted(daemon, "<no@acme.example>")
        assert second.wait().body == EDI


@pytest.mark.parametrize("status", [CLOSE, 500])
def test_one_that_may_have_it_keeps_it(tmp_path: Path, pair: tuple[Backend, Backend], status: int) -> None:
    first, second = pair
    first.statuses = [status, status]
    with running(tree(tmp_path, first, second)) as daemon:
        accepted(daemon, "<maybe@acme.example>")
        attempts = [first.wait() for _ in range(3)]
        assert len({each.get("Idempotency-Key") for each in attempts}) == 1
        daemon.wait_for("delivery_finished", message_id="<maybe@acme.example>", state="delivered")
    assert second.count == 0


def test_only_an_operator_gives_it_to_the_other(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    first, second = pair
    first.statuses = [CLOSE]
    made = tree(tmp_path, first, second, delivery="give_up_after_seconds = 1")
    with running(made) as daemon:
        accepted(daemon, "<stuck@acme.example>")
        first.wait()
        first.stop()
        daemon.wait_for("delivery_finished", message_id="<stuck@acme.example>", state="failed")
        replayed = mtlsd("journal", "replay", "<stuck@acme.example>", "--any-backend", "--config", made.configuration)
        assert replayed.exit_code == 0
    with running(made):
        assert second.wait().body == EDI


def test_in_turn_all_get_some(tmp_path: Path) -> None:
    with ExitStack() as stack:
        three = [stack.enter_context(backends.running()) for _ in range(3)]
        with running(tree(tmp_path, *three, route='balance = "round-robin"')) as daemon:
            for number in range(6):
                accepted(daemon, f"<{number}@acme.example>")
                daemon.wait_for("delivery_finished", message_id=f"<{number}@acme.example>")
        assert [each.count for each in three] == [2, 2, 2]


def test_a_backend_that_fails_again_and_again_is_paused(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    first, second = pair
    first.stop()
    settings = "failures_to_pause = 2\npause_seconds = 600"
    with running(tree(tmp_path, first, second, delivery=settings)) as daemon:
        for number in range(3):
            accepted(daemon, f"<{number}@acme.example>")
            second.wait()
            daemon.wait_for("delivery_finished", message_id=f"<{number}@acme.example>")
        assert daemon.wait_for("backend_paused")["backend"] == shown(first)
        lines = [line for line in daemon.log if line["event"] == "delivery_finished"]
        assert ["detail" in line for line in lines] == [True, True, False]


def test_a_health_page_that_is_not_well_pauses_its_backend(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    first, second = pair
    first.statuses = [503] * 1000
    made = tree(tmp_path, first, second, route='health = "/health"', delivery="health_seconds = 1\npause_seconds = 60")
    with running(made) as daemon:
        daemon.wait_for("backend_paused", backend=shown(first))
        assert first.wait().line == "GET /health HTTP/1.1"
        assert second.wait().line == "GET /health HTTP/1.1"
        accepted(daemon, "<healthy@acme.example>")
        line = daemon.wait_for("delivery_finished", message_id="<healthy@acme.example>")
        assert (line["target"], "detail" in line) == (shown(second), False)
        first.statuses = []
        daemon.wait_for("backend_resumed", backend=shown(first))


def test_a_route_that_asks_the_backend_first_goes_to_the_other_too(
    tmp_path: Path, pair: tuple[Backend, Backend]
) -> None:
    first, second = pair
    first.stop()
    with running(tree(tmp_path, first, second, route='mdn = "delivered"')) as daemon:
        accepted(daemon, "<delivered@acme.example>")
        assert second.wait().body == EDI


def test_who_may_have_it_gets_the_next_copy_too(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    first, second = pair
    first.statuses = [CLOSE]
    with running(tree(tmp_path, first, second, route='mdn = "delivered"')) as daemon:
        assert send(daemon, message("<copy@acme.example>")).status == 503
        accepted(daemon, "<copy@acme.example>")
    assert (first.count, second.count) == (2, 0)


# --- Order ----------------------------------------------------------------------------------------------------


def test_in_order_nobody_overtakes(tmp_path: Path) -> None:
    with backends.running() as one:
        one.statuses = [500, 200, 500]
        with running(Tree(tmp_path, one.url, route="ordered = true")) as daemon:
            for number in range(4):
                accepted(daemon, f"<{number}@acme.example>")
            seen = [one.wait().get("Mtlsd-Message-Id") for _ in range(6)]
            daemon.wait_for("delivery_finished", message_id="<3@acme.example>", state="delivered")
        assert seen == [f"<{number}@acme.example>" for number in (0, 0, 1, 1, 2, 3)] or seen == [
            f"<{number}@acme.example>" for number in (0, 0, 1, 2, 2, 3)
        ]


def test_in_order_nobody_overtakes_where_the_backend_changes_meanwhile(tmp_path: Path) -> None:
    ids = [f"<{number}@acme.example>" for number in range(4)]
    with backends.running() as one:
        made = Tree(tmp_path, route="ordered = true")
        with running(made) as daemon:
            for each in ids[:3]:
                accepted(daemon, each)
            daemon.wait_for("delivery_finished", message_id=ids[0], state="pending")
            made.backend = one.url
            made.configure()
            daemon.reload()
            accepted(daemon, ids[3])
            assert [one.wait().get("Mtlsd-Message-Id") for _ in ids] == ids
            assert daemon.wait_for("delivery_finished", message_id=ids[3], state="delivered")["target"] == shown(one)
        assert mtlsd("journal", "verify", "--config", made.configuration).exit_code == 0


def test_in_order_what_the_old_backend_may_have_goes_to_no_other(tmp_path: Path, pair: tuple[Backend, Backend]) -> None:
    old, new = pair
    old.statuses = [CLOSE]
    made = Tree(tmp_path, old.url, route="ordered = true")
    with running(made) as daemon:
        accepted(daemon, "<1@acme.example>")
        daemon.wait_for("delivery_finished", message_id="<1@acme.example>", state="pending")
        made.backend = new.url
        made.configure()
        daemon.reload()
        accepted(daemon, "<2@acme.example>")
        assert new.wait().get("Mtlsd-Message-Id") == "<2@acme.example>"
    assert [old.wait().get("Mtlsd-Message-Id") for _ in range(2)] == ["<1@acme.example>"] * 2


def test_in_order_a_failure_holds_the_line_until_an_operator_drops_it(tmp_path: Path) -> None:
    with backends.running() as one:
        one.statuses = [400]
        made = Tree(tmp_path, one.url, route="ordered = true")
        with running(made) as daemon:
            accepted(daemon, "<bad@acme.example>")
            daemon.wait_for("delivery_finished", message_id="<bad@acme.example>", state="failed")
            accepted(daemon, "<good@acme.example>")
            found = kept(made, "<good@acme.example>")
            assert found
            assert found.state == "pending"
            assert mtlsd("journal", "drop", "<bad@acme.example>", "--config", made.configuration).exit_code == 0
        with running(made) as daemon:
            daemon.wait_for("delivery_finished", message_id="<good@acme.example>", state="delivered")
        assert one.count == 2
