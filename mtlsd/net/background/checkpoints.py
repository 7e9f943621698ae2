"""The notary: signs checkpoints of this node's chain, now and then, and says so when the chain is not whole.

`mtlsd journal prove` may sign one in between: what is signed here begins at the last one that was signed here.
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

LOOK_SECONDS = 10  # between two looks at how far the chain has come


class Notary:
    """Signs for one node; one call at a time."""

    def __init__(self, state: State, key: NodeKey) -> None:
        self._state = state
        self._key = key
        self._directory: Path | None = None  # where `_last` is from
        self._last: Checkpoint | None = None

    async def run(self) -> None:
        """Sign as often as `[proof]` says, until it is cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            await trio.to_thread.run_sync(self.look)

    def look(self) -> None:
        """Sign if there is enough to sign, or enough time has passed."""
        self._guarded(self._sign_if_due)

    def sign(self) -> None:
        """Sign what is not signed yet."""
        self._guarded(self._sign)

    def _guarded(self, act: Callable[[], None]) -> None:
        """What goes wrong is said, and tried again later: it must not keep messages from coming in."""
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
        """The last checkpoint, read again only where they are written elsewhere now."""
        directory = self._state.snapshot.configuration.checkpoints
        if directory != self._directory:
            self._last = checkpoints.last(directory, self._key.node)
            self._directory = directory
        return self._last


def configuration_note(snapshot: Snapshot, now: float) -> Note:
    """What is entered when a configuration comes into force."""
    return Note(EntryKind.CONFIGURATION, snapshot.version, now, {"mtlsd": __version__, "version": snapshot.version})
