"""When a directory is replaced: carries over unknown files, modes and owners."""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path


def carry_over(old: Path, staged: Path, known: Collection[str]) -> tuple[str, ...]:
    """Copy the files in `old` that are not `known` (paths in it) to `staged`, unchanged; returns their paths.

    No link is followed. Raises FileExistsError if `staged` has a file of the same name, or another OSError.
    """
    parents = {str(parent) for name in known for parent in Path(name).parents}
    carried = []
    for name in unknown(old, known, parents):
        target = staged / name
        _make_parents(old, staged, Path(name))
        if os.path.lexists(target):
            raise FileExistsError(17, "what is there already would be lost", str(old / name))
        shutil.copy2(old / name, target, follow_symlinks=False)
        _give(old / name, target)
        carried.append(name)
    return tuple(carried)


def unknown(old: Path, known: Collection[str], parents: Collection[str] = ()) -> Iterator[str]:
    """The paths of files and links in `old` that are not known; links to parents of known files are left out."""
    for place, directories, files in os.walk(old, onerror=_refuse):
        links = [each for each in directories if Path(place, each).is_symlink()]
        for each in sorted((*links, *files)):
            name = str(Path(place, each).relative_to(old))
            if name not in known and name not in parents:
                yield name


def keep_modes(old: Path, staged: Path, secrets: Collection[str] = ()) -> None:
    """Give the files and directories in `staged` the mode and the owner of those in `old`.

    Other users get no access to `secrets` (paths in it). Raises OSError if that is not permitted.
    """
    for place, directories, files in os.walk(staged):
        for each in (*directories, *files):
            path = Path(place, each)
            name = path.relative_to(staged)
            if path.is_symlink() or not (old / name).exists() or (old / name).is_dir() != path.is_dir():
                continue
            _give(old / name, path)
            mode = stat.S_IMODE((old / name).stat().st_mode)
            path.chmod(mode & ~stat.S_IRWXO if str(name) in secrets else mode)
    _give(old, staged)
    staged.chmod(stat.S_IMODE(old.stat().st_mode))


def _make_parents(old: Path, staged: Path, name: Path) -> None:
    """Create the parent directories with the owners and modes that they have in `old`."""
    for parent in reversed(name.parents[:-1]):
        if not (staged / parent).is_dir():
            (staged / parent).mkdir()
            _give(old / parent, staged / parent)
            (staged / parent).chmod(stat.S_IMODE((old / parent).stat().st_mode))


def _give(old: Path, path: Path) -> None:
    """Give a path the owner of `old`, only if it differs, because most users may not change owners."""
    wanted, found = old.lstat() if path.is_symlink() else old.stat(), path.lstat()
    if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
        os.chown(path, wanted.st_uid, wanted.st_gid, follow_symlinks=False)


def _refuse(error: OSError) -> None:
    raise error
