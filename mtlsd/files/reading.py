"""Reads files safely: only regular files, of bounded size, and inside the expected directory."""

import errno
import os
import stat
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mtlsd.errors import MtlsdError, Problem

MAX_FILE = 1024 * 1024  # bytes
PIECE = 16 * 1024  # bytes: most files fit into one, so no larger buffer is allocated


class FileRefused(MtlsdError):
    """The file was not read; the text is the reason."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a regular file, and its permission bits."""

    data: bytes
    mode: int


def read_file(path: Path, within: Path | None = None, limit: int = MAX_FILE) -> FileContent:
    """Read a regular file of at most `limit` bytes; raises FileRefused, and never blocks.

    With `within`, a symbolic link may lead to another place in that directory (as `..data` of Kubernetes does), but not
    out of it.
    """
    try:
        if within is not None and _is_right_there(path, within):
            try:
                return _read_regular(path, limit)
            except OSError as error:
                if error.errno != errno.ELOOP:  # a symbolic link: resolve it
                    raise
        real = Path(os.path.realpath(path, strict=True))
        if within is not None and not real.is_relative_to(os.path.realpath(within)):
            raise FileRefused("a symbolic link that leads out of the partner's directory")
        return _read_regular(real, limit)
    except OSError as error:
        raise FileRefused(f"cannot be read: {error.strerror}") from error


def is_directory(path: Path) -> bool:
    """Whether this is a directory that we may examine; never raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def missing_directory(directory: Path) -> Problem | None:
    """The problem if this directory does not exist, with the most similar name that does; otherwise None."""
    if os.path.lexists(directory):
        return None
    names = {each.name.lower(): each.name for each in directories(directory.parent)}
    alike = get_close_matches(directory.name.lower(), names, n=1)
    hint = f"; there is {names[alike[0]]}" if alike else ""
    return Problem(directory, f"the directory does not exist{hint}")


def directories(directory: Path) -> tuple[Path, ...]:
    """The directories in a directory, by name; none if it cannot be read."""
    try:
        return tuple(filter(is_directory, sorted(directory.iterdir())))
    except OSError:
        return ()


def _is_right_there(path: Path, directory: Path) -> bool:
    """Whether no directory between `directory` and the file is a link; the file itself may be one."""
    parent, there = os.path.dirname(path), os.fspath(directory)  # noqa: PTH120  # text is faster, and this is called for each file
    return parent == there or (os.path.dirname(parent) == there and not os.path.islink(parent))  # noqa: PTH114, PTH120


def _read_regular(path: Path, limit: int) -> FileContent:
    # O_NONBLOCK: opening a FIFO must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("not a regular file")
        data = _read_at_most(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise FileRefused(f"larger than {limit} bytes")
    return FileContent(data, stat.S_IMODE(status.st_mode))


def _read_at_most(descriptor: int, limit: int) -> bytes:
    data = bytearray()
    while piece := os.read(descriptor, min(limit - len(data), PIECE)):
        data += piece
    return bytes(data)
