"""Group commit: while one commit is on its way to the disk, the acceptances that come in wait together for the next.

One thread hop and one fsync then serve them all, and none waits longer than for the commit under way and its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.model import Acceptance, Journal, Message, Refusal

MAX_GROUP = 64  # acceptances and refusals in one commit


@dataclass(slots=True, eq=False)
class _Entry:
    what: Acceptance | Refusal
    outcome: Message | Refusal | Exception | None = None


class Committer:
    """The one writer of acceptances, and of refusals whose MDN is in the answer."""

    def __init__(self, journal: Journal, observe: Callable[[float, int], None] = lambda *_: None) -> None:
        """`observe` hears of each commit: the seconds that it took, and how many it served."""
        self._journal = journal
        self._observe = observe
        self._waiting: list[_Entry] = []
        self._turn = trio.Lock()

    async def accept(self, acceptance: Acceptance) -> Message:
        """Make it durable, and return the message that holds its key; raises JournalUnavailable or SpoolFull."""
        holder = await self._write(_Entry(acceptance))
        assert isinstance(holder, Message)
        return holder

    async def refuse(self, refusal: Refusal) -> None:
        """Make it durable; raises JournalUnavailable or SpoolFull."""
        await self._write(_Entry(refusal))

    async def _write(self, entry: _Entry) -> Message | Refusal:
        self._waiting.append(entry)
        async with self._turn:  # whoever has the turn commits for all who wait
            while entry.outcome is None:
                with trio.CancelScope(shield=True):  # the others' messages are in it, too
                    await self._commit()
        if isinstance(entry.outcome, Exception):
            raise entry.outcome
        assert entry.outcome is not None
        return entry.outcome

    async def _together(self, group: Sequence[_Entry]) -> list[Message | Refusal]:
        acceptances = [entry.what for entry in group if isinstance(entry.what, Acceptance)]
        refusals = [entry.what for entry in group if isinstance(entry.what, Refusal)]
        holders = iter(await trio.to_thread.run_sync(self._journal.accept, acceptances, refusals))
        return [entry.what if isinstance(entry.what, Refusal) else next(holders) for entry in group]

    async def _alone(self, entry: _Entry) -> Message | Refusal | Exception:
        try:
            return (await self._together([entry]))[0]
        except Exception as error:  # noqa: BLE001 - it is raised where the acceptance came from
            return error

    async def _commit(self) -> None:
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        outcomes: Sequence[Message | Refusal | Exception]
        began = trio.current_time()
        try:
            outcomes = await self._together(group)
            self._observe(trio.current_time() - began, len(group))
        except (JournalUnavailable, SpoolFull) as error:  # the same trouble for each
            outcomes = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - a bug with one of them, which raises it; the others go on alone
            outcomes = [error] if len(group) == 1 else [await self._alone(entry) for entry in group]
        for entry, outcome in zip(group, outcomes, strict=True):
            entry.outcome = outcome
