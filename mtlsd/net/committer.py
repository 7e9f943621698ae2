"""Group commit: while one commit is on its way to the disk, the acceptances that come in wait together for the next.

One thread hop and one fsync then serve them all, and none waits longer than for the commit under way and its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from mtlsd.journal import Acceptance, Journal, Message

MAX_GROUP = 64  # acceptances in one commit


@dataclass(slots=True, eq=False)
class _Entry:
    acceptance: Acceptance
    outcome: Message | Exception | None = None


class Committer:
    """The one writer of acceptances."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[_Entry] = []
        self._turn = trio.Lock()

    async def accept(self, acceptance: Acceptance) -> Message:
        """Make it durable, and return the message that holds its key; raises JournalUnavailable or SpoolFull."""
        entry = _Entry(acceptance)
        self._waiting.append(entry)
        async with self._turn:  # whoever has the turn commits for all who wait
            while entry.outcome is None:
                await self._commit()
        if isinstance(entry.outcome, Exception):
            raise entry.outcome
        return entry.outcome

    async def _commit(self) -> None:
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        acceptances = [entry.acceptance for entry in group]
        outcomes: Sequence[Message | Exception]
        try:
            with trio.CancelScope(shield=True):  # the others' messages are in it, too
                outcomes = await trio.to_thread.run_sync(self._journal.accept, acceptances)
        except Exception as error:  # noqa: BLE001 - each of them has the same trouble, and raises it
            outcomes = [error] * len(group)
        for entry, outcome in zip(group, outcomes, strict=True):
            entry.outcome = outcome
