"""docs/interop.md has the cells that the tests run, with what they expect."""

from scripts import interop_doc
from tests.interop.matrix import ENTRIES


def test_the_page_is_the_one_that_the_tables_give() -> None:
    assert interop_doc.TARGET.read_text(encoding="utf-8") == interop_doc.render(interop_doc.expected())


def test_no_two_entries_are_the_same_cell_by_the_same_peer() -> None:
    assert len(interop_doc.expected()) == len(ENTRIES)
