"""The worker, on what it cannot deliver: each failure is recorded, and given up in the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from mtlsd.config import Configuration, Limits, Server
from mtlsd.config import Delivery as Settings
from mtlsd.identity import TrustStore
from mtlsd.journal import Acceptance, DeliveryState, Spool, SQLiteJournal
from mtlsd.net.daemon import Daemon
from mtlsd.net.snapshot import Snapshot
from mtlsd.net.worker import Worker
from tests.journal.examples import delivery, message


def daemon(tmp_path: Path, clock: Callable[[], float]) -> Daemon:
    settings = Settings(first_retry_seconds=1, max_retry_seconds=1, give_up_after_seconds=10)
    configuration = Configuration(tmp_path / "virtualhosts.toml", Server(), Limits(), settings, ())
    snapshot = Snapshot(configuration, {}, {}, {}, TrustStore(), (), (), 0.0)
    journal, spool = SQLiteJournal(tmp_path / "journal.sqlite"), Spool(tmp_path / "spool")
    return Daemon(snapshot, journal, spool, structlog.get_logger().bind(), clock)


def test_a_document_that_is_lost_is_tried_again_and_given_up(tmp_path: Path) -> None:
    """Its file is gone from the spool: nobody can deliver it, and the operators must hear of it."""
    now = [1000.0]
    running = daemon(tmp_path, lambda: now[0])
    lost = message(1, payload="messages/00/0001.payload", received_at=now[0])
    promised = replace(delivery(lost), created_at=now[0], not_before=now[0])
    running.journal.accept([Acceptance(lost, (promised,))])

    async def until(state: DeliveryState) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Worker(running).run)
            while running.journal.deliveries(lost.id)[0].state is not state or not running.journal.attempts("d0001"):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(until, DeliveryState.PENDING)
    assert [each.reason for each in running.journal.attempts("d0001")] == ["internal_error"]
    now[0] += 20
    trio.run(until, DeliveryState.FAILED)
    assert running.journal.deliveries(lost.id)[0].last_reason == "internal_error"
    running.journal.close()
