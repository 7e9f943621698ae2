"""One daemon a state directory, and the name that it has among those who share a journal.

A second one in the same directory would sweep away what the first is receiving.
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
    """Another process holds the lock."""


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold the directory while the block runs, and make it if it is missing; the lock ends with the process, too.

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
    """Return the name in the directory's file `node`, which is made of `new` where there is none.

    It is the same after a restart, also on a host of another name, and no two directories have the same one. Call it
    with the directory locked; raises SpoolFull or JournalUnavailable.
    """
    file = directory / "node"
    with disk_errors():
        if not file.exists():
            with placed(file, PRIVATE, alone=True) as opened:
                opened.write(_UNFIT.sub("-", new)[:100].encode("ascii") + b"\n")
        node = file.read_text("latin-1").strip()
    if not _NODE.fullmatch(node):
        raise JournalUnavailable(f"{file} is damaged: it holds the name of this node; remove it for a new one")
    return node


def _lock(fd: int, directory: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DirectoryInUse(f"another mtlsd uses {directory}: stop it, or name another `state`") from None
