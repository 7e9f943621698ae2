"""The hash chain: whatever is changed, removed, inserted or exchanged is named at the right place."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.journal.proof.chain import Break, ChainFollower, Checkpoint, Entry, Head, Note, follow

NODE = "a" * 32
texts = st.text(max_size=8)
facts = st.dictionaries(texts, st.none() | st.integers() | texts | st.lists(texts, max_size=2), max_size=3)
notes = st.builds(Note, texts, texts, st.floats(allow_nan=False, allow_infinity=False), facts)
chains = st.lists(notes, min_size=1, max_size=12).map(lambda some: list(follow(Head(), NODE, some)))


def verify(node: str, entries: Iterable[Entry], checkpoints: Iterable[Checkpoint] = ()) -> Break | None:
    """The first break of a chain, or None if it is whole."""
    follower = ChainFollower(node, checkpoints)
    for entry in entries:
        if broken := follower.follow(entry):
            return broken
    return follower.end()


def chain(length: int) -> list[Entry]:
    return list(follow(Head(), NODE, [Note("accepted", f"id-{n}", 1000.0 + n, {"record": n}) for n in range(length)]))


def checkpoint(entry: Entry) -> Checkpoint:
    return Checkpoint(entry.node, entry.number, entry.digest, entry.at)


def broken_at(entries: list[Entry], *checkpoints: Checkpoint) -> int | None:
    found = verify(NODE, entries, checkpoints)
    return found.number if found else None


@given(chains)
def test_what_nobody_touched_is_whole(entries: list[Entry]) -> None:
    assert verify(NODE, entries, map(checkpoint, entries)) is None


@given(chains)
def test_an_entry_is_one_line_of_json_and_the_next_one_has_its_digest(entries: list[Entry]) -> None:
    before = "0" * 64
    for entry in entries:
        assert entry.line.isascii()
        assert b"\n" not in entry.line
        told = json.loads(entry.line)
        assert told["previous"] == before
        assert (told["number"], told["subject"], told["kind"]) == (entry.number, entry.subject, entry.kind)
        before = sha256(entry.line).hexdigest()


COLUMNS: dict[str, Callable[[Any], Any]] = {
    "node": lambda value: value[:-1] + "b",
    "number": lambda value: value + 1000,
    "at": lambda value: value + 1 if value + 1 != value else 0.5,
    "kind": lambda value: f"{value}.",
    "subject": lambda value: f"{value}.",
    "facts": lambda value: value[:-1] + ',"x":1}',
    "previous": lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
    "digest": lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
}


@given(chains, st.data(), st.sampled_from(sorted(COLUMNS)))
def test_a_column_that_was_altered_is_named(entries: list[Entry], data: st.DataObject, column: str) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    entries[at] = replace(entries[at], **{column: COLUMNS[column](getattr(entries[at], column))})
    assert broken_at(entries) == at + 1


@given(chains, st.data())
def test_an_entry_with_a_digest_made_anew_is_named(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    altered = replace(entries[at], subject=entries[at].subject + ".")
    entries[at] = replace(altered, digest=sha256(altered.line).hexdigest())
    last = checkpoint(replace(entries[-1], digest=chain(1)[0].digest) if at == len(entries) - 1 else entries[-1])
    found = verify(NODE, entries, [last])
    assert found
    assert found.number in ({1} if at == len(entries) - 1 else {at + 1})


@given(chains, st.data())
def test_what_was_removed_is_named(entries: list[Entry], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(entries) - 1))
    last = data.draw(st.integers(first, len(entries) - 1))
    end = checkpoint(entries[-1])
    del entries[first : last + 1]
    assert broken_at(entries, end) == first + 1


@given(chains, st.data())
def test_what_was_inserted_is_named(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    entries.insert(at + 1, entries[at])
    assert broken_at(entries) == at + 1


@given(chains, st.data())
def test_what_was_exchanged_is_named_at_the_first_place(entries: list[Entry], data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.tuples(*[st.integers(0, len(entries) - 1)] * 2)))
    entries[one], entries[other] = entries[other], entries[one]
    assert broken_at(entries) == (None if one == other else one + 1)


@given(st.integers(2, 12), st.data())
def test_a_history_written_anew_is_named_behind_the_last_good_checkpoint(length: int, data: st.DataObject) -> None:
    honest, good = chain(length), data.draw(st.integers(1, length - 1))
    forged = follow(Head(good, honest[good - 1].digest), NODE, [Note("accepted", "x", 1.0)] * (length - good))
    found = verify(NODE, [*honest[:good], *forged], [checkpoint(honest[good - 1]), checkpoint(honest[-1])])
    assert found
    assert found.number == good + 1
    assert "the signed checkpoint has another digest" in found.what


def test_a_follower_goes_on_from_where_another_one_stood() -> None:
    entries = chain(5)
    follower = ChainFollower(NODE, head=Head(3, entries[2].digest))
    assert [follower.follow(each) for each in entries[3:]] == [None, None]
    assert follower.end() is None
    assert ChainFollower(NODE, head=Head(3, entries[1].digest)).follow(entries[3]) is not None


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_chain_that_was_cut_shows_by_its_checkpoint_alone(length: int) -> None:
    entries = chain(5)
    assert broken_at(entries[:length]) is None
    found = verify(NODE, entries[:length], [checkpoint(entries[-1])])
    assert found == Break(NODE, length + 1, "", "was removed, with all entries up to 5: the chain was cut off")


def test_facts_cannot_pass_for_another_column() -> None:
    (entry,) = chain(1)
    forged = replace(entry, subject="", facts=f'{{}},"subject":"{entry.subject}","facts":{entry.facts}')
    assert forged.line != entry.line
