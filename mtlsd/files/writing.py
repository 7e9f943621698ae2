"""Writes files and directories: completely or not at all, and durably.

A directory is filled beside its target, under a name that begins with a dot, which nobody reads. Then it replaces the
target in one step, and the old directory is deleted.
"""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from mtlsd.files.durable import placed, sync_directory, synced
from mtlsd.files.private import PRIVATE

PUBLIC = 0o644
SEARCHED = 0o755  # a directory; secret files in it have their own mode

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a directory against changes by other commands; the directory is created if needed."""
    directory.mkdir(mode=SEARCHED, parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes, mode: int = PUBLIC, *, overwrite: bool = False) -> None:
    """Write one file; raises FileExistsError if the file exists, unless it may be overwritten."""
    with placed(path, PRIVATE, overwrite=overwrite) as file:
        _fill(file, data, mode)
        give(file.fileno(), path.parent)


def stage(target: Path, files: Mapping[str, tuple[bytes, int]]) -> Path:
    """Fill a directory beside `target`: data and mode by path. The caller publishes or discards the directory."""
    staged = target.with_name(f".{target.name}.{token_hex(8)}.new")
    try:
        _make(staged)
        for name, (data, mode) in files.items():
            path = staged / name
            for parent in reversed(path.relative_to(staged).parents[:-1]):
                _make(staged / parent)
            with synced(path, PRIVATE) as file:
                _fill(file, data, mode)
        for place, _, names in os.walk(staged, topdown=False):
            for each in names:
                give(Path(place, each), target.parent)
            give(Path(place), target.parent)
            sync_directory(Path(place))
    except BaseException:
        discard(staged)
        raise
    return staged


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names (renameat2); False if the system or the file system does not support this."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    if (number := ctypes.get_errno()) in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def publish(staged: Path, target: Path, exchange: Callable[[Path, Path], bool] = exchange) -> None:
    """Replace `target` by a filled directory, in one step if the file system can exchange two directories."""
    if not os.path.lexists(target):
        staged.rename(target)
        sync_directory(target.parent)
        return
    if not exchange(staged, target):
        old = _put_aside(target)
        staged.rename(target)
        staged = old
    sync_directory(target.parent)
    discard(staged)


def remove_directory(target: Path) -> None:
    """Delete a directory; after the first step, nobody reads it any longer."""
    old = _put_aside(target)
    sync_directory(target.parent)
    discard(old)


def _put_aside(target: Path) -> Path:
    return target.rename(target.with_name(f".{target.name}.{token_hex(8)}.old"))


def discard(directory: Path) -> None:
    """Delete a directory that nobody reads."""
    shutil.rmtree(directory, ignore_errors=True)


def _make(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir()
        directory.chmod(SEARCHED)  # whatever the umask


def _fill(file: BinaryIO, data: bytes, mode: int) -> None:
    file.write(data)
    os.fchmod(file.fileno(), mode)  # whatever the umask


def give(file: Path | int, parent: Path) -> None:
    """Give a file the owner of its directory, because the daemon must be able to read files that root writes."""
    owner = parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=isinstance(file, int))
