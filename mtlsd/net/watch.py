"""Seeing that a file changed: inotify for a tree of directories (inotify(7)), by ctypes.

An atomic rename, an editor that writes in two steps and a swapped symlink all show up. What inotify misses (a full
queue, a network file system), the slow re-scan finds.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import trio

RESCAN_SECONDS = 30
SETTLE_SECONDS = 0.2  # writing has settled when nothing happened for so long
MAX_SETTLE_SECONDS = 2  # but nobody may hold a reload up for ever

_IN_ALL = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # modify, attrib, close_write, move, create, …
_EVENTS = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class TreeWatch:
    """Wakes up when one of these files, or anything below these directories, changes. A context manager.

    `seen_before` is when they were last read, in seconds of the epoch: what changed since then is a change, too.
    """

    def __init__(self, roots: Iterable[Path], seen_before: float) -> None:
        self._roots = tuple(roots)
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._seen = self._look()
        self._missed = any(stamp.changed > seen_before for stamp in self._seen)

    def __enter__(self) -> "TreeWatch":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    async def changed(self) -> None:
        """Return once something changed and writing has settled."""
        while not self._missed:
            if await self._event_within(RESCAN_SECONDS):
                await self._settled()
            seen = await trio.to_thread.run_sync(self._look)
            self._missed, self._seen = seen != self._seen, seen
        self._missed = False

    async def _settled(self) -> None:
        with trio.move_on_after(MAX_SETTLE_SECONDS):
            while await self._event_within(SETTLE_SECONDS):
                pass

    async def _event_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._fd)
            os.read(self._fd, _EVENTS)
            return True
        return False

    def _look(self) -> frozenset["_Stamp"]:
        """Watch what is new (what is watched stays so, what is gone drops out), and then see what there is."""
        for directory in _directories(self._roots):
            _libc.inotify_add_watch(self._fd, os.fsencode(directory), ctypes.c_uint32(_IN_ALL))
        return frozenset(_stamps(self._roots))


class _Stamp(NamedTuple):
    """Differs when a file does: in its name, its inode, its size or its times."""

    path: str
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: float  # seconds of the epoch


def _directories(roots: Iterable[Path]) -> Iterator[str]:
    """Every directory below the roots, and the parent of each: a file that is replaced is a new inode."""
    for root in roots:
        yield str(root.parent)
        for directory, _, _ in os.walk(root):
            yield directory


def _stamps(roots: Iterable[Path]) -> Iterator[_Stamp]:
    for root in roots:
        yield from _stamp(root)
        for directory, directories, files in os.walk(root):
            for name in (*directories, *files):
                yield from _stamp(Path(directory, name))


def _stamp(path: Path) -> Iterator[_Stamp]:
    """What is there, and what it points to where it is a link."""
    for look in (os.lstat, os.stat):
        with suppress(OSError):
            stat = look(path)
            yield _Stamp(str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime)
