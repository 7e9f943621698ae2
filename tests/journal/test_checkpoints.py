"""Checkpoints on the disk: signed, appended, and read back whatever a crash left of them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import JournalUnavailable
from mtlsd.journal import Checkpoint, CheckpointUnreadable, NodeKey, checkpoints, load_key, node_name


@pytest.fixture
def key(tmp_path: Path) -> NodeKey:
    return load_key(tmp_path / "state")


def checkpoint(key: NodeKey, number: int) -> Checkpoint:
    return Checkpoint(key.node, number, f"{number:064x}", 1000.0 + number)


def test_the_key_is_made_once_and_is_for_its_owner_alone(tmp_path: Path, key: NodeKey) -> None:
    assert load_key(tmp_path / "state").node == key.node == node_name(tmp_path / "state")
    assert (tmp_path / "state" / "node.key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "state") == ["node.key"]  # noqa: PTH208
    assert node_name(tmp_path) == "unnamed"


@pytest.mark.parametrize("content", [b"", b"not a key", b"\xff" * 99])
def test_a_key_that_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.key").write_bytes(content)
    with pytest.raises(JournalUnavailable):
        load_key(tmp_path)


def test_what_was_written_comes_back_signed(tmp_path: Path, key: NodeKey) -> None:
    for number in (1, 5):
        checkpoints.write(tmp_path / "elsewhere", key, checkpoint(key, number))
    directory = tmp_path / "elsewhere"
    found = list(checkpoints.read(directory, key.node))
    assert [each.checkpoint for each in found] == [checkpoint(key, 1), checkpoint(key, 5)]
    public = checkpoints.public_key(directory, key.node)
    assert all(each.is_signed_by(public) for each in found)
    assert checkpoints.last(directory, key.node) == checkpoint(key, 5)
    assert checkpoints.nodes(directory) == [key.node]


@pytest.mark.parametrize("torn", [1, 40, 200])
def test_what_a_crash_left_is_passed_over(tmp_path: Path, key: NodeKey, torn: int) -> None:
    for number in (1, 2):
        checkpoints.write(tmp_path, key, checkpoint(key, number))
    path = tmp_path / f"{key.node}.jsonl"
    path.write_bytes(path.read_bytes()[:-torn])
    checkpoints.write(tmp_path, key, checkpoint(key, 3))
    numbers = [each.checkpoint.number for each in checkpoints.read(tmp_path, key.node)]
    assert numbers == ([1, 2, 3] if torn == 1 else [1, 3])


def test_the_key_of_another_node_is_refused(tmp_path: Path, key: NodeKey) -> None:
    other = load_key(tmp_path / "other")
    checkpoints.write(tmp_path, key, checkpoint(key, 1))
    (tmp_path / f"{key.node}.pem").write_bytes(other.public_pem)
    with pytest.raises(CheckpointUnreadable):
        checkpoints.public_key(tmp_path, key.node)


@given(st.binary(max_size=300) | st.just(b'{"node": 1, "number": 1e999, "digest": [], "at": {}, "signature": ""}'))
def test_whatever_a_file_holds_nothing_escapes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.getbasetemp() / "any"
    directory.mkdir(exist_ok=True)
    (directory / "n.jsonl").write_bytes(content)
    list(checkpoints.read(directory, "n"))
