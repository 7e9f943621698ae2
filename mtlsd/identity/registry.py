"""What `certs/partners/` says, name by name, with the trust store made of it. Immutable.

`reread` makes the registry that holds after some names changed: it reads these alone, and says anew what is odd about
those whom that concerns.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.identity.certificates import Certificate
from mtlsd.identity.doubts import doubts
from mtlsd.identity.listing import UNSETTLED, stays_within
from mtlsd.identity.partners import LoadedPartner, Partner, list_partner, load_partner
from mtlsd.identity.pemfiles import is_directory
from mtlsd.identity.sharded import Sharded
from mtlsd.identity.truststore import TrustStore, changed
from mtlsd.identity.validity import date_warnings

OUTSIDE = "a symbolic link that leads out of the partners' directory"
NO_PARTNERS = "no partners: every client certificate is refused"


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is to be said of one name: what is out of use, and what should be looked at."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.problems or self.warnings)


@dataclass(frozen=True, slots=True)
class Registry:
    """The partners as their directories were read; what depends on the time is of the time when they were."""

    directory: Path
    store: TrustStore = field(default_factory=TrustStore)
    stamps: Sharded[bytes] = field(default_factory=Sharded)  # of each name
    found: Sharded[Remarks] = field(default_factory=Sharded)  # about the files of a name
    doubts: Sharded[Remarks] = field(default_factory=Sharded)  # about a partner in use
    dates: Sharded[Remarks] = field(default_factory=Sharded)  # about its certificates
    unreadable: Problem | None = None
    concerned: frozenset[str] = frozenset()  # the names that the last reading may have changed

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is out of use until it is mended."""
        return self.about(None).problems

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All that is allowed, and seldom what was meant."""
        return self.about(None).warnings

    def about(self, names: Iterable[str] | None) -> Remarks:
        """What is to be said of these names (None: of all), and of the directory and what is claimed twice."""
        those = [_chosen(each, names) for each in (self.found, self.doubts, self.dates)]
        problems = [problem for each in those for remarks in each for problem in remarks.problems]
        warnings = [warning for each in those for remarks in each for warning in remarks.warnings]
        if self.unreadable or not (self.store.loaded or any(each.problems for each in self.found.values())):
            problems.insert(0, self.unreadable or Problem(self.directory, NO_PARTNERS))
        return Remarks((*problems, *self.store.problems()), tuple(warnings))


def load_partners(
    directory: Path, now: datetime | None = None
) -> tuple[TrustStore, tuple[Problem, ...], tuple[Problem, ...]]:
    """Read `certs/partners/`: the store, the problems, the warnings; never raises for what it finds there.

    With `now`, a partner whose certificates are all out of their dates is a warning, too.
    """
    registry = replace(read_registry(directory, now), dates=Sharded())
    return registry.store, registry.problems, registry.warnings


def read_registry(directory: Path, now: datetime | None = None) -> Registry:
    """Read everything below `certs/partners/`; never raises for what it finds there."""
    return reread(Registry(directory), None, now)


def reread(previous: Registry, names: Iterable[str] | None, now: datetime | None = None) -> Registry:
    """The registry after these names changed; None: all that have another stamp than before."""
    unreadable = previous.unreadable
    if names is None:
        names, unreadable = _stale(previous)
    read = {name: _read(previous.directory, name, now) for name in names}
    store, concerned = changed(previous.store, previous.directory, {name: each.loaded for name, each in read.items()})
    partners = {name: (previous.directory / name, store.partners.get(name)) for name in concerned}
    return Registry(
        previous.directory,
        store,
        previous.stamps.changed({name: each.stamp for name, each in read.items()}),
        previous.found.changed({name: each.remarks or None for name, each in read.items()}),
        previous.doubts.changed({name: _doubts(*each, now) for name, each in partners.items()}),
        previous.dates.changed({name: _dates(*each, now) for name, each in partners.items()}),
        unreadable,
        concerned,
    )


def certificates_of(partner: Partner) -> tuple[Certificate, ...]:
    """Everything that a partner uses, each once."""
    several = (
        partner.public_certificates,
        partner.trusted_roots,
        partner.intermediates,
        partner.message_certificates,
        partner.mdn_roots,
    )
    return tuple(dict.fromkeys(each for certificates in several for each in certificates))


# --- Names ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """What a name gave; no stamp where it is gone, or no name of a partner."""

    stamp: bytes | None = None
    loaded: LoadedPartner | None = None
    remarks: Remarks = field(default_factory=Remarks)


def _read(directory: Path, name: str, now: datetime | None) -> _Read:
    path = directory / name
    if not may_be_partner(name) or not os.path.lexists(path):
        return _Read()
    listing = list_partner(path, now.timestamp() if now else None)
    if not is_directory(path):
        return _Read(listing.stamp, remarks=Remarks(warnings=(Problem(path, "not read: a partner is a directory"),)))
    if path.is_symlink() and not stays_within(path, directory):
        return _Read(listing.stamp, remarks=Remarks((Problem(path, OUTSIDE),)))
    loaded = load_partner(path, listing)
    return _Read(listing.stamp, loaded, Remarks(loaded.problems, loaded.warnings))


def may_be_partner(name: str) -> bool:
    """Whether a name under partners/ is looked at; dot-names are not, such as the `..data` of Kubernetes."""
    return not name.startswith(".") and not name.endswith(".md")


def _stale(registry: Registry) -> tuple[frozenset[str], Problem | None]:
    """The names that have another stamp than before, and why there are none."""
    unreadable, names = None, []
    try:
        names = [each.name for each in registry.directory.iterdir() if may_be_partner(each.name)]
    except OSError as error:
        unreadable = Problem(registry.directory, f"cannot be read: {error.strerror}")
    gone = registry.stamps.keys() - names
    return frozenset(name for name in names if _is_stale(registry, name)) | gone, unreadable


def _is_stale(registry: Registry, name: str) -> bool:
    stamp = registry.stamps.get(name, UNSETTLED)
    return stamp == UNSETTLED or stamp != list_partner(registry.directory / name).stamp


# --- Remarks --------------------------------------------------------------------------------------------


def _chosen(remarks: Sharded[Remarks], names: Iterable[str] | None) -> tuple[Remarks, ...]:
    return tuple(remarks[name] for name in sorted(remarks if names is None else names) if name in remarks)


def _doubts(directory: Path, partner: Partner | None, now: datetime | None) -> Remarks | None:
    return Remarks(warnings=tuple(doubts(directory, partner, now))) or None if partner else None


def _dates(directory: Path, partner: Partner | None, now: datetime | None) -> Remarks | None:
    if partner is None or now is None:
        return None
    return Remarks(warnings=tuple(date_warnings(directory, certificates_of(partner), now))) or None
