"""One daemon a state directory: a second one would sweep away what the first is receiving."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlsd.errors import MtlsdError
from mtlsd.journal.spool import disk_errors, make_directory


class DirectoryInUse(MtlsdError):
    """Another process holds the lock."""


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold the directory while the block runs, and make it if it is missing; the lock ends with the process, too.

    Raises DirectoryInUse, SpoolFull or JournalUnavailable.
    """
    with disk_errors():
        make_directory(directory)
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(fd, directory)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, directory: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DirectoryInUse(f"another mtlsd uses {directory}: stop it, or name another `state`") from None
