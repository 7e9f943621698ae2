"""The commit of an acceptance, and what becomes of its files where that fails.

What certainly is not in the journal is removed at once. Where nobody knows, the files stay until a later commit has
succeeded: then the journal knows, after a crash too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.journal.model import Acceptance, Journal, Message
from mtlsd.journal.spool import Spool
from mtlsd.net.services.group_commit import Committer


@dataclass(slots=True, eq=False)
class Unclear:
    """Files of messages whose commit failed, and may be on the disk all the same: our id of each, and the names."""

    journal: Journal
    spool: Spool
    _files: list[tuple[str, list[str]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._files)

    def note(self, acceptance: Acceptance) -> None:
        """Nobody knows of this one."""
        message = acceptance.message
        kept = (message.payload, message.original, message.signed, message.signature)
        names = [name for name in kept if name and name not in acceptance.documents]
        if names:
            self._files.append((message.id, names))

    def settle(self) -> None:
        """Remove the files of those that the journal does not have; what cannot be done now stays for later."""
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
    """Make it durable, and return the message that holds its key; raises JournalUnavailable or SpoolFull.

    `withdraw` removes its files; whoever is cut off leaves them to the sweep of the next start.
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
