"""The spool: payloads and originals as files, on disk before the journal refers to them.

    root/tmp/          files that are being received; useless after a crash
    root/messages/xx/  kept files; xx is the beginning of a hash of the id, so that no directory grows too large

A name is relative to the root. The order is always: keep, then `Journal.accept`. A crash between the two leaves files
that no message refers to, and `sweep` deletes them.

Several nodes may share a root. The name of every file contains the name of its node, and a sweep deletes only files of
its own node: the commit for a file of another node may be under way, and no age of a file proves that it is not.
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

GATHERED = 64 * 1024  # bytes; smaller writes are collected to save system calls
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
    """The free space and the size of a file system, in bytes."""

    free: int
    size: int


class SpoolFile:
    """A file that is being received, until `Spool.keep` or `discard`. Owns the descriptor."""

    __slots__ = ("_fd", "_gathered", "path", "size")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.size = 0
        self._fd = fd
        self._gathered = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Append data; raises `SpoolFull` or `JournalUnavailable`, now or in `keep`."""
        self.size += len(data)
        if len(self._gathered) + len(data) < GATHERED:
            self._gathered += data
        else:
            self.flush()
            self._write_out(data)

    def flush(self) -> None:
        """Write the collected data without syncing it."""
        gathered, self._gathered = self._gathered, bytearray()
        self._write_out(gathered)

    def read_back(self, chunk: int) -> Iterator[bytes]:
        """Yield the octets written so far, `chunk` at a time."""
        self.flush()
        at = 0
        while data := os.pread(self._fd, chunk, at):
            yield data
            at += len(data)

    def discard(self) -> None:
        """Close and delete the file; does nothing if it was kept or discarded before."""
        if self._fd >= 0:
            self._close()
            with disk_errors():
                self.path.unlink(missing_ok=True)

    def move(self, target: Path) -> None:
        """Rename the file to its final name after `sync`; the name is not durable yet."""
        self.path.rename(target)
        self._close()

    def sync(self) -> None:
        """Make the content durable."""
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
    """The files below one root, which is created if needed; `node` is the name of this node among those of the root."""

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
            # All are created now, because a second thread could use a new directory before it is durable.
            for number in range(256):
                make_undurable(self._messages / f"{number:02x}")
            sync_directory(self._messages)

    def create(self, mark: str = "") -> SpoolFile:
        """Open a new file for data that is being received; a file of another kind has a `mark` in its name."""
        with disk_errors():
            fd, path = tempfile.mkstemp(prefix=f"{self._node}.{mark}", dir=self._tmp)
            os.fchmod(fd, PRIVATE)  # whatever the umask takes away
        return SpoolFile(Path(path), fd)

    def keep(self, id: str, files: Mapping[str, SpoolFile]) -> dict[str, str]:  # noqa: A002  # the field's name
        """Make files durable under an id of ours, and return their names by suffix.

        After an error, discard the files; the next sweep deletes files that were renamed already.
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

    def remove(self, name: str) -> None:
        """Delete a kept file, if it exists."""
        with disk_errors():
            self._path(name).unlink(missing_ok=True)

    def sweep(self, known: Iterable[str]) -> list[str]:
        """Delete all files that this node was receiving, and its kept files that are not `known`; return their names.

        For the start only, before anything is received: between `keep` and `Journal.accept` a good file is unknown.
        """
        with disk_errors():
            unknown = {name for name in self._names() if self._is_ours(name)}
            unknown.difference_update(known)  # `known` may have very many names, and is never held in memory
            for name in unknown:
                (self._root / name).unlink()
        return sorted(unknown)

    def space(self) -> Space:
        """The space of the file system; one system call, so it is cheap enough for every request."""
        with disk_errors():
            found = os.statvfs(self._root)
        return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def probe(self) -> None:
        """Write, sync and delete a file, as a test; raises if a message could not be stored."""
        file = self.create(TRIAL)
        try:
            file.write(b"\0")
            with disk_errors():
                file.sync()
        finally:
            file.discard()

    def kept(self) -> Iterator[str]:
        """The names of all kept files."""
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
