"""Files and directories that only the user of mtlsd may open: 0600 and 0700, whatever the umask is."""

import os
import stat
from pathlib import Path

from mtlsd.files.durable import sync_directory

PRIVATE = 0o600
PRIVATE_DIRECTORY = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_directory(directory: Path) -> bool:
    """Make a directory, and what is missing above it, so that a loss of power takes none of them.

    Returns whether it was missing; one that was there keeps its mode.
    """
    if directory.is_dir():
        return False
    make_directory(directory.parent)
    is_new = make_undurable(directory)
    sync_directory(directory.parent)
    return is_new


def make_undurable(directory: Path) -> bool:
    """Make one directory, whose name the caller syncs; returns whether it was missing."""
    try:
        directory.mkdir(PRIVATE_DIRECTORY)
    except FileExistsError:
        if directory.is_dir():
            return False
        raise
    directory.chmod(PRIVATE_DIRECTORY)
    return True


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Open a file, which is made if it is missing; one that was there keeps its mode."""
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    except FileExistsError:
        return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    os.fchmod(fd, PRIVATE)
    return fd


def mode_for_others(path: Path) -> int | None:
    """The mode of a file or directory that others than its owner can open; None if they cannot, or it is missing."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return mode if mode & _OTHERS else None
