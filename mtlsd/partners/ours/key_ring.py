"""Our key pairs for one use: the pair in its directory, and the pairs in directories below, each with its dates.

The names of the directories below are free (`next`, `2027`). A directory whose name begins with a dot is not read, and
neither is a directory without a certificate. A key may be a systemd credential, named after its directories.
"""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from mtlsd.config.document import TOMLDocument
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.files.reading import is_directory, missing_directory
from mtlsd.partners.dates import PairRow
from mtlsd.pki.dates import ALWAYS
from mtlsd.pki.key_pair import KeyPair, files_with_both, load_pair_in

T = TypeVar("T")
PairCheck = Callable[[Path, KeyPair], tuple[Problem, ...]]  # the problems of a pair in a directory


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """The keys of a host, or an organization, without errors; and the warnings about them."""

    value: T
    warnings: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Keyrings:
    """Reads the pairs below one directory, and collects their problems; `file` is the name of a certificate's file."""

    directory: Path
    settings: TOMLDocument  # the file that gives the dates
    rows: tuple[PairRow, ...]
    credentials: Path | None
    prefix: str  # of the names of credentials
    file: str
    check: PairCheck = lambda *_: ()
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Raises ConfigurationError if there is no directory."""
        if problem := missing_directory(self.directory):
            raise ConfigurationError((problem,))
        directories = [row.directory for row in self.rows]
        for index, each in enumerate(directories):
            if each in directories[:index]:
                self.problems.append(self.settings.problem(("pair", index), f"{each} has dates already"))

    def read(self, place: str = ".", reserved: Collection[str] = ()) -> tuple[KeyPair, ...]:
        """The pair in a directory, then the pairs below it without the `reserved` names; empty if one has an error."""
        places = [place, *self._below(place, reserved)]
        loaded = [self._load(each) for each in places]
        return tuple(each for each in loaded if each) if all(loaded) else ()

    def finish(self) -> None:
        """Warn about dates without a pair; raises ConfigurationError with every error."""
        for index, row in enumerate(self.rows):
            if row.directory not in self._seen:
                words = f"there is no key pair in {row.directory}: remove these lines, or add the key pair"
                self.warnings.append(self.settings.problem(("pair", index), words))
        if self.problems:
            raise ConfigurationError(tuple(self.problems))

    def _below(self, place: str, reserved: Collection[str]) -> Iterator[str]:
        try:
            names = sorted(each.name for each in (self.directory / place).iterdir())
        except OSError:
            return  # a problem already, because its certificate cannot be read either
        for name in names:
            path = self.directory / place / name
            if name.startswith(".") or name in reserved or not is_directory(path):
                continue
            if os.path.lexists(path / self.file) or files_with_both(path):
                yield os.path.normpath(f"{place}/{name}")
            else:
                self.warnings.append(Problem(path, f"not read: there is no {self.file} in it, and no .pfx"))

    def _load(self, place: str) -> KeyPair | None:
        self._seen.add(place)
        path = self.directory / place
        try:
            loaded = load_pair_in(path, self.file, self._credential(place))
        except ConfigurationError as error:
            self.problems += error.problems
            return None
        self.warnings += loaded.warnings
        self.problems += self.check(path, loaded.key_pair)
        dates = {row.directory: row.dates for row in self.rows}
        return replace(loaded.key_pair, dates=dates.get(place, ALWAYS))

    def _credential(self, place: str) -> Path | None:
        parts = [] if place == "." else place.split("/")
        return self.credentials / ".".join([self.prefix, *parts, "key"]) if self.credentials else None
