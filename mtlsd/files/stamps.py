"""What a directory looks like from outside: the files, what they are, and when they last changed.

A stamp is equal as long as nothing changed: a name, an inode, a size, a mode or a time. It is made before the files
are read, so what changes meanwhile is seen as a change later.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

UNSETTLED = b""  # of a file that may change again without another time: the clocks of file systems go in steps
STEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Listed:
    """What has a name in a directory; a link is what it leads to."""

    name: str
    is_directory: bool
    is_link: bool
    looks: tuple[object, ...]  # differ when it does
    changed: float  # seconds of the epoch


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory, and those below it that were asked for, as far as they are there."""

    stamp: bytes
    entries: Mapping[str, tuple[Listed, ...]]  # by the name of the directory below; "" is itself
    why_not: Mapping[str, str]  # what cannot be listed, by that name


def list_directory(directory: Path, below: tuple[str, ...] = (), now: float | None = None) -> Listing:
    """Look at a directory, and at these below it; never raises. `now`, in seconds of the epoch, finds the unsettled."""
    entries: dict[str, tuple[Listed, ...]] = {}
    why_not: dict[str, str] = {}
    names: set[str] = set()
    for name in ("", *below):
        place = f"{directory}/{name}" if name else os.fspath(directory)
        if name and name not in names:
            continue
        try:
            entries[name] = _listed(place)
            names = names or {each.name for each in entries[""]}
        except OSError as error:
            why_not[name] = error.strerror or "it cannot be listed"
    return Listing(_stamp(directory, entries, why_not, now), entries, why_not)


def stays_within(path: Path, directory: Path) -> bool:
    """Whether a path with all its links leads to a place in a directory; raises OSError where it leads nowhere."""
    return Path(os.path.realpath(path, strict=True)).is_relative_to(os.path.realpath(directory))


def _listed(place: str) -> tuple[Listed, ...]:
    with os.scandir(place) as found:
        return tuple(sorted(map(_look, found), key=lambda each: each.name))


def _look(entry: "os.DirEntry[str]") -> Listed:
    looks = list(_stats(entry))
    is_directory = bool(looks) and stat.S_ISDIR(looks[-1].st_mode)
    facts = tuple(
        (each.st_ino, each.st_dev, each.st_size, each.st_mtime_ns, each.st_ctime_ns, each.st_mode) for each in looks
    )
    changed = max((each.st_ctime for each in looks), default=0.0)
    return Listed(entry.name, is_directory, entry.is_symlink(), facts, changed)


def _facts(of: os.stat_result) -> tuple[int, ...]:
    return of.st_ino, of.st_dev, of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_mode


def _stats(entry: "os.DirEntry[str]") -> Iterator[os.stat_result]:
    """Of the entry, and of what it leads to; nothing where it is gone by now."""
    try:
        yield entry.stat(follow_symlinks=False)
        if entry.is_symlink():
            yield entry.stat()
    except OSError:
        return


def _stamp(
    directory: Path, entries: Mapping[str, tuple[Listed, ...]], why_not: Mapping[str, str], now: float | None
) -> bytes:
    every = [each for those in entries.values() for each in those]
    if now is not None and any(abs(now - each.changed) < STEP_SECONDS for each in every):
        return UNSETTLED
    looks = [(name, [(each.name, each.looks) for each in those]) for name, those in entries.items()]
    return sha256(repr((os.fspath(directory), looks, dict(why_not))).encode("utf-8", "surrogateescape")).digest()


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
