"""The worker, on what it cannot deliver: each failure is recorded, and given up in the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from mtlsd.config.model import Configuration, Limits, Server
from mtlsd.config.model import DeliverySettings as Settings
from mtlsd.errors import JournalUnavailable, SpoolFull, Unavailable
from mtlsd.journal.model import Acceptance, Attempt, Claimed, DeliveryState
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.deliveries.attempt import Tried
from mtlsd.net.deliveries.worker import Worker
from mtlsd.net.services.state import State
from mtlsd.partners.trust_store import TrustStore
from mtlsd.snapshot.snapshot import Snapshot
from tests.support.examples import delivery, message


class Unsteady(SQLiteJournal):
    """A journal that cannot be used for a while, as often as it is told."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.error: type[Unavailable] = JournalUnavailable
        self.gone = {"take_back": 0, "record": 0, "renew": 0}

    def take_back(self, owner: str, now: float) -> int:
        self._may_be_gone("take_back")
        return super().take_back(owner, now)

    def renew(self, delivery_id: str, owner: str, until: float) -> None:
        self._may_be_gone("renew")
        super().renew(delivery_id, owner, until)

    def record(self, attempt: Attempt, owner: str, **outcome: Any) -> None:
        self._may_be_gone("record")
        super().record(attempt, owner, **outcome)

    def _may_be_gone(self, name: str) -> None:
        if self.gone[name]:
            self.gone[name] -= 1
            raise self.error(name)


def daemon(tmp_path: Path, clock: Callable[[], float]) -> State:
    settings = Settings(first_retry_seconds=1, max_retry_seconds=1, give_up_after_seconds=10)
    configuration = Configuration(tmp_path / "virtualhosts.toml", Server(), Limits(), settings, ())
    snapshot = Snapshot(configuration, {}, {}, {}, TrustStore(), 0.0)
    journal, spool = Unsteady(tmp_path / "journal.sqlite"), Spool(tmp_path / "spool")
    return State(snapshot, journal, spool, structlog.get_logger().bind(), clock)


async def test_a_document_that_is_lost_is_tried_again_and_given_up(tmp_path: Path) -> None:
    """Its file is gone from the spool: nobody can deliver it, and the operators must hear of it."""
    now = [1000.0]
    running = daemon(tmp_path, lambda: now[0])
    lost = message(1, payload="messages/00/0001.payload", received_at=now[0])
    promised = replace(delivery(lost), created_at=now[0], not_before=now[0])
    running.journal.accept([Acceptance(lost, (promised,))])

    async def until(state: DeliveryState) -> None:
        async with trio.open_nursery() as working:
            working.start_soon(Worker(running).run)
            while running.journal.deliveries(lost.id)[0].state is not state or not running.journal.attempts("d0001"):
                await trio.lowlevel.checkpoint()
            working.cancel_scope.cancel()

    await until(DeliveryState.PENDING)
    assert [each.reason for each in running.journal.attempts("d0001")] == ["internal_error"]
    now[0] += 20
    await until(DeliveryState.FAILED)
    assert running.journal.deliveries(lost.id)[0].last_reason == "internal_error"
    running.journal.close()


class Slow(Worker):
    """Each attempt takes longer than a lease."""

    async def _try(self, claimed: Claimed) -> Tried:
        await trio.sleep(31)
        return await super()._try(claimed)


@pytest.mark.parametrize("error", [JournalUnavailable, SpoolFull])
@pytest.mark.parametrize(("name", "times"), [("take_back", 3), ("renew", 1), ("record", 2)])
async def test_a_journal_that_goes_away_for_a_while_makes_nobody_deliver_again(
    tmp_path: Path, autojump_clock: MockClock, name: str, times: int, error: type[Unavailable]
) -> None:
    """What was done is recorded when it is back, and not done again."""
    autojump_clock.autojump_threshold = 0  # there are no sockets here
    running = daemon(tmp_path, lambda: 2000.0)  # on which no lease is ever over
    assert isinstance(running.journal, Unsteady)
    running.journal.gone[name], running.journal.error = times, error
    running.journal.accept([Acceptance(lost := message(1, payload="messages/00/0001.payload"), (delivery(lost),))])
    async with trio.open_nursery() as working:
        working.start_soon(Slow(running).run)
        while not running.journal.attempts("d0001"):
            await trio.sleep(1)
        working.cancel_scope.cancel()
    assert [each.number for each in running.journal.attempts("d0001")] == [1]
    assert running.journal.gone[name] == 0
    running.journal.close()
