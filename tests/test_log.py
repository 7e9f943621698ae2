"""The log: JSON in ASCII for machines, readable lines for a terminal, and in neither a control character of a peer."""

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
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


def written(*, verbose: bool = True, **facts: Any) -> str:
    """What a terminal gets for one event."""
    log.configure(terminal := Terminal(), verbose=verbose).warning(log.EXCHANGE_FINISHED, **facts)
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


@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()), st.booleans())
def test_no_value_commands_a_terminal(value: object, verbose: bool) -> None:
    line = written(detail=value, verbose=verbose)
    assert line.removesuffix("\n").replace("\x1b[", "").isprintable()
    assert line.count("\x1b[") == written(detail="", verbose=verbose).count("\x1b[")  # the colours alone


@pytest.mark.parametrize("verbose", [True, False])
def test_the_traceback_of_a_bug_is_escaped_line_by_line(verbose: bool) -> None:
    logger = log.configure(terminal := Terminal(), verbose=verbose)
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


# --- What a peer cannot make long ---------------------------------------------------------------------------------


def lines(**facts: Any) -> tuple[str, str, str]:
    """The line of one event as JSON, and on a terminal with all values and with those that people want."""
    log.configure(stream := io.StringIO()).warning(log.EXCHANGE_FINISHED, **facts)
    return stream.getvalue(), written(**facts), written(verbose=False, **facts)


@pytest.mark.parametrize("name", ["path", "sni", "subject", "as2_from", "anything"])
def test_a_value_is_cut_and_its_length_is_told(name: str) -> None:
    line = json.loads(lines(**{name: "x" * 256})[0])
    assert line[name] == "x" * 256
    line = json.loads(lines(**{name: "x" * 60_000})[0])
    assert line[name] == "x" * 256 + "... (60000 characters)"


def test_a_sentence_of_ours_may_be_longer() -> None:
    assert json.loads(lines(detail="x" * 1024)[0])["detail"] == "x" * 1024
    assert json.loads(lines(detail="x" * 1025)[0])["detail"] == "x" * 1024 + "... (1025 characters)"


def test_the_items_of_a_list_are_cut_and_counted() -> None:
    chain = json.loads(lines(chain=["x" * 300, *["y"] * 999])[0])["chain"]
    assert chain[0] == "x" * 256 + "... (300 characters)"
    assert (len(chain), chain[-1]) == (129, "... (1000 in all)")
    assert json.loads(lines(counts={str(at): at for at in range(999)})[0])["counts"]["..."] == "999 in all"


def test_the_longest_value_gives_way_first() -> None:
    facts = {f"field_{at}": "\xff" * 256 for at in range(8)}
    line = json.loads(lines(**facts, request_id="r" * 36, chain=["\xff" * 256] * 10, detail="\xff" * 2000)[0])
    assert line["request_id"] == "r" * 36
    assert line["event"] == log.EXCHANGE_FINISHED
    assert line["detail"].endswith("... (2000 characters)")


ESCAPED = {
    "detail": None,
    "file": "\x0c" * 319,
    "path": "\x1f" * 257,
    "chain": "\x0c" * 257,
}  # and quoted on a terminal
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@example(ESCAPED)
@given(
    st.dictionaries(
        st.sampled_from(["detail", "file", "path", "chain", "subject", *map(str, range(20))]),
        VALUES | st.builds(lambda text, times: text * times, st.text(min_size=1), st.integers(1, 60_000)),
    )
)
def test_no_line_is_long(facts: dict[str, object]) -> None:
    for line in lines(**facts):
        assert len(line.encode()) <= log.MAX_LINE
        assert line.count("\n") == 1


@pytest.mark.parametrize(
    "value", ["\xff" * 60_000, "\U0001f600" * 60_000, '"' * 60_000, "\x9b " * 60_000, "'\"" * 60_000, "\x0c " * 60_000]
)
def test_what_grows_when_it_is_escaped_is_not_long_either(value: str) -> None:
    for line in lines(**{f"field_{at}": value for at in range(30)}, detail=[value] * 50, chain={value: [value] * 9}):
        assert len(line.encode()) <= log.MAX_LINE


def test_a_traceback_stays_whole() -> None:
    logger = log.configure(stream := io.StringIO())
    try:
        raise ValueError("x" * 5000)
    except ValueError:
        logger.exception(log.INTERNAL_ERROR, detail="y" * 5000)
    line = json.loads(stream.getvalue())
    assert "x" * 5000 in line["exception"]
    assert len(json.dumps({**line, "exception": ""})) <= log.MAX_LINE
