"""Searches and shows messages for `mtlsd journal list`, one page at a time or continuously."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import click

from mtlsd.cli.journal.suggestions import ReasonCode
from mtlsd.cli.options import option
from mtlsd.cli.output import iso, say, say_json, say_table, values_of
from mtlsd.ids import first_id
from mtlsd.journal.model import DeliveryState, ListedMessage, Message, Refusal
from mtlsd.journal.sql.journal import Journal

REFUSED = "refused"
STATES = ("pending", "claimed", "delivered", "failed", "dropped", REFUSED)
COLUMNS = {  # by key of JSON
    "id": "ID",
    "received_at": "RECEIVED",
    "partner": "PARTNER",
    "as2_from": "FROM",
    "as2_to": "TO",
    "message_id": "MESSAGE-ID",
    "size": "BYTES",
    "state": "STATE",
}
# An id has the time when an exchange began, at most header_seconds before the message was received.
MARGIN_SECONDS = 2 * 3600
POLL_SECONDS = 1
PAGE = 500  # rows at a time
MAX_KNOWN = 100_000  # rows that are remembered
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Row = dict[str, Any]
Open = Callable[[], AbstractContextManager[Journal]]


class Moment(click.ParamType[float]):
    """A time in ISO 8601, in UTC unless it has a zone, or an age such as 90m, 36h or 7d; in seconds of the epoch."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return value
        now = datetime.now(UTC)
        try:
            if value[-1:] in _UNITS and value[:-1].isascii() and value[:-1].isdigit():
                return now.timestamp() - int(value[:-1]) * _UNITS[value[-1]]
            found = datetime.fromisoformat(value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a time such as 2026-11-21T08:00 (UTC) nor an age such as 36h", param, ctx)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The search. The state `refused` finds refusals; `reason` is the reason of a delivery or a refusal."""

    limit: int = option("Maximum number of messages.", type=click.IntRange(1, 10_000), default=50)
    partner: str | None = option("Only messages of this partner.", metavar="NAME")
    state: str | None = option(
        "Only messages whose delivery to the backend is in this state.", type=click.Choice(STATES)
    )
    reason: str | None = option(
        "Only messages with this reason: of a refusal, or of the last delivery attempt.",
        type=ReasonCode(),
        metavar="CODE",
    )
    since: float | None = option(
        "Only messages received at or after this time: a time in UTC, or an age such as 36h.", type=Moment()
    )
    until: float | None = option("Only messages received before this time.", type=Moment())
    before: str | None = option("Only messages older than this ID, the last one of the previous page.", metavar="ID")

    def rows(self, journal: Journal) -> list[Row]:
        """Messages and refusals together, newest first."""
        found: list[Row] = []
        if self.state != REFUSED:
            state = DeliveryState(self.state) if self.state else None
            found += map(_message, journal.messages(**self._query(), state=state))
        if self.state == REFUSED or (self.reason and not self.state):
            found += map(_refusal, journal.refusals(**self._query()))
        return sorted(found, key=lambda row: row["id"], reverse=True)[: self.limit]

    def _query(self) -> dict[str, Any]:
        """The arguments for the journal, with a range of ids: searching by time alone would read every message."""
        after = None if self.since is None else first_id(self.since - MARGIN_SECONDS)
        until = None if self.until is None else first_id(self.until + MARGIN_SECONDS)
        before = min(filter(None, (self.before, until)), default=None)
        return values_of(self, "limit", "partner", "reason", "since", "until") | {"after": after, "before": before}


def show(journal: Journal, wanted: Wanted, *, as_json: bool) -> bool:
    """Write one page, and return whether it has any rows."""
    rows = wanted.rows(journal)
    if as_json:
        say_json(rows)
        return bool(rows)
    say_table(list(COLUMNS.values()), map(_cells, rows), fold="MESSAGE-ID")
    if not rows:
        say("no messages")
    elif len(rows) == wanted.limit:
        say(f"for older messages: --before {rows[-1]['id']}")
    return bool(rows)


def follow(
    opened: Open,
    wanted: Wanted,
    *,
    as_json: bool,
    wait: Callable[[], None],
    page: int = PAGE,
    remember: int = MAX_KNOWN,
) -> None:
    """Write the newest rows, oldest first, then each new row and each change of state, until `wait` raises.

    The journal is opened again for each look, because a reader may have opened a file that no daemon writes to.
    """
    follower = Follower(wanted, page, remember)
    news = follower.first_look
    while True:
        with opened() as journal:
            rows = news(journal)
        for row in reversed(rows):
            say(json.dumps(row) if as_json else "  ".join(map(str, _cells(row))))
        news = follower.look
        wait()


class Follower:
    """Remembers the rows that were shown, to find new ones. Rows older than everything remembered are not new."""

    def __init__(self, wanted: Wanted, page: int, remember: int) -> None:
        self._wanted = wanted
        self._page = page
        self._most = remember
        self._known: dict[str, str | None] = {}
        self._oldest = ""

    def first_look(self, journal: Journal) -> list[Row]:
        """The wanted number of rows, newest first."""
        rows = replace(self._wanted, limit=max(self._wanted.limit, self._page)).rows(journal)
        self._known = {row["id"]: row["state"] for row in rows}
        self._oldest = rows[-1]["id"] if len(rows) >= self._page else ""
        return rows[: self._wanted.limit]

    def look(self, journal: Journal) -> list[Row]:
        """The rows that are new since the last look, or have another state, newest first."""
        rows, down_to = [], ""
        for page in self._pages(journal):
            rows += page
            down_to = page[-1]["id"] if len(page) == self._page else ""
        news = [row for row in rows if row["id"] >= self._oldest and self._is_news(row)]
        self._remember(rows, down_to)
        return news

    def _is_news(self, row: Row) -> bool:
        return row["id"] not in self._known or self._known[row["id"]] != row["state"]

    def _pages(self, journal: Journal) -> Iterator[list[Row]]:
        """The newest page, and older pages down to the known rows."""
        wanted = replace(self._wanted, limit=self._page)
        while page := wanted.rows(journal):
            yield page
            last = page[-1]["id"]
            if len(page) < self._page or last in self._known or last < self._oldest:
                return
            wanted = replace(wanted, before=last)

    def _remember(self, rows: list[Row], down_to: str) -> None:
        """Forget rows that no longer match: they may match again, such as a delivery that fails twice."""
        kept = {each: state for each, state in self._known.items() if each < down_to}
        self._known = {row["id"]: row["state"] for row in rows} | kept
        if len(self._known) > self._most:
            self._known = dict(sorted(self._known.items(), reverse=True)[: self._most // 2])
            self._oldest = min(self._known)


def _message(listed: ListedMessage) -> Row:
    message = listed.message
    return _row(message, message.received_at, size=message.size, state=listed.state)


def _refusal(refusal: Refusal) -> Row:
    return _row(refusal, refusal.refused_at, size=None, state=REFUSED, reason=refusal.reason)


def _row(about: Message | Refusal, received_at: float, **more: object) -> Row:
    named = values_of(about, "partner", "as2_from", "as2_to", "message_id")
    return {"id": about.id, "received_at": iso(received_at), **named, **more}


def _cells(row: Row) -> tuple[object, ...]:
    return tuple("-" if row[name] is None else row[name] for name in COLUMNS)
