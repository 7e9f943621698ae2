"""One TOML file: its tables, and the line of every key."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mtlsd.config.locate import KeyPath, key_lines
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.files.reading import FileRefused, is_directory, read_file

BYTE_ORDER_MARK = "\ufeff"  # some editors begin a file with it
_MAX_SHOWN = 80  # characters of a value in a message
_PASSWORD = re.compile(r"(?<=password=)[^&\s]+", re.IGNORECASE)
_LINE = re.compile(r"\(at line (\d+), column \d+\)\Z")


class NotTOML(ValueError):
    """Why a text is no TOML that we read, and in which line, if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)  # without slots: `lines` is made when somebody asks, for few files have a mistake
class TOMLDocument:
    """What a TOML file says, and where it says it."""

    file: Path
    tables: dict[str, Any]
    text: str

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """The line of every key, table and array element."""
        try:
            return key_lines(self.text)
        except RecursionError:  # nested so deeply that tomllib just managed it
            return {}

    def line(self, path: KeyPath) -> int | None:
        """The line of a key; of the innermost table around it if the key itself is missing."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake at a key, spelled as in the file: the line stands for the indexes of arrays."""
        key = ".".join(_spelled(part) for part in path if isinstance(part, str))
        return Problem(self.file, message, self.line(path), key or None)


def read_document(file: Path, within: Path | None = None) -> TOMLDocument:
    """Read a TOML file of at most 1 MiB; ConfigurationError says why it cannot be read, and in which line.

    With `within`, a symbolic link may not lead out of that directory.
    """
    text = _text(file, within)
    try:
        return TOMLDocument(file, parse_toml(text), text)
    except NotTOML as error:
        raise ConfigurationError((Problem(file, str(error), error.line),)) from None


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says; raises NotTOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))  # no code: of tomllib, which has the line in its text only before Python 3.14
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        raise NotTOML(f"is not TOML: {error}", line) from None
    except RecursionError:
        raise NotTOML("arrays or tables are nested too deeply: flatten them") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise NotTOML("a number has too many digits: expected at most 19") from None


def shown(value: object) -> str:
    """A value as a message may show it: on one line, not too long, without the password of a URL."""
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
            return _shortened(f"[{', '.join(map(_shown_within, value[:_MAX_SHOWN]))}]")
    return str(value)


def _without_secrets(text: str) -> str:
    """The text without passwords: between its first colon, with the slashes after it, and its last `@`; in a query.

    The first is a search by hand, because a regular expression takes the square of the number of colons.
    """
    colon, at = text.find(":"), text.rfind("@")
    if 0 <= colon < at:
        user = text[colon + 1 : at].lstrip("/")
        text = f"{text[: at - len(user)]}…{text[at:]}"
    return _PASSWORD.sub("…", text)


def advise(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is not known, for a file whose table knows those."""
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
            return "may not be read: give this user permission, on its directories too"
        case OSError():
            return str(refusal)
    return f"is {'a directory' if is_directory(file) else refusal}: expected a TOML file"


def _shown_within(value: object) -> str:
    return "a list" if isinstance(value, list) else shown(value)


def _quoted(text: str) -> str:
    return json.dumps(_shortened(text), ensure_ascii=not text.isprintable())


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _spelled(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else _quoted(key)
