"""A TOML file: its tables, and the line of every key."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mtlsd.config import faults
from mtlsd.config.locate import KeyPath, key_lines
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.files.reading import FileRefused, is_directory, read_file

BYTE_ORDER_MARK = "\ufeff"  # some editors begin a file with it
_MAX_SHOWN = 80  # characters of a value in a message
_PASSWORD = re.compile(r"(?<=password=)[^&\s]+", re.IGNORECASE)
_LINE = re.compile(r"\(at line (\d+), column \d+\)\Z")


class NotTOML(ValueError):
    """The text is not valid TOML; the message is the reason, and `line` its line, if known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)  # without slots: `lines` is computed on request, because few files have an error
class TOMLDocument:
    """The content of a TOML file, and the line of every key."""

    file: Path
    tables: dict[str, Any]
    text: str

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """The line of every key, table and array element."""
        try:
            return key_lines(self.text)
        except RecursionError:  # tomllib can read a slightly deeper nesting
            return {}

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of the innermost table around it if the key is missing."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at a key; the line replaces the indexes of arrays."""
        key = ".".join(_spelled(part) for part in path if isinstance(part, str))
        return Problem(self.file, message, self.line(path), key or None)


def read_document(file: Path, within: Path | None = None) -> TOMLDocument:
    """Read a TOML file of at most 1 MiB; raises ConfigurationError with the reason and its line.

    With `within`, a symbolic link may not lead out of that directory.
    """
    text = _text(file, within)
    try:
        return TOMLDocument(file, parse_toml(text), text)
    except NotTOML as error:
        raise ConfigurationError((Problem(file, str(error), error.line),)) from None


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text; raises NotTOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))  # no code: before Python 3.14, tomllib gives the line only in its text
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        message, line = faults.cause(text, line) or (f"is not TOML: {error}", line)
        raise NotTOML(message, line) from None
    except RecursionError:
        raise NotTOML("arrays or tables are nested too deeply: flatten them") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise NotTOML("a number has too many digits: expected at most 19") from None


def shown(value: object) -> str:
    """A value for a message: on one line, of limited length, without the password of a URL."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _quoted(_without_secrets(value))
        case int():
            return str(value) if abs(value) < 1 << 63 else "a number beyond 64 bits"
        case dict():
            return "a table"
        case list():
            inner = ("a list" if isinstance(each, list) else shown(each) for each in value[:_MAX_SHOWN])
            return _shortened(f"[{', '.join(inner)}]")
    return str(value)


def _without_secrets(text: str) -> str:
    """The text without passwords: a password of the authority, from the first colon to the last `@`, and of a query.

    The first is not a regular expression, whose time would grow with the square of the number of colons.
    """
    colon, at = text.find(":"), text.rfind("@")
    if 0 <= colon < at:
        user = text[colon + 1 : at].lstrip("/")
        text = f"{text[: at - len(user)]}…{text[at:]}"
    return _PASSWORD.sub("…", text)


def advise(key: str, known: Iterable[str]) -> str:
    """The message about an unknown key in a table with these known keys."""
    names = sorted(known)
    alike = difflib.get_close_matches(key.lower()[:_MAX_SHOWN], names, n=1)
    if alike:
        return f'unknown key; did you mean "{alike[0]}"?'
    return f"unknown key; expected one of: {', '.join(names)}"


def _text(file: Path, within: Path | None) -> str:
    try:
        return read_file(file, within).data.decode().removeprefix(BYTE_ORDER_MARK)
    except FileRefused as error:
        raise ConfigurationError((Problem(file, _why_unreadable(file, error)),)) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError((Problem(file, "is not UTF-8: save it in that encoding", line),)) from None


def _why_unreadable(file: Path, refusal: FileRefused) -> str:
    match refusal.__cause__:
        case FileNotFoundError():
            return "does not exist: create it, or name another file"
        case PermissionError():
            return "may not be read: give this user permission to read the file and its directories"
        case OSError():
            return str(refusal)
    return f"is {'a directory' if is_directory(file) else refusal}: expected a TOML file"


def _quoted(text: str) -> str:
    return json.dumps(_shortened(text), ensure_ascii=not text.isprintable())


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _spelled(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else _quoted(key)
