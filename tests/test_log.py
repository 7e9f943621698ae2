"""The log: JSON in ASCII for machines, readable lines for a terminal, and in neither a control character of a peer."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd import log


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Odd:
    """A value whose text is not printable."""

    def __repr__(self) -> str:
        return "<\x9b2J>"


def written(**facts: object) -> str:
    """What a terminal gets for one event."""
    log.configure(terminal := Terminal()).warning(log.EXCHANGE_FINISHED, **facts)
    return terminal.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain Ä €", "plain Ä €"),
        ("\x9b2J\x9d0;title\x9c", r"\x9b2J\x9d0;title\x9c"),  # C1: one octet begins a command, without an escape
        ("\x1b[2J\x07\x7f", r"\x1b[2J\x07\x7f"),
        ("a\nlevel=info\r", r"'a\\nlevel=info\\r'"),  # what has spaces, quotes or = is quoted once more
        ("\u202egnp\u2028", r"\u202egnp\u2028"),
        ("\udcff", r"\udcff"),
        (["\x9b2J"], r"['\x9b2J']"),
        (Odd(), r"<\x9b2J>"),
        (200, "=200"),
        (None, "=None"),
    ],
)
def test_a_terminal_gets_an_escape_for_what_is_not_visible(value: object, shown: str) -> None:
    plain = written(detail=value).replace("\x1b[0m", "").replace("\x1b[35m", "")
    assert shown in plain
    assert plain.count("\n") == 1


@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_no_value_commands_a_terminal(value: object) -> None:
    line = written(detail=value)
    assert line.removesuffix("\n").replace("\x1b[", "").isprintable()
    assert line.count("\x1b[") == written(detail="").count("\x1b[")  # the colours alone


def test_the_traceback_of_a_bug_is_escaped_line_by_line() -> None:
    logger = log.configure(terminal := Terminal())
    secret = "a value that no log shows"  # a variable, as keys and documents are
    try:
        raise RuntimeError("\x9b2J and\nmore")
    except RuntimeError:
        logger.exception(log.INTERNAL_ERROR)
    lines = terminal.getvalue().splitlines()
    assert r"RuntimeError: \x9b2J and" in lines
    assert all(line.replace("\x1b[", "").isprintable() for line in lines)
    assert secret not in terminal.getvalue()


def test_what_is_no_terminal_gets_one_json_object_a_line() -> None:
    log.configure(stream := io.StringIO()).info(log.STARTED, detail="\x9b\n\u2028Ä")
    assert json.loads(stream.getvalue())["detail"] == "\x9b\n\u2028Ä"
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 1


def test_what_a_library_says_is_in_our_form_and_said_once() -> None:
    log.configure(stream := io.StringIO())
    for _ in range(3):
        logging.getLogger("trio.serve_listeners").error("accept returned %s", "EMFILE", exc_info=ValueError("x"))
    line = json.loads(stream.getvalue())
    assert (line["event"], line["library"]) == ("library_trouble", "trio.serve_listeners")
    assert line["detail"] == "accept returned EMFILE"


def test_a_driver_of_a_database_says_nothing_by_itself() -> None:
    log.configure(stream := io.StringIO())
    logging.getLogger("psycopg.pool").warning("could not connect")
    assert not stream.getvalue()
