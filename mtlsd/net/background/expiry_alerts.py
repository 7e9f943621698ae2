"""Watches for certificates that expire: metrics, a log line, and an alert by webhook or mail, each sent once.

Nothing waits for this task. An alert that cannot be sent is retried; an alert that the journal lists as sent is not
sent again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import trio

from mtlsd import log
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.notices import NoticeStanding
from mtlsd.net.background import notice_channels as channels
from mtlsd.net.background.notice_channels import NoticeFailed
from mtlsd.net.services.state import State
from mtlsd.partners import expiry
from mtlsd.partners.expiry import Expiring, Notice, expiring_organization, expiring_pair, expiring_partner
from mtlsd.snapshot.snapshot import Snapshot

LOOK_SECONDS = 3600  # between two checks if nothing changed
RETRY_SECONDS = 300  # after a check that left alerts unsent
WAKE_SECONDS = 10
URGENT_DAYS = 3
MAX_ALERTS = 500  # in one message

Key = tuple[str, int]  # of an alert: the fingerprint and the number of days


@dataclass(slots=True)
class _Open:
    """An alert that this node sends, and the channels that have not accepted it."""

    alert: Notice
    channels: set[str]


class ExpiryLook:
    """Checks the certificates of one daemon."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._looked: Snapshot | None = None
        self._next = 0.0  # by trio's clock, which never jumps
        self._given: set[Key] = set()
        self._open: dict[Key, _Open] = {}

    async def run(self) -> None:
        """Check now, after each reload and every hour, until cancelled."""
        while True:
            if self._looked is not self._state.snapshot or trio.current_time() >= self._next:
                self._looked, self._next = self._state.snapshot, trio.current_time() + RETRY_SECONDS
                try:
                    await self.look()
                except (JournalUnavailable, SpoolFull) as error:
                    self._failed("journal", error.detail)
                except Exception:  # a bug here must not stop the daemon
                    self._state.log.exception(log.INTERNAL_ERROR, doing="expiry")
            await trio.sleep(WAKE_SECONDS)

    async def look(self) -> None:
        """Find what expires, and send the alerts; raises JournalUnavailable or SpoolFull."""
        snapshot = self._state.snapshot
        alerts = await trio.to_thread.run_sync(self._due, snapshot)
        await trio.to_thread.run_sync(self._claim, alerts, snapshot)
        await self._give(snapshot)
        if not self._open:
            self._next = trio.current_time() + LOOK_SECONDS

    # --- What is due ------------------------------------------------------------------------------------

    def _due(self, snapshot: Snapshot) -> list[Notice]:
        now, days = self._now(), snapshot.configuration.expiry.days
        things = list(everything(snapshot))
        self._show([each for each in things if not each.is_ours], days, now)
        alerts = list(expiry.due(things, days, now))
        still = {_key(each) for each in alerts}
        self._open = {key: each for key, each in self._open.items() if key in still}
        return [each for each in alerts if _key(each) not in self._given]

    def _show(self, things: list[Expiring], days: tuple[int, ...], now: datetime) -> None:
        left = [each.days_left(now) for each in things if each.not_after >= now]
        show = self._state.metrics.show
        show("mtlsd_partner_certificates_ending", {(str(each),): sum(one <= each for one in left) for each in days})
        nearest = min((each.not_after for each in things if each.not_after >= now), default=None)
        if nearest:
            show("mtlsd_partner_certificate_next_not_after_timestamp_seconds", {(): nearest.timestamp()})

    def _claim(self, alerts: Iterable[Notice], snapshot: Snapshot) -> None:
        """Claim the alerts that this node is to send, and log them."""
        for alert in alerts:
            found = self._state.journal.claim_notice(*_key(alert), self._state.clock())
            if found is NoticeStanding.GIVEN:
                self._given.add(_key(alert))
            if found is not NoticeStanding.OURS:
                self._open.pop(_key(alert), None)
            elif _key(alert) not in self._open:
                self._open[_key(alert)] = _Open(alert, set(_senders(snapshot)))
                self._say(alert)

    # --- Telling ----------------------------------------------------------------------------------------

    async def _give(self, snapshot: Snapshot) -> None:
        now = self._now()
        async with trio.open_nursery() as nursery:
            for name, send in _senders(snapshot).items():
                waiting = [each for each in self._open.values() if name in each.channels]
                if waiting:
                    nursery.start_soon(self._send, name, send, waiting, now)
        given = [each.alert for each in self._open.values() if not each.channels & _senders(snapshot).keys()]
        if given:
            keys = [_key(each) for each in given]
            await trio.to_thread.run_sync(self._state.journal.give_notices, keys, self._state.clock())
        for alert in given:
            self._given.add(_key(alert))
            del self._open[_key(alert)]
            self._state.metrics.expiry_alert(alert.days)

    async def _send(self, name: str, send: channels.Send, waiting: list[_Open], now: datetime) -> None:
        waiting.sort(key=lambda each: each.alert.about.not_after)
        for at in range(0, len(waiting), MAX_ALERTS):
            several = waiting[at : at + MAX_ALERTS]
            try:
                await send([each.alert for each in several], self._state.node, now)
            except NoticeFailed as error:
                return self._failed(name, str(error))
            for each in several:
                each.channels.discard(name)
        return None

    def _say(self, alert: Notice) -> None:
        about = alert.about
        tell = self._state.log.error if alert.days <= URGENT_DAYS else self._state.log.warning
        facts = {"owner": about.owner, "use": about.use, "subject": about.name, "sha256": about.sha256}
        left = about.days_left(self._now())
        tell(log.CERTIFICATE_EXPIRES, **facts, not_after=about.not_after.isoformat(), days_left=left, alert=alert.days)

    def _failed(self, channel: str, detail: str) -> None:
        self._state.log.error(log.EXPIRY_ALERT_FAILED, channel=channel, detail=detail, waiting=len(self._open))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._state.clock(), UTC)


def everything(snapshot: Snapshot) -> Iterator[Expiring]:
    """Everything in use that expires, on either side."""
    for name, keys in snapshot.keys.items():
        for pair in keys.server:
            yield from expiring_pair(f"host {name}", "server", pair)
        for pair in keys.client:
            yield from expiring_pair(f"host {name}", "MDN client", pair)
    for organization in snapshot.organizations.values():
        yield from expiring_organization(organization)
    for partner in snapshot.truststore.partners.values():
        yield from expiring_partner(partner)


def _senders(snapshot: Snapshot) -> dict[str, channels.Send]:
    """The configured channels, by name."""
    settings = snapshot.configuration.expiry
    senders: dict[str, channels.Send] = {}
    if settings.webhook:
        senders["webhook"] = channels.webhook(settings.webhook)
    if settings.mail:
        senders["mail"] = channels.mail(settings.mail)
    return senders


def _key(alert: Notice) -> Key:
    return alert.about.sha256, alert.days
