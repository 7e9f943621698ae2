"""The lock on a state directory."""

from pathlib import Path

import pytest

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.node_lock import DirectoryInUse, lock_directory, node_of


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


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    assert node_of(tmp_path, "as2.example.com-1f2e") == "as2-example-com-1f2e"
    assert node_of(tmp_path, "renamed-0000") == "as2-example-com-1f2e"
    assert [each.name for each in tmp_path.iterdir()] == ["node"]


@pytest.mark.parametrize("content", [b"", b"../x", b"a b", b"a\nb", b"\xff", b"x" * 101])
def test_a_name_that_is_none_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node").write_bytes(content)
    with pytest.raises(JournalUnavailable, match="valid name of a node"):
        node_of(tmp_path, "new")
