"""Signs a checkpoint with the key of this node, for a proof that is needed now."""

from datetime import UTC, datetime
from pathlib import Path

from mtlsd.cli.journal.proof_folder import CannotProve, NotSigned
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.checkpoints import NodeKey, load_key, node_name
from mtlsd.journal.proof.sign_checkpoint import ChainBroken, sign_checkpoint
from mtlsd.journal.sql.journal import Journal


def sign_now(opened: Journal, state: Path, directory: Path, missing: NotSigned) -> None:
    """Sign the checkpoint that the proof needs; raises CannotProve if this process cannot.

    A daemon may be running and signing meanwhile: both follow the same chain and append to the same file.
    """
    key = _key(state, missing)
    if key.node not in checkpoints.nodes(directory):  # the daemon could not write to a file that we create there
        raise CannotProve(f"{missing}. The daemon has signed nothing in {directory} yet: start the daemon first")
    try:
        sign_checkpoint(opened, key, directory, checkpoints.last(directory, key.node), datetime.now(UTC).timestamp())
    except ChainBroken as error:
        raise CannotProve(f"{missing}, and none can be signed: {error}") from error
    except (JournalUnavailable, SpoolFull) as error:
        raise CannotProve(f"{missing}, and none can be written: {error}") from error


def _key(state: Path, missing: NotSigned) -> NodeKey:
    try:
        name = node_name(state)
        if name == missing.node:
            return load_key(state)
    except JournalUnavailable as error:
        raise CannotProve(f"{missing}. To sign one now, run this as root or as the user of mtlsd: {error}") from error
    raise CannotProve(f"{missing}. To sign one now, run this on the machine of node {missing.node}, which has the key")
