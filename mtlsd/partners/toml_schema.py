"""Small TOML files beside certificates: a table says which keys there are and what each may hold.

A check takes the value that TOML gave and returns it parsed, or raises ValueError with what was expected.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mtlsd.config.document import syntax_error
from mtlsd.config.model import Backend
from mtlsd.errors import Problem
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.pki.names import list_of_texts

Check = Callable[[object], object]
Table = Mapping[str, "Check | Table | Rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """An array of tables with these keys; `parse` makes each whole, or raises ValueError with what was expected."""

    keys_of_a_row: Mapping[str, Check]
    parse: Callable[[dict[str, Any]], object]


MAX_AS2_ID = 128  # RFC 4130, section 6.2

_AS2_ID = re.compile(rf"[!-~](?:[ -~]{{0,{MAX_AS2_ID - 2}}}[!-~])?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_ROW = re.compile(r"(\w+)\[(\d+)\]")


def read_settings(path: Path, table: Table, within: Path | None = None) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The values that hold, and every mistake; only a file without mistakes is to be used."""
    try:
        text = read_file(path, within).data.decode()
        document = tomllib.loads(text)
    except FileRefused as error:
        return {}, (Problem(path, str(error)),)
    except UnicodeDecodeError:
        return {}, (Problem(path, "not UTF-8"),)
    except tomllib.TOMLDecodeError as error:
        return {}, (Problem(path, f"not TOML: {error}", line=syntax_error(error)[1]),)
    except RecursionError:
        return {}, (Problem(path, "arrays or tables are nested too deeply"),)
    except ValueError:  # Python's own limit on the digits of an integer
        return {}, (Problem(path, "a number has too many digits"),)
    problems: list[Problem] = []
    values = dict(_checked(document, table, "", _Report(path, text, problems)))
    return values, tuple(problems)


class _Report:
    """Gathers problems, and finds the line of a key."""

    def __init__(self, path: Path, text: str, problems: list[Problem]) -> None:
        self.path = path
        self.text = text
        self.problems = problems

    def add(self, key: str, message: str) -> None:
        self.problems.append(Problem(self.path, message, self._line(key), key))

    def _line(self, key: str) -> int | None:
        table, _, name = key.rpartition(".")
        if _ROW.fullmatch(name):
            return self._line_of(self._header(name))
        header = self._header(table) if table else None
        start = header.end() if header else 0
        place = rf"(?m)^[ \t]*(\[\s*)?[\"']?{re.escape(name)}[\"']?\s*(=|\.|\])"
        return self._line_of(re.compile(place).search(self.text, start))

    def _header(self, table: str) -> re.Match[str] | None:
        if row := _ROW.fullmatch(table):
            headers = re.finditer(rf"(?m)^[ \t]*\[\[\s*{row[1]}\s*\]\]", self.text)
            return next(islice(headers, int(row[2]) - 1, None), None)
        return re.search(rf"(?m)^[ \t]*\[\s*{re.escape(table)}\s*\]", self.text)

    def _line_of(self, found: re.Match[str] | None) -> int | None:
        return self.text.count("\n", 0, found.start()) + 1 if found else None


def _checked(
    document: Mapping[str, object], table: Table, prefix: str, report: _Report
) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        check, name = table.get(key), prefix + key
        if check is None:
            report.add(name, f"unknown key; {_known(key, table)}")
        elif callable(check):
            try:
                yield key, check(value)
            except ValueError as error:
                report.add(name, f"found {_shown(value)}, expected {error}")
        elif isinstance(check, Rows):
            yield key, tuple(_rows(value, check, name, report))
        elif isinstance(value, dict):
            yield key, dict(_checked(value, check, f"{name}.", report))
        else:
            report.add(name, f"found {_shown(value)}, expected a table")


def _rows(value: object, rows: Rows, name: str, report: _Report) -> Iterator[object]:
    """Each row that is right; they are counted from 1."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        report.add(name, f"found {_shown(value)}, expected tables that begin with [[{name}]]")
        return
    for number, row in enumerate(value, 1):
        before = len(report.problems)
        values = dict(_checked(row, rows.keys_of_a_row, f"{name}[{number}].", report))
        try:
            if len(report.problems) == before:
                yield rows.parse(values)
        except ValueError as error:
            report.add(f"{name}[{number}]", f"expected {error}")


def _known(key: str, table: Table) -> str:
    alike = get_close_matches(key.lower()[:60], table, n=1)
    return f'did you mean "{alike[0]}"?' if alike else f"there are {', '.join(table)}"


def _shown(value: object) -> str:
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # dotted keys nest without end; 0xf... is read with more digits than written
        return "something too large to show"
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- Checks ---------------------------------------------------------------------------------------------


def as2_id(value: object) -> str:
    """An AS2 id, unquoted (RFC 4130, section 6.2)."""
    if not isinstance(value, str) or not _AS2_ID.fullmatch(value):
        raise ValueError(f"1 to {MAX_AS2_ID} printable ASCII characters, without a space at either end")
    return value


def as2_ids(value: object) -> tuple[str, ...]:
    """One AS2 id, or a list of them."""
    if isinstance(value, list) and value:
        return tuple(dict.fromkeys(map(as2_id, value)))
    return (as2_id(value),)


def host_names(value: object) -> frozenset[str]:
    """Names of virtual hosts; an empty list is no host at all."""
    names = frozenset(each.lower() for each in list_of_texts(value, "a list of host names"))
    if not all(map(_HOST.fullmatch, names)):
        raise ValueError("names of virtual hosts, without a port")
    return names


def names_out_of(known: tuple[str, ...]) -> Check:
    """A list that holds only names which are known."""

    def check(value: object) -> frozenset[str]:
        expected = f"a list of {', '.join(known) or 'nothing'}"
        names = frozenset(list_of_texts(value, expected))
        if not names <= frozenset(known):
            raise ValueError(expected)
        return names

    return check


def one_of(known: tuple[object, ...]) -> Check:
    """One of some values, as TOML writes them."""

    def check(value: object) -> object:
        if isinstance(value, bool) or value not in known:
            raise ValueError(" or ".join(map(json.dumps, known)))
        return value

    return check


def flag(value: object) -> bool:
    """A boolean of TOML."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def whole_number(highest: int) -> Check:
    """A whole number from 0 on."""

    def check(value: object) -> int:
        if type(value) is not int or not 0 <= value <= highest:
            raise ValueError(f"a whole number from 0 to {highest}")
        return value

    return check


def url_prefixes(value: object) -> tuple[str, ...]:
    """Prefixes of URLs; each has a path, so that the prefix of one host is not that of a longer name."""
    return tuple(map(_url_prefix, list_of_texts(value, "a list of URLs")))


def _url_prefix(text: str) -> str:
    expected = "URLs that begin with http:// or https:// and a host, without a user, query or fragment"
    try:
        Backend.parse(text)
    except ValueError as error:
        raise ValueError(expected) from error
    if "?" in text:
        raise ValueError(expected)
    return text if urlsplit(text).path else f"{text}/"
