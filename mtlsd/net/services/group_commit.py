"""Group commit: while one commit is being written to disk, new acceptances wait together for the next commit.

One thread hop and one fsync then serve all of them. No acceptance waits longer than for the commit in progress and its
own commit.

If a commit fails, the files of messages that are certainly not in the journal are removed at once. If that is
uncertain, the files stay until a later commit has succeeded: then the journal can tell, also after a crash.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.journal.model import Acceptance, Message, Refusal
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal

MAX_GROUP = 64  # acceptances and refusals in one commit


@dataclass(slots=True, eq=False)
class _Entry:
    what: Acceptance | Refusal
    outcome: Message | Refusal | Exception | None = None


class Committer:
    """The one writer of acceptances, and of refusals whose MDN is in the answer."""

    def __init__(self, journal: Journal, observe: Callable[[float, int], None] = lambda *_: None) -> None:
        """`observe` is called for each commit, with its duration in seconds and the number of entries."""
        self._journal = journal
        self._observe = observe
        self._waiting: list[_Entry] = []
        self._turn = trio.Lock()

    async def accept(self, acceptance: Acceptance) -> Message:
        """Make an acceptance durable, and return the message that holds its key.

        Raises JournalUnavailable or SpoolFull.
        """
        holder = await self._write(_Entry(acceptance))
        assert isinstance(holder, Message)
        return holder

    async def refuse(self, refusal: Refusal) -> None:
        """Make a refusal durable; raises JournalUnavailable or SpoolFull."""
        await self._write(_Entry(refusal))

    async def _write(self, entry: _Entry) -> Message | Refusal:
        self._waiting.append(entry)
        async with self._turn:  # the task with the turn commits for all that wait
            while entry.outcome is None:
                with trio.CancelScope(shield=True):  # the commit also has messages of others
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
        except Exception as error:  # noqa: BLE001 - raised again in the task of the entry
            return error

    async def _commit(self) -> None:
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        outcomes: Sequence[Message | Refusal | Exception]
        began = trio.current_time()
        try:
            outcomes = await self._together(group)
            self._observe(trio.current_time() - began, len(group))
        except (JournalUnavailable, SpoolFull) as error:  # the same failure for all
            outcomes = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - a bug with one entry: each is committed alone
            outcomes = [error] if len(group) == 1 else [await self._alone(entry) for entry in group]
        for entry, outcome in zip(group, outcomes, strict=True):
            entry.outcome = outcome


@dataclass(slots=True, eq=False)
class Unclear:
    """Files of messages whose commit failed but may be on disk nevertheless: our id of each message, and the names."""

    journal: Journal
    spool: Spool
    _files: list[tuple[str, list[str]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._files)

    def note(self, acceptance: Acceptance) -> None:
        """Note a message of which nobody knows whether it was committed."""
        message = acceptance.message
        kept = (message.payload, message.original, message.signed, message.signature)
        names = [name for name in kept if name and name not in acceptance.documents]
        if names:
            self._files.append((message.id, names))

    def settle(self) -> None:
        """Remove the files of messages that the journal does not have; if that fails now, it is done later."""
        files, self._files = self._files, []
        for at, (message_id, names) in enumerate(files):
            try:
                if not self.journal.is_settled():
                    raise JournalUnavailable("an earlier commit is still under way")
                found = self.journal.message(message_id)
                for name in names if found is None else ():
                    self.spool.remove(name)
            except (JournalUnavailable, SpoolFull):
                self._files += files[at:]
                return


async def accept(
    committer: Committer, unclear: Unclear, acceptance: Acceptance, withdraw: Callable[[], None]
) -> Message:
    """Make an acceptance durable, and return the message that holds its key; raises JournalUnavailable or SpoolFull.

    `withdraw` removes its files. If the task is cancelled, the next start sweeps the files.
    """
    try:
        holder = await committer.accept(acceptance)
    except CommitUnclear:
        unclear.note(acceptance)
        raise
    except Exception:
        withdraw()
        raise
    if unclear:
        await trio.to_thread.run_sync(unclear.settle)
    return holder
