"""Whatever happens, in whatever order and on whatever clock: nothing is lost, nothing is delivered twice."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mtlsd.journal.model import Claimed, DeliveryState, LeaseLost, TransitionRefused
from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.postgres import PostgresJournal
from mtlsd.journal.sql.sqlite import SQLiteJournal
from tests.support.examples import accept, attempt, delivery, message
from tests.support.postgres import Server

OWNERS = st.sampled_from(["a", "b"])
OUTCOMES = st.sampled_from([DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.FAILED])
LEASE = 15.0
SETTINGS = settings(max_examples=60, stateful_step_count=30)


class LifeCycle(RuleBasedStateMachine):
    """Two owners, a clock that jumps, crashes, and an operator."""

    def __init__(self, opening: Callable[[], Journal]) -> None:
        super().__init__()
        self.opening = opening
        self.journal = opening()
        self.now = 1000.0
        self.accepted: set[str] = set()
        self.delivered: set[str] = set()
        self.claims: list[tuple[str, Claimed]] = []

    def teardown(self) -> None:
        self.journal.close()

    @rule(number=st.integers(1, 4))
    def accept(self, number: int) -> None:
        new = message(number)
        assert accept(self.journal, new, [delivery(new, self.now)]) == new
        self.accepted.add(f"d{new.id}")

    @rule(number=st.integers(1, 4))
    def accept_again(self, number: int) -> None:
        if f"d{number:04}" in self.accepted:
            again = message(number, id=f"9{number:03}")
            assert accept(self.journal, again, [delivery(again)]).id == f"{number:04}"

    @rule(seconds=st.sampled_from([0.0, 1.0, LEASE, 3600.0, -1.0, -3600.0]))
    def move_the_clock(self, seconds: float) -> None:
        self.now += seconds

    @rule(owner=OWNERS, limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> None:
        due = self.journal.next_due(self.now)
        claims = self.journal.claim(owner, self.now, LEASE, limit)
        assert (due == self.now) == bool(claims)  # or the worker would turn without a rest
        for claimed in claims:
            assert claimed.delivery.id not in self.delivered
            self.claims.append((owner, claimed))

    @rule(data=st.data(), state=OUTCOMES)
    def record(self, data: st.DataObject, state: DeliveryState) -> None:
        if not self.claims:
            return
        owner, claimed = data.draw(st.sampled_from(self.claims))
        not_before = self.now + 5 if state is DeliveryState.PENDING else None
        try:
            self.journal.record(attempt(claimed), owner, state=state, not_before=not_before, now=self.now)
        except LeaseLost:
            return
        if state is DeliveryState.DELIVERED:
            assert claimed.delivery.id not in self.delivered
            self.delivered.add(claimed.delivery.id)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if self.claims:
            owner, claimed = data.draw(st.sampled_from(self.claims))
            try:
                self.journal.renew(claimed.delivery.id, owner, self.now + LEASE)
            except LeaseLost:
                return
            assert claimed.delivery.id not in self.delivered

    @rule(owner=OWNERS)
    def restart_an_owner(self, owner: str) -> None:
        self.journal.take_back(owner, self.now)

    @rule()
    def crash(self) -> None:
        before = self.journal
        self.journal = self.opening()
        before.close()

    @rule(number=st.integers(1, 4))
    def requeue(self, number: int) -> None:
        try:
            self.journal.requeue(f"d{number:04}", self.now)
        except TransitionRefused:
            return
        assert f"d{number:04}" not in self.delivered

    @invariant()
    def nothing_is_lost(self) -> None:
        assert sum(self.journal.counts().values()) == len(self.accepted)
        open_or_failed = {each for each in self.accepted if each not in self.delivered}
        assert self.journal.counts()[DeliveryState.DELIVERED] == len(self.accepted) - len(open_or_failed)

    @invariant()
    def what_is_open_is_due_at_some_time(self) -> None:
        counts = self.journal.counts()
        is_open = counts[DeliveryState.PENDING] + counts[DeliveryState.CLAIMED] > 0
        due = self.journal.next_due(self.now)
        assert (due is not None) == is_open
        assert due is None or due >= self.now


def test_nothing_is_lost_in_sqlite(tmp_path: Path) -> None:
    numbers = count()

    def machine() -> LifeCycle:
        path = tmp_path / f"{next(numbers)}.sqlite"
        return LifeCycle(lambda: SQLiteJournal(path))

    run_state_machine_as_test(machine, settings=SETTINGS)  # type: ignore[arg-type]  # whatever makes one


def test_nothing_is_lost_in_postgresql(postgres: Server) -> None:
    def machine() -> LifeCycle:
        url = postgres.journal()
        return LifeCycle(lambda: PostgresJournal(url))

    run_state_machine_as_test(machine, settings=SETTINGS)  # type: ignore[arg-type]  # whatever makes one
