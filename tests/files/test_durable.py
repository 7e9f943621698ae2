"""A file that is the old one or the new one, and never a part of either, whatever happens meanwhile."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from mtlsd.files.durable import placed
from tests.support.steps import Step, read

OLD, NEW = b"old", b"new" * 100_000
WRITER = """
import sys
from pathlib import Path
from mtlsd.files.durable import placed
from tests.support.steps import Plan, Steps, When, install

directory, at, overwrite, alone = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True", sys.argv[4] == "True"
install(Steps(Plan(at, When.BEFORE, from_start=True), str(directory), f"{directory}.steps"))
with placed(directory / "file", overwrite=overwrite, alone=alone) as file:
    file.write(b"new" * 100_000)
"""


def written_by_a_process(directory: Path, at: int = 0, *, overwrite: bool = True, alone: bool = False) -> list[Step]:
    """The steps of a process that writes the file, and that is killed before step `at`."""
    notes = Path(f"{directory}.steps")
    notes.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", WRITER, str(directory), str(at), str(overwrite), str(alone)])
    return read(notes)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def others(path: Path) -> list[str]:
    """The names beside it."""
    return [each.name for each in path.parent.iterdir() if each != path]


def write_and_fail(file: BinaryIO) -> None:
    file.write(NEW)
    raise ZeroDivisionError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory / "file"


@pytest.mark.parametrize(("overwrite", "named"), [(True, "replace"), (False, "unlink")])
def test_the_content_is_synced_before_the_name_and_the_name_at_last(path: Path, overwrite: bool, named: str) -> None:
    steps = written_by_a_process(path.parent, overwrite=overwrite)
    assert [step.kind for step in steps] == ["create", "fsync", named, "fsync"]
    assert steps[0].what == steps[1].what == steps[2].what
    assert steps[3].what == str(path.parent)
    assert (path.read_bytes(), others(path)) == (NEW, [])


@pytest.mark.parametrize("alone", [False, True], ids=["among others", "alone"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(path: Path, at: int, alone: bool) -> None:
    path.write_bytes(OLD)
    assert len(written_by_a_process(path.parent, at, alone=alone)) == at
    assert path.read_bytes() == (NEW if at == 4 else OLD)
    assert all(name.startswith(".") for name in others(path))


def test_who_is_alone_writes_over_what_a_crash_left(path: Path) -> None:
    written_by_a_process(path.parent, 3, alone=True)
    assert others(path) == [".file.part"]
    with placed(path, alone=True) as file:
        file.write(OLD)
    assert (path.read_bytes(), others(path)) == (OLD, [])


def test_nobody_writes_through_a_link_that_has_the_name_of_the_staged_file(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.write_bytes(OLD)
    path.with_name(".file.part").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"), placed(path, alone=True) as file:
        file.write(NEW)
    assert elsewhere.read_bytes() == OLD


def test_an_error_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    path.write_bytes(OLD)
    with pytest.raises(ZeroDivisionError), placed(path) as file:
        write_and_fail(file)
    assert (path.read_bytes(), others(path)) == (OLD, [])


def test_a_file_that_must_not_be_overwritten_stays(path: Path) -> None:
    path.write_bytes(OLD)
    with pytest.raises(FileExistsError), placed(path, overwrite=False) as file:
        file.write(NEW)
    assert (path.read_bytes(), others(path)) == (OLD, [])


@pytest.mark.parametrize(
    ("mask", "wanted", "mode"), [(0o022, 0o666, 0o644), (0o077, 0o666, 0o600), (0, 0o600, 0o600), (0o002, 0o644, 0o644)]
)
def test_a_mode_is_never_wider_than_the_umask_allows(path: Path, mask: int, wanted: int, mode: int) -> None:
    with umask(mask), placed(path, wanted) as file:
        file.write(NEW)
    assert stat.S_IMODE(path.stat().st_mode) == mode
