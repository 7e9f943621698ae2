"""Signs checkpoints of this node's chain periodically, and logs an error if the chain is broken.

`mtlsd journal prove` may sign checkpoints in between: each checkpoint of this task continues from its own last one.
"""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import trio

from mtlsd import __version__, log
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.chain import Checkpoint, EntryKind, Note
from mtlsd.journal.proof.checkpoints import NodeKey, SignedCheckpoint
from mtlsd.journal.proof.sign_checkpoint import ChainBroken, sign_checkpoint
from mtlsd.net.services.state import State
from mtlsd.snapshot.snapshot import Snapshot

LOOK_SECONDS = 10  # between two checks of the chain's length


class Notary:
    """Signs the checkpoints of one node; calls must not overlap."""

    def __init__(self, state: State, key: NodeKey) -> None:
        self._state = state
        self._key = key
        self._directory: Path | None = None  # the directory of `_last`
        self._last: Checkpoint | None = None

    async def run(self) -> None:
        """Sign as often as `[proof]` says, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            await trio.to_thread.run_sync(self.look)

    def look(self) -> None:
        """Sign if there are enough new entries, or if enough time has passed."""
        self._guarded(self._sign_if_due)

    def sign(self) -> None:
        """Sign the entries that are not signed yet."""
        self._guarded(self._sign)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run `act`. A failure is logged and retried later: it must not stop the receipt of messages."""
        try:
            act()
        except (JournalUnavailable, SpoolFull) as error:
            self._state.log.error(log.CHECKPOINT_FAILED, reason=error.reason, detail=error.detail)

    def _sign_if_due(self) -> None:
        proof, last = self._state.snapshot.configuration.proof, self._recall()
        waiting = self._state.journal.proof.head(self._key.node).number - (last.number if last else 0)
        since = self._state.clock() - (last.at if last else 0)
        if waiting >= proof.checkpoint_entries or (waiting and not 0 <= since < proof.checkpoint_seconds):
            self._sign()

    def _sign(self) -> None:
        last, state = self._recall(), self._state
        assert self._directory is not None
        try:
            signed = sign_checkpoint(state.journal, self._key, self._directory, last, state.clock())
        except ChainBroken as error:
            where = {"node": error.broken.node, "number": error.broken.number}
            state.log.error(log.CHAIN_BROKEN, **where, detail=str(error))
        else:
            if signed:
                self._note(signed)

    def _note(self, signed: SignedCheckpoint) -> None:
        checkpoint = self._last = signed.checkpoint
        facts = {"node": checkpoint.node, "number": checkpoint.number, "digest": checkpoint.digest}
        facts |= {"at": checkpoint.at, "sequence": checkpoint.sequence}
        signature = b64encode(signed.signature).decode()
        self._state.log.info(log.CHECKPOINT_SIGNED, **facts, signature=signature)

    def _recall(self) -> Checkpoint | None:
        """The last checkpoint, read again only if the directory of the checkpoints has changed."""
        directory = self._state.snapshot.configuration.checkpoints
        if directory != self._directory:
            self._last = checkpoints.last(directory, self._key.node)
            self._directory = directory
        return self._last


def configuration_note(snapshot: Snapshot, now: float) -> Note:
    """The chain entry for a configuration that comes into force."""
    return Note(EntryKind.CONFIGURATION, snapshot.version, now, {"mtlsd": __version__, "version": snapshot.version})
