"""Checkpoints on the disk: signed, appended, and read back whatever a crash left of them."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.chain import Checkpoint
from mtlsd.journal.proof.checkpoints import CheckpointUnreadable, NodeKey, load_key, node_name


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
    assert [each.checkpoint for each in found] == [checkpoint(key, 1), replace(checkpoint(key, 5), sequence=2)]
    public = checkpoints.public_key(directory, key.node)
    assert all(each.is_signed_by(public) for each in found)
    assert checkpoints.last(directory, key.node) == replace(checkpoint(key, 5), sequence=2)
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
    assert checkpoints.lost(tmp_path, key.node) is None


def garbled(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b"garbage\n", lines[2]]


# what is done to the three lines; the entry before which a checkpoint is missing, and the words
LOST: list[tuple[Callable[[list[bytes]], list[bytes]], int, str]] = [
    (lambda lines: lines[1:], 1, "has lost a checkpoint: expected number 1, found 2: lines of "),
    (lambda lines: [lines[0], lines[2]], 11, "has lost a checkpoint: expected number 2, found 3: lines of "),
    (lambda lines: [lines[1], lines[0], lines[2]], 1, "has lost a checkpoint: expected number 1, found 2"),
    (garbled, 11, "has lost a checkpoint: expected number 2, found 3: line 2 of "),
    (lambda lines: [*lines[:2], lines[2][:-9]], 21, "has lost a checkpoint: line 3 of "),
    (lambda _: [b"garbage\n"], 1, "has lost a checkpoint: line 1 of "),
]


@pytest.mark.parametrize(("change", "number", "words"), LOST)
def test_a_checkpoint_that_was_lost_is_named(
    tmp_path: Path, key: NodeKey, change: Callable[[list[bytes]], list[bytes]], number: int, words: str
) -> None:
    for each in (10, 20, 30):
        checkpoints.write(tmp_path, key, checkpoint(key, each))
    assert checkpoints.lost(tmp_path, key.node) is None
    path = tmp_path / f"{key.node}.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    found = checkpoints.lost(tmp_path, key.node)
    assert found
    assert (found[0], words in found[1]) == (number, True), found


def test_a_checkpoint_is_written_whole_where_the_disk_takes_it_in_pieces(
    tmp_path: Path, key: NodeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    checkpoints.write(tmp_path, key, checkpoint(key, 1))
    assert checkpoints.last(tmp_path, key.node) == checkpoint(key, 1)


def test_an_auditor_can_read_the_public_key(tmp_path: Path, key: NodeKey) -> None:
    checkpoints.write(tmp_path, key, checkpoint(key, 1))
    assert (tmp_path / f"{key.node}.pem").stat().st_mode & 0o777 == 0o644


def test_a_directory_of_ours_is_closed(tmp_path: Path, key: NodeKey) -> None:
    checkpoints.write(tmp_path / "ours", key, checkpoint(key, 1))
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "ours", *(tmp_path / "ours").iterdir())}
    assert modes == {"ours": 0o700, f"{key.node}.pem": 0o600, f"{key.node}.jsonl": 0o600}


def test_the_key_of_another_node_is_refused(tmp_path: Path, key: NodeKey) -> None:
    other = load_key(tmp_path / "other")
    checkpoints.write(tmp_path, key, checkpoint(key, 1))
    (tmp_path / f"{key.node}.pem").write_bytes(checkpoints.pem_of(other.private.public_key()))
    with pytest.raises(CheckpointUnreadable):
        checkpoints.public_key(tmp_path, key.node)


@given(st.binary(max_size=300) | st.just(b'{"node": 1, "number": 1e999, "digest": [], "at": {}, "signature": ""}'))
def test_whatever_a_file_holds_nothing_escapes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.getbasetemp() / "any"
    directory.mkdir(exist_ok=True)
    (directory / "n.jsonl").write_bytes(content)
    list(checkpoints.read(directory, "n"))
    checkpoints.lost(directory, "n")
