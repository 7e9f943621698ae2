"""What a directory that takes another one's place keeps of it: what nobody read, and whose the files are."""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path


def carry_over(old: Path, staged: Path, known: Collection[str]) -> tuple[str, ...]:
    """Copy what is in `old` and not `known` (paths in it) to `staged`, as it is; the paths of what was copied.

    No link is followed. Raises FileExistsError or another OSError where something else is in its place.
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
    """The paths of files and links in `old` that are neither known nor links on the way to what is."""
    for place, directories, files in os.walk(old, onerror=_refuse):
        links = [each for each in directories if Path(place, each).is_symlink()]
        for each in sorted((*links, *files)):
            name = str(Path(place, each).relative_to(old))
            if name not in known and name not in parents:
                yield name


def keep_modes(old: Path, staged: Path, secrets: Collection[str] = ()) -> None:
    """Give the files and directories in `staged` the mode and the owner of those in `old`.

    What is among `secrets` (paths in it) is opened to nobody else. Raises OSError where that is not allowed.
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
    """The directories on the way, with the modes that they have."""
    for parent in reversed(name.parents[:-1]):
        if not (staged / parent).is_dir():
            (staged / parent).mkdir()
            _give(old / parent, staged / parent)
            (staged / parent).chmod(stat.S_IMODE((old / parent).stat().st_mode))


def _give(old: Path, path: Path) -> None:
    """To whom the other belongs; asked for only where it is somebody else, since most may not."""
    wanted, found = old.lstat() if path.is_symlink() else old.stat(), path.lstat()
    if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
        os.chown(path, wanted.st_uid, wanted.st_gid, follow_symlinks=False)


def _refuse(error: OSError) -> None:
    raise error
