"""Two nodes with one journal: what one accepted, both answer for; what one leaves, the other takes over, once."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtlsd.journal.sql.postgres import MIGRATIONS
from tests.support import backend as backends
from tests.support import postgres as postgres_server
from tests.support.backend import STALL
from tests.support.client import Answer, opened, request
from tests.support.daemon import Daemon, acme, running
from tests.support.messages import EDI
from tests.support.nodes import LEASE, PATIENCE, node_name, nodes
from tests.support.partner import disposition, layered, message, send, with_fields
from tests.support.postgres import Server
from tests.support.site import mtlsd, mtlsd_json

SLACK = 4  # seconds that a busy machine may take on top


@pytest.fixture
def url(durable_postgres: Server) -> str:
    return durable_postgres.journal()


def test_one_message_to_both_at_once_is_accepted_and_delivered_once(tmp_path: Path, url: str) -> None:
    with backends.running() as backend:
        site = nodes(tmp_path, url, backend.url)
        with running(site.a) as a, running(site.b) as b, ThreadPoolExecutor(8) as threads:
            sent = [message(f"<both-{number}@acme.example>") for number in range(5)]
            pairs = [(daemon, each) for each in sent for daemon in (a, b, b, a)]
            answers = [*threads.map(lambda pair: send(*pair), pairs)]
            for number, each in enumerate(sent):
                copies = answers[number * 4 : number * 4 + 4]
                assert {disposition(copy, each) for copy in copies} == {"processed"}
                assert len({copy.body for copy in copies}) == 1
                assert backend.wait_for(f"<both-{number}@acme.example>").body == EDI
            site.until("SELECT count(*) = 5 FROM deliveries WHERE state = 'delivered'")
        assert backend.count == 5


@pytest.mark.parametrize("size", [1, 40_000], ids=["in the database", "in the spool"])
@pytest.mark.parametrize("server", ["", "inline_bytes = 0", "inline_bytes = 4_000_000"])
def test_what_a_dead_node_accepted_the_other_delivers(tmp_path: Path, url: str, size: int, server: str) -> None:
    with backends.running() as backend:
        backend.stop()
        site = nodes(tmp_path, url, backend.url, server=server)
        sent = message("<orphan@acme.example>", layered(payload=EDI * size))
        a = Daemon(site.a)
        a.wait_for("started")
        assert disposition(send(a, sent), sent) == "processed"
        a.kill()
        accepted = site.message("<orphan@acme.example>")
        assert accepted
        assert accepted.payload
        assert accepted.payload.startswith("journal/") == (len(EDI) * size <= limit(server))
        backend.start()
        with running(site.b):
            assert backend.wait_for("<orphan@acme.example>").body == EDI * size
            written = mtlsd("journal", "payload", "<orphan@acme.example>", "--config", site.b.configuration)
            assert written.stdout_bytes == EDI * size


def limit(server: str) -> int:
    return {"": 262_144, "inline_bytes = 0": 0}.get(server, 4_000_000)


def test_deliveries_and_mdns_of_a_dead_node_go_on_within_one_lease(tmp_path: Path, url: str) -> None:
    with backends.running() as backend, backends.running() as receiver:
        backend.statuses, receiver.statuses = [STALL], [STALL]
        site = nodes(tmp_path, url, backend.url, receiver.origin)
        sent = with_fields(message("<taken@acme.example>"), Receipt_Delivery_Option=receiver.url)
        with running(site.b) as b:
            a = Daemon(site.a)
            a.wait_for("started")
            b.process.send_signal(signal.SIGSTOP)  # so that the deliveries are A's
            assert send(a, sent).body == b""
            first, mdn = backend.wait_for("<taken@acme.example>"), receiver.wait()
            assert {each.lease_owner for each in site.deliveries("<taken@acme.example>")} == {node_name(a)}
            a.kill()
            died = time.time()
            b.process.send_signal(signal.SIGCONT)
            again, mdn_again = backend.wait_for("<taken@acme.example>"), receiver.wait()
            took = time.time() - died
            for kind in ("backend", "mdn"):
                b.wait_for("delivery_finished", kind=kind, state="delivered")
        assert took < LEASE + SLACK
        assert again.without_number() == first.without_number()
        assert (mdn_again.fields, mdn_again.body) == (mdn.fields, mdn.body)
        assert disposition(Answer(b"", 200, mdn.fields, mdn.body), sent) == "processed"
        for each in site.deliveries("<taken@acme.example>"):
            assert (each.state, each.attempts, len(site.attempts(each))) == ("delivered", 2, 1)


def test_a_node_that_starts_takes_nothing_from_one_that_lives(tmp_path: Path, url: str) -> None:
    """Neither its leases, nor what it is receiving."""
    with backends.running() as backend:
        backend.statuses = [STALL]
        site = nodes(tmp_path, url, backend.url)
        half = message("<half@acme.example>", layered(payload=EDI * 40_000))
        with running(site.a) as a:
            send(a, message("<stalled@acme.example>"))
            backend.wait_for("<stalled@acme.example>")
            with opened(a.address, acme()) as client:
                data = request(fields=half.fields, body=half.body)
                client.send(data[:-1000])
                until(lambda: any((tmp_path / "spool" / "tmp").iterdir()))
                for _ in range(2):
                    with running(site.b) as b:
                        assert "spool_swept" not in [line["event"] for line in b.log]
                (claimed,) = site.deliveries("<stalled@acme.example>")
                assert (claimed.state, claimed.lease_owner, claimed.attempts) == ("claimed", node_name(a), 1)
                assert node_name(a) != node_name(b)
                client.send(data[-1000:])
                assert disposition(client.answer(), half) == "processed"
            assert backend.wait_for("<half@acme.example>").body == EDI * 40_000
            a.kill()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline


def test_a_database_that_goes_away_for_a_while_loses_nothing_and_nothing_is_said_that_is_not_so(
    tmp_path: Path,
) -> None:
    with postgres_server.running() as server, backends.running() as backend:
        site = nodes(tmp_path, server.journal(), backend.url)
        with running(site.a) as a, running(site.b) as b:
            said: dict[str, list[Answer]] = {}
            enough = threading.Event()

            def partner(name: str, daemon: Daemon) -> None:
                number = 0
                while not enough.is_set():
                    number += 1
                    sent = message(f"<{name}-{number}@acme.example>")
                    said[f"<{name}-{number}@acme.example>"] = [send(daemon, sent)]

            with ThreadPoolExecutor(4) as threads:
                sending = [
                    threads.submit(partner, name, daemon) for name, daemon in zip("uvwx", (a, b, a, b), strict=True)
                ]
                for end in (server.crash, server.stop):
                    before = count(said, 200)
                    until(lambda: count(said, 200) > before + 5)  # noqa: B023  # it is done before the next round
                    end()
                    refused = count(said, 503)
                    until(lambda: count(said, 503) > refused + 5)  # noqa: B023
                    server.start()
                until(lambda: count(said, 200) > before + 20)
                enough.set()
                for each in sending:
                    each.result()
            accepted = [name for name, (answer,) in said.items() if answer.status == 200]
            for name in accepted:
                assert disposition(said[name][0], message(name)) == "processed"
                assert site.message(name)
            for (answer,) in said.values():
                if answer.status != 200:
                    assert (answer.status, answer.reason) == (503, "journal_unavailable")
                    assert int(answer.get("Retry-After") or 0) > 0
            again = [name for name, (answer,) in said.items() if answer.status != 200][-1]
            assert disposition(send(b, message(again)), message(again)) == "processed"
            site.until("SELECT count(*) = 0 FROM deliveries WHERE state <> 'delivered'")
            delivered = {backend.wait_for(name).get("Idempotency-Key") for name in accepted}
            assert len(delivered) == len(accepted)


def count(said: dict[str, list[Answer]], status: int) -> int:
    return sum(answer.status == status for (answer,) in list(said.values()))


def test_a_database_is_migrated_by_hand_and_every_command_reads_it(tmp_path: Path, durable_postgres: Server) -> None:
    with backends.running() as backend:
        backend.statuses = [400]
        site = nodes(tmp_path, durable_postgres.empty(), backend.url)
        at = ("--config", site.b.configuration)
        daemon = Daemon(site.a)
        assert daemon.wait() == 1
        assert "run `mtlsd journal migrate`" in daemon.log[-1]["detail"]
        assert "has no journal yet" in mtlsd("journal", "list", *at).stderr
        assert mtlsd("journal", "migrate", *at).stdout.endswith(f"now has version {len(MIGRATIONS)}; it was empty\n")
        assert mtlsd("journal", "migrate", *at).stdout.endswith(f"already has version {len(MIGRATIONS)}\n")
        with running(site.a) as a:
            send(a, message("<shown@acme.example>"))
            a.wait_for("delivery_finished", state="failed")
            (listed,) = mtlsd_json("journal", "list", *at, "--state", "failed")
            assert listed["message_id"] == "<shown@acme.example>"
            shown = mtlsd("journal", "show", "<shown@acme.example>", *at)
            assert "400 upstream_rejected" in shown.stdout
            assert mtlsd("journal", "show", "<shown@acme.example>", *at, "--mic").exit_code == 0
            many = ("--state", "failed", "--partner", "acme", "--since", "1 hour ago", "--yes")
            assert [each["message"] for each in mtlsd_json("journal", "replay", *many, *at)["due"]] == [listed["id"]]
            a.wait_for("delivery_finished", state="delivered")
            assert mtlsd_json("journal", "list", *at, "--search", "SHOWN@")[0]["state"] == "delivered"
            assert mtlsd("journal", "replay", "<shown@acme.example>", "--again", *at).exit_code == 0
            a.wait_for("delivery_finished", state="delivered")
        keys = [backend.wait_for("<shown@acme.example>").get("Idempotency-Key") for _ in range(3)]
        assert keys == [keys[0]] * 3
        assert mtlsd("journal", "payload", "<shown@acme.example>", *at).stdout_bytes == EDI
        verified = mtlsd("journal", "verify", *at, "--checkpoints", site.a.state / "checkpoints")
        assert verified.exit_code == 0, verified.output


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, url: str) -> None:
    site = nodes(tmp_path, url, "http://127.0.0.1:9/")
    postgres_server.execute(url, "UPDATE journal_version SET version = 99")
    for command in ("migrate", "list"):
        result = mtlsd("journal", command, "--config", site.a.configuration)
        assert (result.exit_code, "version 99, from a newer mtlsd" in result.stderr) == (1, True)
    daemon = Daemon(site.a)
    assert (daemon.wait(), "version 99, from a newer mtlsd" in daemon.log[-1]["detail"]) == (1, True)
    assert postgres_server.execute(url, "SELECT version FROM journal_version") == [(99,)]


def test_a_database_that_is_not_there_at_the_start_is_said(tmp_path: Path) -> None:
    site = nodes(tmp_path, "postgresql://mtlsd@127.0.0.1:9/mtlsd", "http://127.0.0.1:9/")
    daemon = Daemon(site.a)
    assert daemon.wait() == 1
    assert daemon.log[-1]["reason"] == "journal_unavailable"
    assert "postgresql://mtlsd@127.0.0.1:9/mtlsd" in daemon.log[-1]["detail"]
