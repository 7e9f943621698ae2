"""Detects that a file has changed, and to which partner it belongs: inotify(7) for every directory, by ctypes.

An atomic rename, an editor that writes in two steps and a swapped symbolic link are all detected. The slow re-scan
finds the changes that inotify misses (a full queue, a network file system, a directory for which no watch was left):
the re-scan compares stamps and reads no contents. An event under partners/ names the partner, so that only the files
of this partner are read.
"""

import ctypes
import errno
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import trio

from mtlsd.files.stamps import directories_in, own_directories, own_stamp
from mtlsd.partners.registry import may_be_partner, stale
from mtlsd.snapshot.snapshot import Changes, Snapshot

RESCAN_SECONDS = 30
RESCAN_SHARE = 50  # a re-scan that takes one second is not repeated for this many seconds
SETTLE_SECONDS = 0.2  # writing has settled when nothing has happened for this long
MAX_SETTLE_SECONDS = 1  # but nobody may delay a reload forever
PARTNERS = "partners"
PARTNER_DEPTH = 2  # levels of directories below a partner's own: tls/, and mounts there

_IN_ALL = 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # attrib, close_write, move, create, delete, …
_IN_MODIFY = 0x2  # each write: only for directories that hold nothing but our files, because a log may be elsewhere
_IN_MASK_ADD = 0x20000000  # a directory may be watched for two reasons
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000  # the watch is gone, with its directory
_EVENTS = 64 * 1024
_HEADER = struct.Struct("iIII")  # of an event: watch, mask, cookie, length of the name

_libc = ctypes.CDLL(None, use_errno=True)


class _Place(Enum):
    """A watched directory other than a partner's."""

    BESIDE_FILE = auto()  # of the configuration: many other files may be there
    ABOVE_CERTS = auto()  # here also, many other files may be there
    CERTS = auto()
    OWN = auto()
    PARTNERS = auto()


@dataclass(slots=True)
class _Seen:
    """The parts that may have changed."""

    own: bool = False
    partners: set[str] = field(default_factory=set)
    all_partners: bool = False

    def everything(self) -> None:
        self.own = self.all_partners = True

    def __bool__(self) -> bool:
        return self.own or self.all_partners or bool(self.partners)


