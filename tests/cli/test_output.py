"""What reaches a terminal: readable, and never a control character of a peer."""

from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.cli.output import iso, moment, say_fields, say_table, say_text
from mtlsd.text import printable

TEXTS = {
    "plain Ä €": "plain Ä €",
    "\x1b[31mred": r"\x1b[31mred",
    "a\nb\r\tc": r"a\nb\r\tc",
    "\x9b1m\x07\x7f": r"\x9b1m\x07\x7f",
    "\u202egnp": r"\u202egnp",
    "\udcff": r"\udcff",
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_not_visible_becomes_an_escape(text: str) -> None:
    assert printable(text) == TEXTS[text]


@given(st.text())
def test_nothing_but_visible_characters_is_left(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()  # no lone surrogate either


@given(st.lists(st.tuples(st.text(), st.text(), st.integers()), max_size=4))
def test_a_table_shows_every_cell_whole_and_escaped(rows: list[tuple[str, str, int]]) -> None:
    with redirect_stdout(StringIO()) as written:
        say_table(("A", "B", "C"), rows, fold="B")
    lines = written.getvalue().splitlines()
    assert all(line.isprintable() for line in lines)
    for row in rows:
        assert any(all(printable(str(cell)).strip() in line for cell in row) for line in lines)


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    say_fields([("a", 1), ("longer", "\x1b"), ("empty", None), ("none", "")], indent="  ")
    assert capsys.readouterr().out == "  a       1\n  longer  \\x1b\n"


def test_text_keeps_its_lines_and_loses_its_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say_text("one\r\n\r\ntwo\x1b[2J", indent="  ")
    assert capsys.readouterr().out == "  one\n\n  two\\x1b[2J\n"


def test_times_are_utc_in_iso_8601() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(None) is None
    there = datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=2)))
    assert moment(there) == moment(datetime(2026, 11, 21, 10, tzinfo=UTC)) == "2026-11-21T10:00:00Z"
