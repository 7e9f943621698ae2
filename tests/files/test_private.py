"""What is ours is closed to others, whatever the umask is."""

import os
import stat
from pathlib import Path

import pytest

from mtlsd.files.private import make_directory, mode_for_others, open_private
from tests.files.test_durable import umask

MASKS = [0, 0o022, 0o077, 0o177, 0o777]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", MASKS)
def test_a_new_directory_and_all_above_it_are_closed(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        assert make_directory(tmp_path / "a" / "b" / "c")
    assert {mode(tmp_path / each) for each in ("a", "a/b", "a/b/c")} == {0o700}


@pytest.mark.parametrize("mask", MASKS)
def test_a_new_file_is_closed(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        os.close(open_private(tmp_path / "file"))
    assert mode(tmp_path / "file") == 0o600


def test_what_was_there_keeps_its_mode_and_its_content(tmp_path: Path) -> None:
    directory, file = tmp_path / "directory", tmp_path / "file"
    directory.mkdir()
    directory.chmod(0o750)
    file.write_bytes(b"content")
    file.chmod(0o640)
    assert not make_directory(directory)
    os.close(open_private(file))
    assert (mode(directory), mode(file), file.read_bytes()) == (0o750, 0o640, b"content")


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "file")


@pytest.mark.parametrize(("given", "told"), [(0o700, None), (0o750, 0o750), (0o701, 0o701), (0o777, 0o777)])
def test_a_mode_for_others_is_told(tmp_path: Path, given: int, told: int | None) -> None:
    tmp_path.chmod(given)
    assert mode_for_others(tmp_path) == told
    assert mode_for_others(tmp_path / "missing") is None
