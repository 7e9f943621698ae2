"""Group commit: while one commit is on its way to the disk, the acceptances that come in wait together for the next.

One thread hop and one fsync then serve them all, and none waits longer than for the commit under way and its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal import Acceptance, Journal, Message

MAX_GROUP = 64  # acceptances in one commit


@dataclass(slots=True, eq=False)
class _Entry:
    acceptance: Acceptance
    outcome: Message | Exception | None = None


class Committer:
    """The one writer of acceptances."""

    def __init__(self, journal: Journal, observe: Callable[[float, int], None] = lambda *_: None) -> None:
        """`observe` hears of each commit: the seconds that it took, and the number of messages."""
        self._journal = journal
        self._observe = observe
        self._waiting: list[_Entry] = []
        self._turn = trio.Lock()

    async def accept(self, acceptance: Acceptance) -> Message:
        """Make it durable, and return the message that holds its key; raises JournalUnavailable or SpoolFull."""
        entry = _Entry(acceptance)
        self._waiting.append(entry)
        async with self._turn:  # whoever has the turn commits for all who wait
            while entry.outcome is None:
                with trio.CancelScope(shield=True):  # the others' messages are in it, too
                    await self._commit()
        if isinstance(entry.outcome, Exception):
            raise entry.outcome
        assert entry.outcome is not None
        return entry.outcome

    async def _alone(self, entry: _Entry) -> Message | Exception:
        try:
            return (await trio.to_thread.run_sync(self._journal.accept, [entry.acceptance]))[0]
        except Exception as error:  # noqa: BLE001 - it is raised where the acceptance came from
            return error

    async def _commit(self) -> None:
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        acceptances = [entry.acceptance for entry in group]
        outcomes: Sequence[Message | Exception]
        began = trio.current_time()
        try:
            outcomes = await trio.to_thread.run_sync(self._journal.accept, acceptances)
            self._observe(trio.current_time() - began, len(group))
        except (JournalUnavailable, SpoolFull) as error:  # the same trouble for each
            outcomes = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - a bug with one of them, which raises it; the others go on alone
            outcomes = [error] if len(group) == 1 else [await self._alone(entry) for entry in group]
        for entry, outcome in zip(group, outcomes, strict=True):
            entry.outcome = outcome
