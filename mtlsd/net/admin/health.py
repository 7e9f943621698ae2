"""Collects the facts for probes and metrics: a real write every few seconds, the disk, the backends, our keys."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import trio

from mtlsd import log
from mtlsd.access.disk_space import is_low
from mtlsd.config.addresses import without_query
from mtlsd.config.model import MDNMode, Route
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.handlers.admin import health
from mtlsd.journal.model import DeliveryState
from mtlsd.journal.spool import Space
from mtlsd.net.services.state import State
from mtlsd.partners.rollover import Use, in_force
from mtlsd.pki.key_pair import KeyPair
from mtlsd.snapshot.snapshot import Snapshot

Labelled = dict[tuple[str, ...], float]

LOOK_SECONDS = 5  # between two test writes
COUNT_SECONDS = 2  # how long the metrics wait for the journal; if it hangs, the other numbers still appear
LATELY = 60  # seconds for which an observation of a backend counts; if it is no longer asked, it cannot prove recovery


class Health:
    """Monitors one daemon. The warning about the disk is logged once when it begins, and once when it is over."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._trouble: JournalUnavailable | SpoolFull | None = None
        self._answered = trio.current_time()
        self._space: Space | None = None
        self._low = False
        self._counting = False
        self._threads = trio.CapacityLimiter(2)  # our own: a journal that hangs may occupy all the others

    async def watch(self) -> None:
        """Check every few seconds until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception:  # a bug in a check must not stop the daemon
                self._state.log.exception(log.INTERNAL_ERROR, doing="health")

    async def look(self) -> None:
        """Write to journal and spool, and measure the free space."""
        self._trouble = await trio.to_thread.run_sync(self._write)
        self._answered = trio.current_time()
        self._look_at_disk()

    def facts(self) -> health.Facts:
        """The current facts for the probes."""
        state, snapshot = self._state, self._state.snapshot
        now = datetime.fromtimestamp(state.clock(), UTC)
        return health.Facts(
            now=now,
            stopping=state.stopping,
            silent=trio.current_time() - self._answered,
            trouble=self._trouble,
            free=self._space.free if self._space else None,
            low=self._low,
            backends=tuple(_backends(snapshot, state.backends, trio.current_time())),
            certificates=tuple(_certificates(snapshot, now)),
        )

    async def measure(self) -> bytes:
        """Return all metrics, with the current values of the gauges."""
        if not self._counting:
            with trio.move_on_after(COUNT_SECONDS):
                await trio.to_thread.run_sync(self._show_backlog, abandon_on_cancel=True, limiter=self._threads)
        self._show_state()
        render = self._state.metrics.render  # a thousand partners produce many lines
        return await trio.to_thread.run_sync(render, limiter=self._threads)

    def _write(self) -> JournalUnavailable | SpoolFull | None:
        try:
            self._state.journal.probe()
            self._state.spool.probe()
        except (JournalUnavailable, SpoolFull) as error:
            return error
        return None

    def _look_at_disk(self) -> None:
        limits = self._state.snapshot.configuration.limits
        try:
            space = self._space = self._state.spool.space()
        except JournalUnavailable:
            self._space = None
            return
        was_low, self._low = self._low, is_low(space.free, limits, was_low=self._low)
        facts = {"free_bytes": space.free, "size_bytes": space.size, "disk_warn_bytes": limits.disk_warn_bytes}
        if self._low and not was_low:
            self._state.log.warning(log.DISK_LOW, **facts, detail="make room: below disk_stop_bytes nothing is taken")
        elif was_low and not self._low:
            self._state.log.info(log.DISK_LOW_OVER, **facts)

    def _show_backlog(self) -> None:
        self._counting = True
        try:
            backlog = self._state.journal.backlog()
        except JournalUnavailable:
            return  # the last numbers stay; mtlsd_ready shows the failure
        finally:
            self._counting = False
        now, show = self._state.clock(), self._state.metrics.show
        show("mtlsd_deliveries", {(each.kind, each.state): each.count for each in backlog})
        ages: Labelled = defaultdict(float)
        for each in backlog:
            if each.state is not DeliveryState.FAILED:
                ages[each.kind,] = max(ages[each.kind,], now - each.oldest)
        show("mtlsd_delivery_oldest_pending_age_seconds", ages)

    def _show_state(self) -> None:
        state, facts, show = self._state, self.facts(), self._state.metrics.show
        show("mtlsd_connections", {(): state.connections.total()})
        if self._space:
            show("mtlsd_disk_free_bytes", {(): self._space.free})
            show("mtlsd_disk_size_bytes", {(): self._space.size})
        ends: Labelled = {(each.use, each.name): each.not_after.timestamp() for each in facts.certificates}
        show("mtlsd_certificate_not_after_timestamp_seconds", ends)
        checks: Labelled = {
            (each.check,): float(each.status is not health.Status.FAIL) for each in health.checks(facts)
        }
        show("mtlsd_ready", checks)
        show("mtlsd_config_last_reload_success_timestamp_seconds", {(): state.snapshot.read_at})
        show("mtlsd_config_problems", {(): len(state.snapshot.problems)})
        show("mtlsd_partners", {(): len(state.snapshot.truststore.partners)})


def _backends(snapshot: Snapshot, seen: dict[str, tuple[float, str]], now: float) -> Iterator[health.BackendSeen]:
    """Each backend once; `asked_first` if every route to the backend asks it first."""
    routes: dict[str, list[Route]] = defaultdict(list)
    for host in snapshot.configuration.virtualhosts:
        for route in host.routes:
            for backend in route.backend:
                routes[backend.url].append(route)
    for url, those in routes.items():
        at, reason = seen.get(url, (now - LATELY, ""))
        known = now - at < LATELY
        asked_first = all(route.mdn is not MDNMode.ACCEPTED for route in those)
        shown = without_query(url)
        yield health.BackendSeen(shown, asked_first, now - at if known else None, (reason or None) if known else None)


def _certificates(snapshot: Snapshot, now: datetime) -> Iterator[health.OwnCertificate]:
    """The certificates that are not retired; for each use, the newest last."""
    for name, keys in snapshot.keys.items():
        yield from _own(Use.SERVER, name, keys.server, now)
        yield from _own(Use.CLIENT, name, keys.client, now)
    for name, organization in snapshot.organizations.items():
        yield from _own(Use.SIGNING, name, organization.signing_pairs, now)
        yield from _own(Use.DECRYPTION, name, organization.decryption, now)


def _own(use: Use, name: str, pairs: Iterable[KeyPair], now: datetime) -> Iterator[health.OwnCertificate]:
    for each in sorted((each.certificate for each in in_force(pairs, now)), key=lambda each: each.not_after):
        yield health.OwnCertificate(use, name, each.not_before, each.not_after)
