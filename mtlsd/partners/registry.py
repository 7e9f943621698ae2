"""The registry: the content of `certs/partners/`, name by name, and the trust store made of it. Immutable.

`reread` makes the next registry after some names changed. It reads only these names, and checks again only the partners
that are affected.
"""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from mtlsd.errors import Problem
from mtlsd.files.reading import is_directory
from mtlsd.files.stamps import UNSETTLED, stays_within
from mtlsd.partners.partner import LoadedPartner, Partner, list_partner, load_partner, uses_of
from mtlsd.partners.production import without_tests
from mtlsd.partners.trust_store import TrustStore, changed
from mtlsd.partners.validity import date_warnings
from mtlsd.partners.warnings import partner_warnings, pinned_warning

T = TypeVar("T")

OUTSIDE = "a symbolic link that leads out of the partners' directory"
NO_PARTNERS = "no partners: every client certificate is refused"


@dataclass(frozen=True, slots=True)
class Remarks:
    """The problems, for files and partners that are not in use, and the warnings."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.problems or self.warnings)


@dataclass(frozen=True, slots=True)
class Registry:
    """The partners as their directories were read; warnings about dates are as of that time."""

    directory: Path
    production: bool = False  # certificates of a test CA are not used
    store: TrustStore = field(default_factory=TrustStore)
    stamps: Mapping[str, bytes] = field(default_factory=dict)  # of each name
    found: Mapping[str, Remarks] = field(default_factory=dict)  # about the files of a name
    unusual: Mapping[str, Remarks] = field(default_factory=dict)  # warnings about partners in use
    dates: Mapping[str, Remarks] = field(default_factory=dict)  # warnings about the dates of certificates
    unreadable: Problem | None = None
    concerned: frozenset[str] = frozenset()  # the names that the last reading may have changed

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems."""
        return self.about(None).problems

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All warnings."""
        return self.about(None).warnings

    def about(self, names: Iterable[str] | None, previous: "Registry | None" = None) -> Remarks:
        """The remarks about these names (None: all), and the problems of the whole that `previous` did not have."""
        those = [_chosen(each, names) for each in (self.found, self.unusual, self.dates)]
        problems = [problem for each in those for remarks in each for problem in remarks.problems]
        warnings = [warning for each in those for remarks in each for warning in remarks.warnings]
        warnings += pinned_warning(self.directory, _chosen(self.store.partners, names))
        known = frozenset(previous.about_whole()) if previous else frozenset()
        return Remarks((*problems, *(each for each in self.about_whole() if each not in known)), tuple(warnings))

    def are_unsettled(self, names: Iterable[str]) -> bool:
        """Whether all of these names must be read again, because they were read too soon after a change."""
        return all(self.stamps.get(name) == UNSETTLED for name in names)

    def about_whole(self) -> tuple[Problem, ...]:
        """The problems of the directory, and the conflicts between partners."""
        missing = self.unreadable
        if not (missing or self.store.loaded or any(each.problems for each in self.found.values())):
            missing = Problem(self.directory, NO_PARTNERS)
        return (*((missing,) if missing else ()), *self.store.problems())


def load_partners(
    directory: Path, now: datetime | None = None, *, production: bool = False
) -> tuple[TrustStore, tuple[Problem, ...], tuple[Problem, ...]]:
    """Read `certs/partners/`: the store, the problems and the warnings; never raises, whatever the files are.

    With `now`, there is a warning about each partner none of whose certificates is valid now. In production,
    certificates of a test CA are not used.
    """
    registry = replace(read_registry(directory, now, production=production), dates={})
    return registry.store, registry.problems, registry.warnings


def load_each(directory: Path) -> tuple[LoadedPartner, ...]:
    """The partners below `certs/partners/`, in the order of their names."""
    return tuple(read_registry(directory).store.loaded.values())


def read_registry(directory: Path, now: datetime | None = None, *, production: bool = False) -> Registry:
    """Read everything below `certs/partners/`; never raises, whatever the files are."""
    empty = Registry(directory, production)
    return reread(empty, stale(empty), now)


def reread(previous: Registry, names: Iterable[str], now: datetime | None = None) -> Registry:
    """The registry after these names changed."""
    with _without_collections():
        return _reread(previous, names, now)


def _reread(previous: Registry, names: Iterable[str], now: datetime | None) -> Registry:
    unreadable = _why_unreadable(previous.directory)
    read = {name: _read(previous, name, now) for name in names}
    store, concerned = changed(previous.store, previous.directory, {name: each.loaded for name, each in read.items()})
    partners = {name: (previous.directory / name, store.partners.get(name)) for name in concerned}
    return Registry(
        previous.directory,
        previous.production,
        store,
        _updated(previous.stamps, {name: each.stamp for name, each in read.items()}),
        _updated(previous.found, {name: each.remarks or None for name, each in read.items()}),
        _updated(previous.unusual, {name: _unusual(*each, now) for name, each in partners.items()}),
        _updated(previous.dates, {name: _dates(*each, now) for name, each in partners.items()}),
        unreadable,
        concerned,
    )


def stale(registry: Registry) -> frozenset[str]:
    """The names whose stamp changed since they were read; also new and removed names."""
    try:
        names = [name for name in os.listdir(registry.directory) if may_be_partner(name)]  # noqa: PTH208  # texts
    except OSError:
        names = []
    return frozenset(name for name in names if _is_stale(registry, name)) | (registry.stamps.keys() - names)


def _updated(values: Mapping[str, T], changes: Mapping[str, T | None]) -> dict[str, T]:
    """The mapping after these changes; None removes a key."""
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


@contextmanager
def _without_collections() -> Iterator[None]:
    """Disable the garbage collector: nearly all new objects are kept, and searching them takes long."""
    were_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if were_on:
            gc.enable()


# --- Names ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """The result of reading one name; no stamp if it was removed, or is not the name of a partner."""

    stamp: bytes | None = None
    loaded: LoadedPartner | None = None
    remarks: Remarks = field(default_factory=Remarks)


def _read(registry: Registry, name: str, now: datetime | None) -> _Read:
    path = registry.directory / name
    if not may_be_partner(name) or not os.path.lexists(path):
        return _Read()
    listing = list_partner(path, now.timestamp() if now else None)
    if not is_directory(path):
        return _Read(listing.stamp, remarks=Remarks(warnings=(Problem(path, "not read: a partner is a directory"),)))
    if path.is_symlink() and not stays_within(path, registry.directory):
        return _Read(listing.stamp, remarks=Remarks((Problem(path, OUTSIDE),)))
    loaded = load_partner(path, listing)
    if registry.production:
        loaded = without_tests(path, loaded)
    return _Read(listing.stamp, loaded, Remarks(loaded.problems, loaded.warnings))


def may_be_partner(name: str) -> bool:
    """Whether a name in partners/ is read; names with a leading dot are not, such as the `..data` of Kubernetes."""
    return not name.startswith(".") and not name.endswith(".md")


def _why_unreadable(directory: Path) -> Problem | None:
    try:
        os.scandir(directory).close()
    except OSError as error:
        return Problem(directory, f"cannot be read: {error.strerror}")
    return None


def _is_stale(registry: Registry, name: str) -> bool:
    stamp = registry.stamps.get(name, UNSETTLED)
    return stamp == UNSETTLED or stamp != list_partner(registry.directory / name).stamp


# --- Remarks --------------------------------------------------------------------------------------------


def _chosen(values: Mapping[str, T], names: Iterable[str] | None) -> tuple[T, ...]:
    return tuple(values[name] for name in sorted(values if names is None else names) if name in values)


def _unusual(directory: Path, partner: Partner | None, now: datetime | None) -> Remarks | None:
    return Remarks(warnings=tuple(partner_warnings(directory, partner, now))) or None if partner else None


def _dates(directory: Path, partner: Partner | None, now: datetime | None) -> Remarks | None:
    if partner is None or now is None:
        return None
    return Remarks(warnings=tuple(date_warnings(directory, uses_of(partner), now))) or None
