"""What the files outside of partners/ look like from outside: a stamp that differs when one of them does."""

import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

OWN = ("hosts", "organizations")
DEPTH = 4  # directories below each of them; links are followed, so a loop must end


Look = tuple[object, ...]


def own_stamp(file: Path, certs: Path) -> bytes:
    """The stamp of the configuration and of our own certificates: of names, inodes, sizes, modes and times."""
    return stamp_of(look_at(file), certs)


def stamp_of(file: Look, certs: Path) -> bytes:
    """The same, where the configuration was looked at before it was read."""
    looks = [file]
    for directory in own_directories(certs):
        with suppress(OSError), os.scandir(directory) as found:
            looks += sorted(look_at(Path(each.path)) for each in found)
    return sha256(repr(looks).encode("utf-8", "surrogateescape")).digest()


def look_at(path: Path) -> Look:
    """What is there, and what it points to where it is a link."""
    looks: list[object] = [os.fspath(path)]
    for look in (os.lstat, os.stat):
        with suppress(OSError):
            seen = look(path)
            looks.append((seen.st_ino, seen.st_dev, seen.st_size, seen.st_mode, seen.st_mtime_ns, seen.st_ctime_ns))
    return tuple(looks)


def own_directories(certs: Path) -> Iterator[str]:
    """Every directory below certs/ but for partners/."""
    for name in OWN:
        yield from directories_in(os.fspath(certs / name))


def directories_in(place: str, depth: int = DEPTH) -> Iterator[str]:
    """A directory and those below it, links followed; nothing where it is none."""
    try:
        with os.scandir(place) as found:
            below = [each.path for each in found if each.is_dir()]
    except OSError:
        return
    yield place
    for each in sorted(below) if depth else ():
        yield from directories_in(each, depth - 1)
