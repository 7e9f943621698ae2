"""One TOML file: its tables, and the line of every key."""

import difflib
import json
import re
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtlsd.config.locate import KeyPath, key_lines
from mtlsd.errors import ConfigurationError, Problem

MAX_BYTES = 1 << 20
_MAX_SHOWN = 80  # characters of a value in a message
_SECRETS = re.compile(r"(?<=:)(/*).*(?=@)|(?<=password=)[^&\s]+", re.IGNORECASE | re.DOTALL)
_SYNTAX_ERROR = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """What a TOML file says, and where it says it."""

    file: Path
    tables: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """The line of a key; of the innermost table around it where the key itself is missing."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake at a key, spelled as in the file: the line stands for the indexes of arrays."""
        key = ".".join(_spelled(part) for part in path if isinstance(part, str))
        return Problem(self.file, message, self.line(path), key or None)


def read_document(file: Path) -> Document:
    """Read a TOML file of at most 1 MiB; ConfigurationError says why it cannot be read, and in which line."""
    text = _decode(file, _read(file))
    try:
        return Document(file, tomllib.loads(text), key_lines(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(file, text, error) from None
    except RecursionError:
        raise _unreadable(file, "arrays or tables are nested too deeply: flatten them") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise _unreadable(file, "a number has too many digits: expected at most 19") from None


def syntax_error(error: tomllib.TOMLDecodeError) -> tuple[str, int | None]:
    """What is wrong and in which line; None is the end of the document.

    Before Python 3.14 the line is nowhere but in the text of the error.
    """
    found = _SYNTAX_ERROR.fullmatch(str(error))  # no code: of tomllib
    if found is None:
        return str(error), None
    return found["what"], int(found["line"]) if found["line"] else None


def shown(value: object) -> str:
    """A value as a message may show it: on one line, not too long, without the password of a URL."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _quoted(_SECRETS.sub(r"\1…", value))
        case int():
            return str(value) if abs(value) < 1 << 63 else "a number beyond 64 bits"
        case dict():
            return "a table"
        case list():
            return "a list"
    return str(value)


def advise(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is not known, for a file whose table knows those."""
    names = sorted(known)
    alike = difflib.get_close_matches(key.lower()[:_MAX_SHOWN], names, n=1)
    if alike:
        return f'unknown key; did you mean "{alike[0]}"?'
    return f"unknown key; expected one of: {', '.join(names)}"


def _read(file: Path) -> bytes:
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(file, "is a directory: expected a TOML file")
        if not stat.S_ISREG(mode):
            raise _unreadable(file, "is not a regular file: expected a TOML file")
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(file, "does not exist: create it, or name another file") from None
    except PermissionError:
        raise _unreadable(file, "may not be read: give this user permission, on its directories too") from None
    except OSError as error:
        raise _unreadable(file, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise _unreadable(file, f"is larger than {MAX_BYTES} bytes: is this the right file?")
    return data


def _decode(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _unreadable(file, "is not UTF-8: save it in that encoding", line) from None


def _syntax_error(file: Path, text: str, error: tomllib.TOMLDecodeError) -> ConfigurationError:
    what, line = syntax_error(error)
    return _unreadable(file, f"is not TOML: {what}", line or text.rstrip().count("\n") + 1)


def _unreadable(file: Path, message: str, line: int | None = None) -> ConfigurationError:
    return ConfigurationError((Problem(file, message, line),))


def _quoted(text: str) -> str:
    text = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _spelled(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else _quoted(key)
