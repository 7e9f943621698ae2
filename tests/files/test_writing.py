"""Files and directories that are whole or not there."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mtlsd.files import writing
from mtlsd.files.private import PRIVATE
from mtlsd.files.writing import PUBLIC, publish, remove_directory, stage, write_file


def tree(directory: Path) -> dict[str, bytes]:
    return {str(each.relative_to(directory)): each.read_bytes() for each in directory.rglob("*") if each.is_file()}


def test_a_new_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "acme"
    staged = stage(target, {"a": (b"1", PUBLIC), "tls/b": (b"2", PRIVATE)})
    assert staged.name.startswith(".")
    assert not target.exists()
    publish(staged, target)
    assert tree(target) == {"a": b"1", "tls/b": b"2"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("exchange", [writing.exchange, lambda *_: False], ids=["in one step", "in two"])
def test_a_directory_takes_the_place_of_another(tmp_path: Path, exchange: Callable[[Path, Path], bool]) -> None:
    target = tmp_path / "acme"
    publish(stage(target, {"old": (b"1", PUBLIC)}), target)
    publish(stage(target, {"new": (b"2", PUBLIC)}), target, exchange)
    assert tree(target) == {"new": b"2"}
    assert list(tmp_path.iterdir()) == [target]


def test_the_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        target = tmp_path / "acme"
        publish(stage(target, {"tls/a": (b"1", PUBLIC), "key": (b"2", PRIVATE)}), target)
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (target, *target.rglob("*"))}
    assert modes == {"acme": 0o755, "tls": 0o755, "a": 0o644, "key": 0o600}


def test_what_cannot_be_filled_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name too long"):
        stage(tmp_path / "acme", {"a": (b"1", PUBLIC), "b" * 300: (b"2", PUBLIC)})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_overwritten_unless_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_file(path, b"1", PRIVATE)
    with pytest.raises(FileExistsError):
        write_file(path, b"2", PRIVATE)
    assert path.read_bytes() == b"1"
    write_file(path, b"3", PRIVATE, overwrite=True)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), len(list(tmp_path.iterdir()))) == (b"3", 0o600, 1)


def test_a_directory_is_removed_with_all_in_it(tmp_path: Path) -> None:
    target = tmp_path / "acme"
    publish(stage(target, {"tls/a": (b"1", PUBLIC)}), target)
    remove_directory(target)
    assert list(tmp_path.iterdir()) == []
