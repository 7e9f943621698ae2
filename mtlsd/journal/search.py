"""Searches for messages by their texts: how a search becomes patterns of LIKE and ranges of an index. Pure.

The case of ASCII letters does not count, because both databases fold exactly these letters without a locale.
"""

import re
from dataclasses import dataclass

INDEXED = 100  # characters of each text in the index of PostgreSQL
LAST = "\U0010ffff"  # sorts after every other character
_WILDCARD = re.compile(r"[*?]")
_SPECIAL = re.compile(r"([\\%_])")  # in a pattern of LIKE
_CAPITALS = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class Search:
    """A search: `text` is the beginning of a file name, a subject or a Message-ID, whose angle bracket may be missing.

    With `anywhere` the text may be anywhere in them, and no index helps. `filename` is a whole file name; with
    `is_glob`, * is any text and ? any character. An empty text or file name matches everything.
    """

    text: str = ""
    filename: str = ""
    anywhere: bool = False
    is_glob: bool = True

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the messages, because the beginning of a text is known."""
        return bool(self._text if self.text else self._name)

    def values(self) -> dict[str, str | None]:
        """The arguments of the queries: patterns, and for each index the range of the texts that begin so."""
        text, name = self._text, self._name if not self.text else self._text
        return {
            "pattern": self._pattern(),
            "glob": self._glob(),
            **_range("name", name),
            **_range("text", text),
            **_range("angle", f"<{text}" if text else ""),
        }

    @property
    def _text(self) -> str:
        return "" if self.anywhere else _folded(self.text)

    @property
    def _name(self) -> str:
        return _folded(_WILDCARD.split(self.filename, maxsplit=1)[0] if self.is_glob else self.filename)

    def _glob(self) -> str | None:
        if not self.filename:
            return None
        exact = _escaped(_folded(self.filename))
        return exact.replace("*", "%").replace("?", "_") if self.is_glob else exact

    def _pattern(self) -> str | None:
        if not self.text:
            return None
        return f"{'%' if self.anywhere else ''}{_escaped(_folded(self.text))}%"


def _range(name: str, beginning: str) -> dict[str, str | None]:
    """The range of the texts with this beginning; an empty range if there is none."""
    low = beginning[:INDEXED]
    return {f"{name}_low": low, f"{name}_high": low + LAST if low else ""}


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _folded(text: str) -> str:
    return text.translate(_CAPITALS)