class TreeWatch:
    """Reports the changes since a snapshot was read. A context manager.

    `limited` is true if the system has no watches left: only the re-scan then sees changes in unwatched directories.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], rescan_seconds: float = RESCAN_SECONDS) -> None:
        self._snapshot = snapshot  # the one in force
        first = snapshot()
        self._file = first.configuration.file
        self._file_names = {self._file.name}
        self._certs = first.configuration.server.certs
        self._own = first.own.stamp if first.own else b""
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._marks: dict[int, set[_Place | str]] = {}  # by watch; the text is a partner's name
        self._seen = _Seen(own=True, all_partners=True)  # changes before the first watch
        self._rescan_seconds = self._pause = rescan_seconds
        self.limited = False

    def __enter__(self) -> "TreeWatch":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    async def changed(self) -> Changes:
        """Return the changes once writing has settled."""
        while not (changes := await trio.to_thread.run_sync(self._examine)):
            if await self._event_within(self._pause):
                await self._settled()
            else:
                self._seen.everything()
        return changes

    async def _settled(self) -> None:
        with trio.move_on_after(MAX_SETTLE_SECONDS):
            while await self._event_within(SETTLE_SECONDS):
                pass

    async def _event_within(self, seconds: float) -> bool:
        """Whether an event concerned our files; other files beside the configuration are not ours."""
        with trio.move_on_after(seconds):
            while True:
                await trio.lowlevel.wait_readable(self._fd)
                if self._note(os.read(self._fd, _EVENTS)):
                    return True
        return False

    # --- Events -----------------------------------------------------------------------------------------

    def _note(self, events: bytes) -> bool:
        """Note what may have changed; return whether it is one of our files."""
        at = 0
        noted = _Seen()
        while at < len(events):
            watch, mask, _, length = _HEADER.unpack_from(events, at)
            at += _HEADER.size + length
            name = os.fsdecode(events[at - length : at].rstrip(b"\0"))
            if mask & _IN_Q_OVERFLOW:
                noted.everything()
            for place in self._marks.get(watch, ()):
                self._mark(noted, place, name)
            if mask & _IN_IGNORED:
                self._marks.pop(watch, None)
        self._seen.own |= noted.own
        self._seen.all_partners |= noted.all_partners
        self._seen.partners |= noted.partners
        return bool(noted)

    def _mark(self, noted: _Seen, place: "_Place | str", name: str) -> None:
        """Note the event of a name in a place; an event without a name is about the directory itself."""
        swapped = not name or name.startswith("..")  # Kubernetes: `..data` now points to another directory
        match place:
            case str():
                noted.partners.add(place)
            case _Place.OWN:
                noted.own = True
            case _Place.BESIDE_FILE:
                noted.own |= swapped or name in self._file_names
            case _Place.ABOVE_CERTS if swapped or name == self._certs.name:
                noted.everything()
            case _Place.CERTS if swapped or name == PARTNERS:
                noted.everything()
            case _Place.CERTS:
                noted.own = True
            case _Place.PARTNERS if swapped:
                noted.all_partners = True
            case _Place.PARTNERS if may_be_partner(name):
                noted.partners.add(name)

    # --- Looking ----------------------------------------------------------------------------------------

    def _examine(self) -> Changes:
        """Watch new directories (removed ones drop out by themselves), then look for changes."""
        seen, self._seen = self._seen, _Seen()
        own = False
        if seen.own:
            self._watch_own()
            stamp = own_stamp(self._file, self._certs)
            own, self._own = stamp != self._own, stamp
        for name in seen.partners:
            self._watch_partner(name)
        names = frozenset(seen.partners) | (self._rescan() if seen.all_partners else frozenset())
        return Changes(own, names)

    def _rescan(self) -> frozenset[str]:
        """The partners whose files have different stamps than when they were read."""
        began = time.monotonic()
        registry = self._snapshot().registry
        assert registry
        self._watch(registry.directory, _Place.PARTNERS)
        known = {mark for marks in self._marks.values() for mark in marks}
        with suppress(OSError):
            for each in registry.directory.iterdir():
                if each.name not in known and may_be_partner(each.name):
                    self._watch_partner(each.name)
        names = stale(registry)
        for name in names:
            self._watch_partner(name)
        self._pause = max(self._rescan_seconds, RESCAN_SHARE * (time.monotonic() - began))
        return names

    def _watch_own(self) -> None:
        real = Path(os.path.realpath(self._file))
        self._file_names = {self._file.name, real.name}
        for parent in (self._file.parent, real.parent):
            self._watch(parent, _Place.BESIDE_FILE)
        self._watch(self._certs.parent, _Place.ABOVE_CERTS)
        self._watch(self._certs, _Place.CERTS)
        for directory in own_directories(self._certs):
            self._watch(directory, _Place.OWN)

    def _watch_partner(self, name: str) -> None:
        for directory in directories_in(os.fspath(self._certs / PARTNERS / name), PARTNER_DEPTH):
            self._watch(directory, name)

    def _watch(self, directory: str | Path, mark: "_Place | str") -> None:
        """Watch a directory; a directory that is already watched gets one more mark."""
        wanted = _IN_ALL | _IN_MASK_ADD
        if isinstance(mark, str) or mark is _Place.OWN:
            wanted |= _IN_MODIFY
        watch = _libc.inotify_add_watch(self._fd, os.fsencode(directory), ctypes.c_uint32(wanted))
        if watch >= 0:
            self._marks.setdefault(watch, set()).add(mark)
        elif ctypes.get_errno() == errno.ENOSPC:
            self.limited = True
