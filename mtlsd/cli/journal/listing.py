"""Searches and shows messages for `mtlsd journal list`, one page at a time or continuously."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import click

from mtlsd.cli.journal.moment import Moment
from mtlsd.cli.journal.suggestions import ReasonCode
from mtlsd.cli.options import option
from mtlsd.cli.output import iso, say, say_json, say_table, values_of
from mtlsd.ids import first_id
from mtlsd.journal.model import DeliveryState, ListedMessage, Message, Refusal
from mtlsd.journal.search import Search
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
    "reason": "REASON",
    "filename": "FILE",
}
CUT = ("MESSAGE-ID", "FILE", "FROM", "TO", "PARTNER", "REASON")  # may be shortened on a narrow terminal
LEFT_OUT = (
    "TO",
    "FROM",
    "BYTES",
    "MESSAGE-ID",
    "RECEIVED",
    "FILE",
    "REASON",
    "PARTNER",
)  # in this order, if still too wide
# An id has the time when an exchange began, at most header_seconds before the message was received.
MARGIN_SECONDS = 2 * 3600
POLL_SECONDS = 1
PAGE = 500  # rows at a time
MAX_KNOWN = 100_000  # rows that are remembered

Row = dict[str, Any]
Open = Callable[[], AbstractContextManager[Journal]]


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
    search: str | None = option(
        "Only messages whose file name, subject or Message-ID begins with this text, in upper or lower case; with "
        "--since, also those that have it anywhere.",
        metavar="TEXT",
    )
    filename: str | None = option(
        "Only messages with such a file name; * is any text and ? any character.", metavar="GLOB"
    )
    since: float | None = option(
        "Only messages received at or after this time: a time in UTC, an age such as 36h, or words such as today, "
        "yesterday, 'last tuesday' or '3 days ago'.",
        type=Moment(),
    )
    until: float | None = option("Only messages received before this time.", type=Moment())
    before: str | None = option("Only messages older than this ID, the last one of the previous page.", metavar="ID")

    def rows(self, journal: Journal) -> list[Row]:
        """Messages and refusals together, newest first."""
        found: list[Row] = []
        search = self.search_for()
        if self.state != REFUSED:
            state = DeliveryState(self.state) if self.state else None
            found += map(_message, journal.messages(**self._query(), state=state, search=search))
        if not self.filename and (self.state == REFUSED or ((self.reason or self.search) and not self.state)):
            found += map(_refusal, journal.refusals(**self._query(), search=search))
        return sorted(found, key=lambda row: row["id"], reverse=True)[: self.limit]

    def search_for(self) -> Search | None:
        """The search by text, if one is wanted; a text is found anywhere only since a time, because all are read."""
        if not (self.search or self.filename):
            return None
        return Search(self.search or "", self.filename or "", anywhere=self.since is not None)

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
    say_table(list(COLUMNS.values()), map(_cells, rows), cut=CUT, left_out=LEFT_OUT)
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
    more = {"state": listed.state, "reason": listed.reason, "filename": message.filename, "subject": message.subject}
    return _row(message, message.received_at, size=message.size, **more)


def _refusal(refusal: Refusal) -> Row:
    return _row(
        refusal, refusal.refused_at, size=None, state=REFUSED, reason=refusal.reason, filename=None, subject=None
    )


def _row(about: Message | Refusal, received_at: float, **more: object) -> Row:
    named = values_of(about, "partner", "as2_from", "as2_to", "message_id")
    return {"id": about.id, "received_at": iso(received_at), **named, **more}


def _cells(row: Row) -> tuple[object, ...]:
    return tuple("-" if row[name] is None else row[name] for name in COLUMNS)
