"""Seeing that a file changed: inotify for a tree of directories (inotify(7)), by ctypes.

An atomic rename, an editor that writes in two steps and a swapped symlink all show up. What inotify misses (a full
queue, a network file system), the slow re-scan finds.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import trio

RESCAN_SECONDS = 30
SETTLE_SECONDS = 0.2  # writing has settled when nothing happened for so long
MAX_SETTLE_SECONDS = 2  # but nobody may hold a reload up for ever

_IN_ALL = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # modify, attrib, close_write, move, create, …
_EVENTS = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class TreeWatch:
    """Wakes up when one of these files, or anything below these directories, changes. A context manager."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(roots)
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._refresh()
        self._seen = self._fingerprint()

    def __enter__(self) -> "TreeWatch":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    async def changed(self) -> None:
        """Return once something changed and writing has settled."""
        while not await self._event_within(RESCAN_SECONDS):
            if self._fingerprint() != self._seen:
                break
        with trio.move_on_after(MAX_SETTLE_SECONDS):
            while await self._event_within(SETTLE_SECONDS):
                pass
        self._refresh()
        self._seen = self._fingerprint()

    async def _event_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._fd)
            os.read(self._fd, _EVENTS)
            return True
        return False

    def _refresh(self) -> None:
        """Watch what is new; what is watched stays so, and what is gone drops out by itself."""
        for path in self._paths():
            _libc.inotify_add_watch(self._fd, os.fsencode(path), ctypes.c_uint32(_IN_ALL))

    def _paths(self) -> Iterator[str]:
        for root in self._roots:
            yield str(root)
            for directory, _, _ in os.walk(root):
                yield directory

    def _fingerprint(self) -> int:
        """Changes when any file does: its name, its inode, its size or its times."""
        return hash(tuple(_stamps(self._roots)))


def _stamps(roots: Iterable[Path]) -> Iterator[tuple[object, ...]]:
    for root in roots:
        files = [root, *(Path(directory, name) for directory, _, names in os.walk(root) for name in names)]
        for file in files:
            with suppress(OSError):
                stat = file.stat()
                yield str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
