"""The worker: claims deliveries, makes them, and records the outcomes. `relay` decides what an outcome means."""

import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from mtlsd import log
from mtlsd.config.addresses import without_query
from mtlsd.config.model import DeliverySettings
from mtlsd.errors import DeliveryImpossible, JournalUnavailable, SpoolFull
from mtlsd.journal.columns import targets_text
from mtlsd.journal.documents import open_document
from mtlsd.journal.model import Attempt, Claimed, DeliveryState, LeaseLost
from mtlsd.net.deliveries.attempt import Tried, at_present, attempt, circuits_of
from mtlsd.net.services.state import State
from mtlsd.relay import retry
from mtlsd.relay.clock_jumps import Jumps
from mtlsd.relay.lanes import Lanes
from mtlsd.relay.retry import Answered, Decision, Outcome, RetryPolicy

TROUBLE_SECONDS = 5  # how long to wait if the journal is unavailable
MAX_WAIT_SECONDS = 60  # the wall clock may jump: check again at least this often
RECORD_AGAIN_SECONDS = 1  # before anyone can claim the delivery again
LOOKS_A_LEASE = 3  # checks per lease period: another node may have died


class Worker:
    """Makes deliveries until cancelled. A delivery that is interrupted is made again when its lease has expired."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._owner = state.node
        self._lanes = Lanes(state.upstreams)
        self._attempted: set[str] = set()  # deliveries whose lease we hold now
        self._jumps = Jumps()

    @property
    def _settings(self) -> DeliverySettings:
        return self._state.snapshot.configuration.delivery

    async def run(self) -> None:
        """Take back the leases of an earlier run, then make each delivery when it is due."""
        await self._take_back()
        async with trio.open_nursery() as nursery:
            while True:
                due = self._state.due = trio.Event()
                wait = await self._start_what_is_due(nursery)
                with trio.move_on_after(wait):
                    await due.wait()

    async def _take_back(self) -> None:
        while True:
            try:
                now = self._state.clock()
                await trio.to_thread.run_sync(self._state.journal.take_back, self._owner, now)
                longest = now + self._settings.max_retry_seconds  # the clock may have been ahead when it was scheduled
                await trio.to_thread.run_sync(self._state.journal.hasten, longest)
            except (JournalUnavailable, SpoolFull) as error:
                self._state.log.error(log.WORKER_TROUBLE, reason=error.reason, detail=error.detail)
                await trio.sleep(TROUBLE_SECONDS)
            else:
                return

    async def _start_what_is_due(self, nursery: trio.Nursery) -> float:
        """Start as many deliveries as there is room for; return the seconds to wait for more."""
        now = self._state.clock()
        try:
            if jump := self._jumps.look(now, trio.current_time()):
                await trio.to_thread.run_sync(self._follow, jump, now)
            while (limit := self._limit()) > 0:
                claims = await self._claim(now, limit)
                for each in claims:
                    claimed = at_present(self._state.snapshot, each)
                    self._lanes.begin(claimed.delivery.lane, circuits_of(claimed.delivery))
                    self._attempted.add(claimed.delivery.id)
                    nursery.start_soon(self._deliver, claimed)
                if len(claims) < limit:
                    break  # no more is due
            room = self._lanes.room(self._settings.concurrency_per_backend, trio.current_time())
            next_due = await trio.to_thread.run_sync(self._state.journal.next_due, now, room)
        except (JournalUnavailable, SpoolFull) as error:
            self._state.log.error(log.WORKER_TROUBLE, reason=error.reason, detail=error.detail)
            return TROUBLE_SECONDS
        longest = min(MAX_WAIT_SECONDS, self._settings.lease_seconds / LOOKS_A_LEASE)
        if len(self._lanes) >= self._settings.concurrency:
            return longest  # the first delivery to finish signals that there is room
        again, ticks = self._lanes.look_again_at(trio.current_time()), trio.current_time()
        waits = [] if again is None else [again - ticks]
        waits += [] if next_due is None else [next_due - now]
        return min(max(min(waits, default=longest), 0), longest)

    def _limit(self) -> int:
        """How many may be claimed at once: at most the share of one lane, so that no lane gets more than its share."""
        return min(self._settings.concurrency - len(self._lanes), self._settings.concurrency_per_backend)

    async def _claim(self, now: float, limit: int) -> list[Claimed]:
        lease, share = self._settings.lease_seconds, self._settings.concurrency_per_backend
        room = self._lanes.room(share, trio.current_time())
        claim = partial(self._state.journal.claim, self._owner, now, lease, limit, room)
        return await trio.to_thread.run_sync(claim)

    def _follow(self, jump: float, now: float) -> None:
        """Adapt to a jump of the clock: running attempts keep their leases, and no delivery waits too long."""
        for delivery in tuple(self._attempted):  # the set may change meanwhile
            with suppress(LeaseLost):
                self._state.journal.renew(delivery, self._owner, now + self._settings.lease_seconds)
        if jump < 0:
            self._state.journal.hasten(now)

    async def _deliver(self, claimed: Claimed) -> None:
        """Make one attempt, from the request to the record."""
        started, began = self._state.clock(), trio.current_time()
        try:
            tried = await self._attempt(claimed)
            duration = trio.current_time() - began
            decision = self._decide(claimed, tried.outcome, started + duration)
            await self._record(claimed, tried, decision, started, duration)
        except LeaseLost:
            self._log(claimed, "warning", reason="lease_lost")
        except (JournalUnavailable, SpoolFull) as error:
            self._log(claimed, "error", reason=error.reason, detail=error.detail)
        except Exception:  # likewise a bug in recording; the lease expires, and the delivery is made again
            self._state.log.exception(log.INTERNAL_ERROR, delivery=claimed.delivery.id)
        finally:
            self._lanes.end(claimed.delivery.lane)
            self._attempted.discard(claimed.delivery.id)
            self._state.due.set()

    async def _attempt(self, claimed: Claimed) -> Tried:
        """Make the request, and renew the lease meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_lease, claimed, nursery.cancel_scope)
            try:
                tried = await self._try(claimed)
            except (JournalUnavailable, SpoolFull) as error:
                tried = _impossible(claimed, error.detail)
            except Exception as error:  # a bug must neither stop the other deliveries nor stay hidden
                self._state.log.exception(log.INTERNAL_ERROR, delivery=claimed.delivery.id)
                tried = _impossible(claimed, type(error).__name__)
            nursery.cancel_scope.cancel()
            return tried
        raise LeaseLost(claimed.delivery.id)

    async def _try(self, claimed: Claimed) -> Tried:
        kept = partial(open_document, self._state.journal, self._state.spool)
        return await attempt(self._state, claimed.about, claimed.delivery, kept)

    async def _keep_lease(self, claimed: Claimed, attempt: trio.CancelScope) -> None:
        """Renew the lease while the attempt runs; without a lease the attempt ends."""
        lease, renewed = self._settings.lease_seconds, trio.current_time()
        while True:
            await trio.sleep(lease / LOOKS_A_LEASE)
            renew = partial(self._state.journal.renew, claimed.delivery.id, self._owner, self._state.clock() + lease)
            began = trio.current_time()
            try:
                await trio.to_thread.run_sync(renew)
                renewed = began
            except LeaseLost:
                attempt.cancel()
            except (JournalUnavailable, SpoolFull):  # the journal may be back before the lease expires
                if began - renewed > lease / 2:
                    attempt.cancel()

    def _decide(self, claimed: Claimed, outcome: Outcome, now: float) -> Decision:
        settings = self._settings
        policy = RetryPolicy(settings.first_retry_seconds, settings.max_retry_seconds, settings.give_up_after_seconds)
        age = self._jumps.age(claimed.delivery.created_at, now)
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        return retry.decide(outcome, claimed.delivery.attempts, age, now, policy, jitter)

    async def _record(
        self, claimed: Claimed, tried: Tried, decision: Decision, started: float, duration: float
    ) -> None:
        status = tried.outcome.status if isinstance(tried.outcome, Answered) else None
        attempt = Attempt(
            delivery_id=claimed.delivery.id,
            number=claimed.delivery.attempts,
            started_at=started,
            finished_at=started + duration,
            status=status,
            reason=decision.reason,
            detail=tried.detail,
            target=tried.target,
        )
        record: Callable[[], None] = partial(
            self._state.journal.record,
            attempt,
            self._owner,
            state=decision.state,
            not_before=decision.not_before,
            now=started + duration,
            pinned=tried.pinned,
        )
        await self._until_recorded(claimed, record)
        became, reason = decision.state.value, decision.reason or ""
        self._state.note_attempt(claimed.delivery, became=became, reason=reason, seconds=duration)
        facts = {"status": status, "detail": tried.detail, "reason": decision.reason, "state": decision.state.value}
        facts["target"] = tried.target
        self._log(claimed, _LEVELS[decision.state], duration_ms=round(duration * 1000, 1), **facts)

    async def _until_recorded(self, claimed: Claimed, record: Callable[[], None]) -> None:
        """Record the outcome, and retry if the journal is unavailable or the disk is full: no delivery is made twice.

        Nobody else can claim the delivery during the lease, and the outcome counts unless somebody else has claimed it.
        """
        said = False
        while True:
            try:
                return await trio.to_thread.run_sync(record)
            except (JournalUnavailable, SpoolFull) as error:
                if not said:
                    self._log(claimed, "error", reason=error.reason, detail=error.detail)
                said = True
                await trio.sleep(RECORD_AGAIN_SECONDS)

    def _log(self, claimed: Claimed, level: str, **facts: object) -> None:
        about, delivery = claimed.about, claimed.delivery
        facts = {
            "request_id": about.request_id,
            "partner": about.partner,
            "message_id": about.message_id,
            "delivery": delivery.id,
            "kind": delivery.kind.value,
            "attempt": delivery.attempts,
            "target": targets_text(delivery.targets),
            **facts,
        }
        facts["target"] = without_query(str(facts["target"]))
        write = getattr(self._state.log, level)
        write(log.DELIVERY_FINISHED, **{name: value for name, value in facts.items() if value not in (None, "")})


_LEVELS = {DeliveryState.DELIVERED: "info", DeliveryState.PENDING: "warning", DeliveryState.FAILED: "error"}


def _impossible(claimed: Claimed, detail: str) -> Tried:
    return Tried(DeliveryImpossible(detail), targets_text(claimed.delivery.targets), detail, None)
