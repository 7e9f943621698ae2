"""Stamps of directories: digests of the names, types, sizes, modes and times of their files.

Two stamps are equal if no name, inode, size, mode or time has changed. A stamp is made before the files are read, so
that a change during the reading is noticed later.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

UNSETTLED = b""  # a file may change again with the same time, because file system clocks advance in steps
STEP_SECONDS = 0.05

OWN = ("hosts", "organizations")
DEPTH = 4  # levels of directories below each of them; links are followed, so a loop must end


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An entry of a directory; a link counts as its target."""

    name: str
    is_directory: bool
    is_link: bool
    looks: tuple[object, ...]  # inode, size, mode, times: differ if the entry changed
    changed: float  # seconds of the epoch


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of a directory and of requested directories below it, if they exist."""

    stamp: bytes
    entries: Mapping[str, tuple[DirectoryEntry, ...]]  # by the name of the directory below; "" is the directory itself
    why_not: Mapping[str, str]  # the error of each directory that cannot be listed, by the same name


def list_directory(directory: Path, below: tuple[str, ...] = (), now: float | None = None) -> Listing:
    """List a directory and the named directories below it; never raises.

    With `now`, in seconds of the epoch, the stamp is UNSETTLED if something changed just before.
    """
    entries: dict[str, tuple[DirectoryEntry, ...]] = {}
    why_not: dict[str, str] = {}
    names: set[str] = set()
    for name in ("", *below):
        place = f"{directory}/{name}" if name else os.fspath(directory)
        if name and name not in names:
            continue
        try:
            with os.scandir(place) as found:
                entries[name] = tuple(sorted(map(_look, found), key=lambda each: each.name))
            names = names or {each.name for each in entries[""]}
        except OSError as error:
            why_not[name] = error.strerror or "it cannot be listed"
    return Listing(_stamp(directory, entries, why_not, now), entries, why_not)


def stays_within(path: Path, directory: Path) -> bool:
    """Whether a path, with all links followed, is inside a directory; raises OSError if it does not exist."""
    return Path(os.path.realpath(path, strict=True)).is_relative_to(os.path.realpath(directory))


def _look(entry: "os.DirEntry[str]") -> DirectoryEntry:
    looks = list(_stats(entry))
    is_directory = bool(looks) and stat.S_ISDIR(looks[-1].st_mode)
    changed = max((each.st_ctime for each in looks), default=0.0)
    return DirectoryEntry(entry.name, is_directory, entry.is_symlink(), tuple(map(_facts, looks)), changed)


def _facts(of: os.stat_result) -> tuple[int, ...]:
    return of.st_ino, of.st_dev, of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_mode


def _stats(entry: "os.DirEntry[str]") -> Iterator[os.stat_result]:
    """The status of the entry, and of its target if it is a link; nothing if it no longer exists."""
    with suppress(OSError):
        yield entry.stat(follow_symlinks=False)
        if entry.is_symlink():
            yield entry.stat()


def _stamp(
    directory: Path, entries: Mapping[str, tuple[DirectoryEntry, ...]], why_not: Mapping[str, str], now: float | None
) -> bytes:
    every = [each for those in entries.values() for each in those]
    if now is not None and any(abs(now - each.changed) < STEP_SECONDS for each in every):
        return UNSETTLED
    looks = [(name, [(each.name, each.looks) for each in those]) for name, those in entries.items()]
    return sha256(repr((os.fspath(directory), looks, dict(why_not))).encode("utf-8", "surrogateescape")).digest()


# --- The stamp of our own files -------------------------------------------------------------------------------


def own_stamp(file: Path, certs: Path) -> bytes:
    """The stamp of the configuration file and of our own certificates."""
    return stamp_of(look_at(file), certs)


def stamp_of(file: tuple[object, ...], certs: Path) -> bytes:
    """The stamp of the configuration file, whose status was read before its content, and of our own certificates."""
    looks = [file]
    for directory in own_directories(certs):
        with suppress(OSError), os.scandir(directory) as found:
            looks += sorted(look_at(Path(each.path)) for each in found)
    return sha256(repr(looks).encode("utf-8", "surrogateescape")).digest()


def look_at(path: Path) -> tuple[object, ...]:
    """The status of a path, and of its target if it is a link; never raises."""
    looks: list[object] = [os.fspath(path)]
    for look in (os.lstat, os.stat):
        with suppress(OSError):
            looks.append(_facts(look(path)))
    return tuple(looks)


def own_directories(certs: Path) -> Iterator[str]:
    """Every directory below certs/, except partners/."""
    for name in OWN:
        yield from directories_in(os.fspath(certs / name))


def directories_in(place: str, depth: int = DEPTH) -> Iterator[str]:
    """A directory and those below it, with links followed; nothing if it is not a directory."""
    try:
        with os.scandir(place) as found:
            below = [each.path for each in found if each.is_dir()]
    except OSError:
        return
    yield place
    for each in sorted(below) if depth else ():
        yield from directories_in(each, depth - 1)
