"""Why a text is not TOML, in words for the person who wrote it: what is wrong, in which line, and how to mend it.

tomllib names the position and the grammar. The causes here are looked for in the text itself, the usual ones first.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from mtlsd.config.locate import Repeated, brackets, repeated_keys
from mtlsd.text import cut, printable

MAX_ROW = 1000  # characters of a line that is looked at

_KEY = r"[A-Za-z0-9_.\"'-]+"
_TYPOGRAPHIC = re.compile("[\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb]")
_ESCAPE = re.compile(r'\\(?:[btnfr"\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})')
_BARE = re.compile(rf"\s*({_KEY})\s*=\s*([^\s\"'\[{{#][^#]*?)\s*(?:#.*)?")
_COLON = re.compile(rf"\s*({_KEY})\s*:\s*([^#]*?)\s*(?:#.*)?")
_LIST = re.compile(rf"\s*({_KEY})\s*=\s*\[\s*([^\s\"'\[{{#\]][^\],]*)[,\]].*")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*(?:\]?)\s*(?:#.*)?")
_VALUE = re.compile(r"true|false|[+-]?(?:inf|nan)|[+-]?[0-9][0-9_.:TtZz eE+-]*|0[xob][0-9A-Fa-f_]+")
_WORD = re.compile(rf"\s*({_KEY})\s*(?:#.*)?")

Cause = tuple[str, int]


def cause(text: str, line: int) -> Cause | None:
    """The cause and its line, if it is one of the usual ones; `line` is where tomllib stopped, counted from 1."""
    text = text.replace("\r\n", "\n")
    rows = text.split("\n")
    return next(_causes(text, rows, line), None)


def _causes(text: str, rows: list[str], line: int) -> Iterator[Cause]:
    for mark in ('"""', "'''"):
        if text.count(mark) % 2:
            first = text[: text.rindex(mark)].count("\n") + 1
            yield f"the text that begins with {mark} in line {first} is not closed", first
    row = rows[line - 1] if 0 < line <= len(rows) else ""
    for look in _IN_A_ROW if len(row) <= MAX_ROW else ():
        if found := look(row):
            yield found.replace("LINE", str(line)), line
    with suppress(Exception):  # the reader of keys expects valid TOML
        for each in repeated_keys(text):
            yield _twice(each), each.second
    if begun := brackets(text):
        mark, first = begun
        yield f"the {'list' if mark == '[' else 'table'} that begins in line {first} is not closed", first
    for number, other in enumerate(rows, 1):
        if len(other) <= MAX_ROW and (found := _open_quote(other)):
            yield found.replace("LINE", str(number)), number


def _typographic(row: str) -> str | None:
    found = _TYPOGRAPHIC.search(_without_strings(row))
    return f'has the typographic quote {found.group()}: use plain " quotes' if found else None


def _backslash(row: str) -> str | None:
    """A backslash in a text with double quotes that begins no escape, as in a path of Windows."""
    for string in re.findall(r'"((?:[^"\\]|\\.)*)"', row):
        if "\\" in _ESCAPE.sub("", string):
            return f"""a backslash escapes the next character: write {_short(f"'{string}'")}, in single quotes"""
    return None


def _open_quote(row: str) -> str | None:
    if re.search(r"\"\"\"|'''", row):
        return None
    rest = _without_strings(row)
    quote = re.search(r"[\"']", rest)
    return f"the text in line LINE is not closed: add {quote.group()} at its end" if quote else None


def _bare_text(row: str) -> str | None:
    found = _BARE.fullmatch(row)
    if found and not _VALUE.fullmatch(found[2]) and "=" not in found[2]:
        return f'text needs quotes: write {found[1]} = "{_short(found[2])}"'
    found = _LIST.fullmatch(row)
    if found and not _VALUE.fullmatch(found[2].strip()):
        return f'text needs quotes: write {found[1]} = ["{_short(found[2].strip())}"]'
    return None


def _colon(row: str) -> str | None:
    found = _COLON.fullmatch(row)
    return f"a key and its value have = between them: write {found[1]} = {_short(_quoted(found[2]))}" if found else None


def _header(row: str) -> str | None:
    found = _HEADER.fullmatch(row)
    if not found or row.count("[") == row.count("]"):
        return None
    return f"the name of the table is not closed: write {found[1]}{found[2]}{']' * len(found[1])}"


def _word(row: str) -> str | None:
    return f"{_short(found[1])} has no value: write {_short(found[1])} = …" if (found := _WORD.fullmatch(row)) else None


_IN_A_ROW: tuple[Callable[[str], str | None], ...] = (
    _typographic,
    _backslash,
    _open_quote,
    _bare_text,
    _colon,
    _header,
    _word,
)


def _twice(each: Repeated) -> str:
    what = each.name if each.is_key else f"[{each.name}]"
    return f"{_short(what)} is on lines {each.first} and {each.second}: remove one of them"


def _without_strings(row: str) -> str:
    """The row without its complete texts and its comment."""
    return re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|#.*", "", row)


def _quoted(value: str) -> str:
    return value if value[:1] in "\"'[{" or _VALUE.fullmatch(value) else f'"{value}"'


def _short(text: str) -> str:
    return printable(cut(text, 60))
