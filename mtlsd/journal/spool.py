"""The spool: payloads and originals as files, on disk before the journal speaks of them.

    root/tmp/          what is being received; worth nothing after a crash
    root/messages/xx/  what was kept; xx is the start of a hash of the id, so that no directory grows too long

A name is relative to the root. The order is always: keep, then `Journal.accept`. A crash between the two
leaves files that no message refers to, and `sweep` removes them.

Several nodes may share a root. Every file has in its name whose it is, and a sweep removes its own node's alone:
what another one has kept may be on its way into the journal, and no age of a file proves that it is not.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.files.durable import sync_directory
from mtlsd.files.private import PRIVATE, make_directory, make_undurable

GATHERED = 64 * 1024  # bytes; smaller writes are gathered to save system calls
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NODE = re.compile(r"[\w-]+", re.ASCII)
TRIAL = "trial-"  # in the name of a file that `probe` writes
_NAME = re.compile(r"messages/[0-9a-f]{2}/[\w-]+(?:\.(?P<node>[\w-]+))?\.[a-z0-9]+", re.ASCII)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Translate `OSError` to `SpoolFull` or `JournalUnavailable`."""
    try:
        yield
    except OSError as error:
        cause = SpoolFull if error.errno in _NO_SPACE else JournalUnavailable
        raise cause(str(error)) from error


@dataclass(frozen=True, slots=True)
class Space:
    """A file system, in bytes: what is free for us, and how large it is."""

    free: int
    size: int


class SpoolFile:
    """A file that is being received; it ends with `Spool.keep` or `discard`. Owns the descriptor."""

    __slots__ = ("_fd", "_gathered", "path", "size")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.size = 0
        self._fd = fd
        self._gathered = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Append data; raises `SpoolFull` or `JournalUnavailable`, at once or when it is kept."""
        self.size += len(data)
        if len(self._gathered) + len(data) < GATHERED:
            self._gathered += data
        else:
            self.flush()
            self._write_out(data)

    def flush(self) -> None:
        """Hand what is gathered to the system; this syncs nothing."""
        gathered, self._gathered = self._gathered, bytearray()
        self._write_out(gathered)

    def read_back(self, chunk: int) -> Iterator[bytes]:
        """Yield what was written so far, `chunk` octets at a time."""
        self.flush()
        at = 0
        while data := os.pread(self._fd, chunk, at):
            yield data
            at += len(data)

    def fileno(self) -> int:
        """Return the descriptor, for a caller who wants write-back to begin early."""
        return self._fd

    def discard(self) -> None:
        """Close and remove the file; does nothing after it is kept or discarded."""
        if self._fd >= 0:
            self._close()
            with disk_errors():
                self.path.unlink(missing_ok=True)

    def move(self, target: Path) -> None:
        """Rename the file, which `sync` has made durable, to its last place; the name is not durable yet."""
        self.path.rename(target)
        self._close()

    def sync(self) -> None:
        """Bring the content to the disk."""
        self.flush()
        os.fsync(self._fd)

    def _write_out(self, data: bytes | bytearray | memoryview) -> None:
        with disk_errors(), memoryview(data) as rest:
            done = 0
            while done < len(rest):
                done += os.write(self._fd, rest[done:])

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


class Spool:
    """The files under one root, which is created if it is missing; `node` is who we are among those who share it."""

    def __init__(self, root: Path, node: str = "node") -> None:
        assert _NODE.fullmatch(node), node
        self._node = node
        self._root = root
        self._tmp = root / "tmp"
        self._messages = root / "messages"
        with disk_errors():
            for directory in (root, self._tmp, self._messages):
                make_directory(directory)
                sync_directory(directory.parent)  # also if a crash came between
            # All of them now: one made in `keep` could be used by a second thread before it is durable.
            for number in range(256):
                make_undurable(self._messages / f"{number:02x}")
            sync_directory(self._messages)

    def create(self, mark: str = "") -> SpoolFile:
        """Open a new file for what is being received; a mark in its name says what else it is."""
        with disk_errors():
            fd, path = tempfile.mkstemp(prefix=f"{self._node}.{mark}", dir=self._tmp)
            os.fchmod(fd, PRIVATE)  # whatever the umask takes away
        return SpoolFile(Path(path), fd)

    def keep(self, id: str, files: Mapping[str, SpoolFile]) -> dict[str, str]:  # noqa: A002  # the field's name
        """Make files durable under an id of ours, and return their names by suffix.

        After an error, discard the files; what was renamed already is for the next sweep.
        """
        names = {suffix: self._name(id, suffix) for suffix in files}
        with disk_errors():
            for file in files.values():
                file.sync()
            for suffix, file in files.items():
                file.move(self._root / names[suffix])
            sync_directory(self._messages / _bucket(id))
        return names

    def open(self, name: str) -> BinaryIO:
        """Open a kept file for reading."""
        with disk_errors():
            return os.fdopen(os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def size(self, name: str) -> int:
        """Return a kept file's size in bytes."""
        with disk_errors():
            return self._path(name).lstat().st_size

    def remove(self, name: str) -> None:
        """Remove a kept file, if it is there."""
        with disk_errors():
            self._path(name).unlink(missing_ok=True)

    def sweep(self, known: Iterable[str]) -> list[str]:
        """Remove all that this node was receiving, and all that it kept and is not known; return their names.

        For the start only, before anything is received: between `keep` and `Journal.accept` a good file is
        unknown.
        """
        with disk_errors():
            unknown = {name for name in self._names() if self._is_ours(name)}
            unknown.difference_update(known)  # the journal may know many more, and none is held here
            for name in unknown:
                (self._root / name).unlink()
        return sorted(unknown)

    def space(self) -> Space:
        """How much room there is now; a system call, so cheap enough for every request."""
        with disk_errors():
            found = os.statvfs(self._root)
        return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def probe(self) -> None:
        """Write a file, sync it and remove it, as every message needs it; raises where that cannot be done."""
        file = self.create(TRIAL)
        try:
            file.write(b"\0")
            with disk_errors():
                file.sync()
        finally:
            file.discard()

    def kept(self) -> Iterator[str]:
        """The name of everything that was ever kept here and is still here."""
        with disk_errors():
            yield from (name for name in self._names() if name.startswith("messages/"))

    def _names(self) -> Iterator[str]:
        for directory in (self._tmp, self._messages):
            for path in sorted(directory.rglob("*")):
                if path.is_symlink() or not path.is_dir():
                    yield path.relative_to(self._root).as_posix()

    def _is_ours(self, name: str) -> bool:
        if name.startswith("tmp/"):
            return name.startswith(f"tmp/{self._node}.")
        found = _NAME.fullmatch(name)
        return found is not None and found["node"] == self._node

    def _name(self, id: str, suffix: str) -> str:  # noqa: A002  # as in `keep`
        name = f"messages/{_bucket(id)}/{id}.{self._node}.{suffix}"
        assert _NAME.fullmatch(name), name  # ids and suffixes are ours, never a peer's
        return name

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise JournalUnavailable(f"not a name in the spool: {name!r}")
        return self._root / name


def _bucket(id: str) -> str:  # noqa: A002  # as in `keep`
    return sha256(id.encode()).hexdigest()[:2]
