"""The lock on a state directory."""

from pathlib import Path

import pytest

from mtlsd.errors import JournalUnavailable
from mtlsd.journal import DirectoryInUse, lock_directory


def test_a_second_holder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with lock_directory(state), pytest.raises(DirectoryInUse, match="another mtlsd"), lock_directory(state):
        pytest.fail("both hold it")
    with lock_directory(tmp_path / "state"):
        pass


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable), lock_directory(tmp_path / "file" / "state"):
        pytest.fail("there is nothing to hold")
