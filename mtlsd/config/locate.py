"""The lines of keys: tomllib gives values without lines, and an error message needs the line.

`key_lines` reads text that tomllib has accepted, so it does not check the text, and only distinguishes keys from
values. A path has the names of the nested tables, and the index of each element of an array:
("virtualhost", 1, "route", 0, "backend").
"""

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

KeyPath = tuple[str | int, ...]

MAX_PARTS = 100  # of one key; the memory for the paths of a key grows with the square of its parts

_TOKEN = re.compile(
    r'''
    (?P<skip>    [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<string>  """(?:[^\\]|\\.)*?"{3,5}(?!")   # the closing quotes may follow one or two of the content's
               | \'\'\'.*?'{3,5}(?!')
               | "(?:[^"\\\n]|\\.)*"
               | '[^'\n]*' )
  | (?P<mark>    [][{},=.] )
  | (?P<bare>    [^][{},=.\s\#"']+ )
    ''',
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    text: str
    line: int


class Repeated(NamedTuple):
    """A key, or the header of a table, that stands twice, and its lines."""

    name: str
    first: int
    second: int
    is_key: bool


def repeated_keys(text: str) -> list[Repeated]:
    """The keys and headers that stand twice in a text that is valid TOML otherwise."""
    scanner = _Scanner(text)
    with suppress(_TooManyParts):
        scanner.scan()
    return scanner.repeated


def brackets(text: str) -> tuple[str, int] | None:
    """The innermost bracket of a value that is not closed, and its line; None if all are closed."""
    opened: list[_Token] = []
    for token in _tokens(text.replace("\r\n", "\n")):
        if not token.text:
            break
        if token.text in {"[", "{"}:
            opened.append(token)
        elif token.text in {"]", "}"} and opened:
            opened.pop()
    return (opened[-1].text, opened[-1].line) if opened else None


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, of every key, table and array element of a valid TOML text.

    Empty if a key has more than `MAX_PARTS` parts.
    """
    try:
        return _Scanner(text).scan()
    except _TooManyParts:
        return {}


class _TooManyParts(Exception):
    """A key has more than MAX_PARTS parts."""


class _Scanner:
    """Reads the tokens once, and notes the line of the first occurrence of each path."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text.replace("\r\n", "\n"))
        self._token = next(self._tokens)
        self._lines: dict[KeyPath, int] = {}
        self._sizes: dict[KeyPath, int] = {}  # arrays of tables: the number of elements so far
        self._headers: set[KeyPath] = set()  # of tables that are no array
        self._keys: set[KeyPath] = set()  # that have a value
        self.repeated: list[Repeated] = []

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._token.text:
            if self._token.text == "\n":
                self._advance()
            elif self._token.text == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _advance(self) -> _Token:
        passed, self._token = self._token, next(self._tokens)
        return passed

    def _header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`; returns the path of the table that it opens."""
        line = self._advance().line
        many = self._token.text == "["
        if many:
            self._advance()
        path: KeyPath = ()
        *parents, name = self._key()
        for parent in parents:
            path = self._newest((*path, parent), line)
        path = (*path, name)
        if many:
            self._lines.setdefault(path, line)
            self._sizes[path] = self._sizes.get(path, 0) + 1
            path = (*path, self._sizes[path] - 1)
            self._advance()
        elif path in self._headers:
            self.repeated.append(Repeated(".".join(map(str, path)), self._lines[path], line, is_key=False))
        else:
            self._headers.add(path)
        self._lines[path] = line
        self._advance()
        return path

    def _newest(self, path: KeyPath, line: int) -> KeyPath:
        """The path of a header's parent; for an array of tables, the path of its last element."""
        self._lines.setdefault(path, line)
        return (*path, self._sizes[path] - 1) if path in self._sizes else path

    def _key(self) -> list[str]:
        """`a."b.c".d`: its parts; stops before the `=` or the `]`."""
        parts = [_unquoted(self._advance().text)]
        while self._token.text == ".":
            self._advance()
            parts.append(_unquoted(self._advance().text))
            if len(parts) > MAX_PARTS:
                raise _TooManyParts
        return parts

    def _pair(self, table: KeyPath) -> None:
        line = self._token.line
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        if path in self._keys:
            self.repeated.append(Repeated(str(path[-1]), self._lines[path], line, is_key=True))
        self._keys.add(path)
        self._advance()  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._token.text == "[":
            self._array(path)
        elif self._token.text == "{":
            self._inline_table(path)
        else:
            self._advance()  # in any case, so that a text that is not valid has an end, too
            while self._token.text not in {"", "\n", ",", "]", "}"}:
                self._advance()

    def _array(self, path: KeyPath) -> None:
        for index, _ in enumerate(self._elements("]")):
            self._lines[*path, index] = self._token.line
            self._value((*path, index))

    def _inline_table(self, path: KeyPath) -> None:
        for _ in self._elements("}"):
            self._pair(path)

    def _elements(self, end: str) -> Iterator[None]:
        """Stop at each element of an array or an inline table, which the caller must read, and then after the end."""
        self._advance()
        while self._token.text not in {end, ""}:  # "" is the end of a text that is not valid
            if self._token.text in {"\n", ","}:
                self._advance()
            else:
                yield
        self._advance()


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens without white space and comments, and then empty tokens without end."""
    line = 1
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "skip":
            yield _Token(found.group(), line)
        line += found.group().count("\n")
    while True:
        yield _Token("", line)


def _unquoted(key: str) -> str:
    """A key without its quotes and escapes, which tomllib decodes."""
    if key[0] not in "\"'":
        return key
    value = tomllib.loads(f"key = {key}")["key"]
    assert isinstance(value, str)
    return value
