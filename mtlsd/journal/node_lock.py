"""The lock of a state directory, for one daemon per directory, and the name of this node among those of a journal.

A second daemon in the same directory would delete the files that the first daemon is receiving.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlsd.errors import JournalUnavailable, MtlsdError
from mtlsd.files.durable import placed
from mtlsd.files.private import PRIVATE, make_directory, open_private
from mtlsd.journal.spool import disk_errors

_UNFIT = re.compile(r"[^\w-]", re.ASCII)
_NODE = re.compile(r"[\w-]{1,100}", re.ASCII)


class DirectoryInUse(MtlsdError):
    """Another process has locked the directory."""


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Lock the directory while the block runs, and create it if needed; the end of the process also releases the lock.

    Raises DirectoryInUse, SpoolFull or JournalUnavailable.
    """
    with disk_errors():
        make_directory(directory)
        fd = open_private(directory / "lock")
    try:
        _lock(fd, directory)
        yield
    finally:
        os.close(fd)


def node_of(directory: Path, new: str) -> str:
    """Return the name in the directory's file `node`, which is created with the name `new` if it does not exist.

    The name stays the same after a restart, and on a host with another name. The directory must be locked. Raises
    SpoolFull or JournalUnavailable.
    """
    file = directory / "node"
    with disk_errors():
        if not file.exists():
            with placed(file, PRIVATE, alone=True) as opened:
                opened.write(_UNFIT.sub("-", new)[:100].encode("ascii") + b"\n")
        node = file.read_text("latin-1").strip()
    if not _NODE.fullmatch(node):
        raise JournalUnavailable(f"{file} does not hold a valid name of a node: delete the file to get a new name")
    return node


def _lock(fd: int, directory: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DirectoryInUse(f"another mtlsd uses {directory}: stop it, or set another `state`") from None
