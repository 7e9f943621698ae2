"""The one durable write: a file gets its name only when all of its content is on the disk.

Content first (fsync), then the name (rename, or link if nothing may be overwritten), then the directory (fsync). A
crash leaves the old file or the new one, and perhaps a staged file, which nobody reads: its name begins
with a dot.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

ORDINARY = 0o666  # less the umask
_NEW = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def placed(
    path: Path, mode: int = ORDINARY, *, overwrite: bool = True, alone: bool = False, name_is_synced: bool = True
) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when the block ends, and is deleted if the block raises.

    Raises FileExistsError if it must not overwrite. The umask applies to the mode. A caller that is `alone` in writing
    this file stages it under a fixed name, so that the rest of a crash is overwritten. Without `name_is_synced`, a loss
    of power may restore the old file: for files that can be made again, or for a caller that syncs the directory.
    """
    staged = path.with_name(f".{path.name}.part" if alone else f".{path.name}.{token_hex(8)}.new")
    try:
        with synced(staged, mode, overwrite=alone) as file:
            yield file
        if overwrite:
            staged.replace(path)
        else:
            os.link(staged, path)
            staged.unlink()
    except BaseException:
        with suppress(OSError):
            staged.unlink()
        raise
    if name_is_synced:
        sync_directory(path.parent)


@contextmanager
def synced(path: Path, mode: int = ORDINARY, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A file to write, whose content is on the disk when the block ends; its name may not be. Follows no link."""
    fd = os.open(path, _NEW | (os.O_TRUNC if overwrite else os.O_EXCL), mode)
    with os.fdopen(fd, "wb") as file:
        yield file
        file.flush()
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
