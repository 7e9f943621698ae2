"""Signs a checkpoint. The chain is checked from the last checkpoint on, so a break is never signed."""

from pathlib import Path

from mtlsd.errors import MtlsdError
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.chain import Break, ChainFollower, Checkpoint, Head
from mtlsd.journal.proof.checkpoints import NodeKey, SignedCheckpoint
from mtlsd.journal.proof.verify import chain_entries
from mtlsd.journal.sql.journal import Journal


class ChainBroken(MtlsdError):
    """The chain was altered since it was last signed, or is broken after that."""

    def __init__(self, broken: Break) -> None:
        super().__init__(f"entry {broken.number} {broken.what}; run mtlsd journal verify")
        self.broken = broken


def sign_checkpoint(
    journal: Journal, key: NodeKey, directory: Path, last: Checkpoint | None, now: float
) -> SignedCheckpoint | None:
    """Sign the chain up to its head; None if nothing was entered since the last checkpoint.

    Several processes may do this at the same time. Raises ChainBroken, JournalUnavailable or SpoolFull.
    """
    if last and not _is_there(journal, last):
        raise ChainBroken(Break(last.node, last.number, "", "is not the entry that the last checkpoint signed"))
    follower = ChainFollower(key.node, head=Head(last.number, last.digest) if last else None)
    signed_up_to = follower.head.number
    for entry in chain_entries(journal, key.node, signed_up_to):
        if broken := follower.follow(entry):
            raise ChainBroken(broken)
    if follower.head.number == signed_up_to:
        return None
    return checkpoints.write(directory, key, Checkpoint(key.node, follower.head.number, follower.head.digest, now))


def _is_there(journal: Journal, last: Checkpoint) -> bool:
    """Whether the entry that the last checkpoint is about is unaltered."""
    found = journal.proof.entries(last.node, last.number - 1, 1)
    return bool(found) and (found[0].number, found[0].digest) == (last.number, last.digest)
