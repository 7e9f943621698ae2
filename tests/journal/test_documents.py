"""Documents: small ones in the journal's commit, large ones in the spool, and nothing in between lost."""

from pathlib import Path

import pytest

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.documents import MAX_INLINE, Document, keep, open_document, remove
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from tests.support.examples import accept, delivery, message


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.mark.parametrize("size", [0, 1, MAX_INLINE, MAX_INLINE + 1, 5 * MAX_INLINE])
@pytest.mark.parametrize("chunk", [999, MAX_INLINE, 10 * MAX_INLINE])
def test_a_document_of_any_size_comes_back_as_it_was(spool: Spool, journal: Journal, size: int, chunk: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    document = Document(spool)
    for at in range(0, size, chunk):
        document.write(content[at : at + chunk])
    assert b"".join(document.read_back(1000)) == content
    kept = keep(spool, "0001", {"payload": document})
    accept(journal, message(), [delivery(message())], kept.inline)
    with open_document(journal, spool, kept.names["payload"]) as file:
        assert file.read() == content
    assert bool(kept.inline) == (size <= MAX_INLINE)
    assert any(spool.kept()) == (size > MAX_INLINE)


@pytest.mark.parametrize("limit", [0, 10, 5_000_000])
def test_how_much_the_journal_holds_can_be_chosen(spool: Spool, journal: Journal, limit: int) -> None:
    """What one node put into either, another one that shares both reads."""
    inside, outside = Document(spool, limit), Document(spool, limit)
    inside.write(bytes(limit))
    outside.write(bytes(limit + 1))
    kept = keep(spool, "0001", {"payload": outside, "as2": inside})
    accept(journal, message(), [], kept.inline)
    assert [*kept.inline] == [kept.names["as2"]]
    for suffix, size in (("as2", limit), ("payload", limit + 1)):
        with open_document(journal, spool, kept.names[suffix]) as file:
            assert file.read() == bytes(size)


def test_a_small_document_never_touches_the_spool(spool: Spool) -> None:
    document = Document(spool)
    document.write(b"small")
    assert spool.sweep(()) == []
    document.discard()


def test_a_large_document_that_is_discarded_leaves_nothing(spool: Spool) -> None:
    document = Document(spool)
    document.write(bytes(MAX_INLINE + 1))
    document.discard()
    assert spool.sweep(()) == []


def test_what_the_journal_does_not_refer_to_can_be_removed(spool: Spool) -> None:
    large, small = Document(spool), Document(spool)
    large.write(bytes(MAX_INLINE + 1))
    kept = keep(spool, "0001", {"payload": large, "as2": small})
    remove(spool, kept)
    assert not any(spool.kept())


def test_a_document_that_the_journal_lacks_is_an_error(spool: Spool, journal: Journal) -> None:
    with pytest.raises(JournalUnavailable):
        open_document(journal, spool, "journal/0001.payload")
