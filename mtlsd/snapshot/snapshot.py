"""The content of all files, as one immutable value. A reload builds a new snapshot and swaps one reference."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TypeVar

from mtlsd.config.addresses import Address
from mtlsd.config.document import read_document, shown
from mtlsd.config.load import read_configuration
from mtlsd.config.model import Configuration, OnUntrusted, VirtualHost
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.files.reading import directories, missing_directory
from mtlsd.files.stamps import look_at, stamp_of
from mtlsd.partners.ours.host_keys import HostKeys, load_host
from mtlsd.partners.ours.key_ring import Loaded
from mtlsd.partners.ours.organization import Organization, load_organization
from mtlsd.partners.registry import Registry, Remarks, read_registry, reread
from mtlsd.partners.trust_store import TrustStore
from mtlsd.partners.validity import date_warnings
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.test_ca.marks import refuse_for_tests
from mtlsd.snapshot.digest import PartnersDigest, digest_of_own, version_of
from mtlsd.snapshot.state_modes import open_directories
from mtlsd.snapshot.verdicts import Verdicts
from mtlsd.tls.contexts import FOLLOWED, HostContext, ListenerContexts, build_context

WithPairs = TypeVar("WithPairs", HostKeys, Organization)


@dataclass(frozen=True, slots=True)
class Changes:
    """The files to be read again."""

    own: bool = False  # everything that is not below partners/
    partners: frozenset[str] = frozenset()  # names below partners/

    def __or__(self, other: "Changes") -> "Changes":
        return Changes(self.own or other.own, self.partners | other.partners)

    def __bool__(self) -> bool:
        return self.own or bool(self.partners)


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """The content of all files that are not below partners/."""

    stamp: bytes
    configuration: Configuration
    hosts: Mapping[str, VirtualHost]
    listeners: Mapping[Address, ListenerContexts]
    organizations: Mapping[str, Organization]
    keys: Mapping[str, HostKeys]  # by host
    warnings: tuple[Problem, ...]
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The configuration, the partners and the TLS contexts, as of the time when the files were read."""

    configuration: Configuration
    hosts: Mapping[str, VirtualHost]
    listeners: Mapping[Address, ListenerContexts]
    organizations: Mapping[str, Organization]
    truststore: TrustStore
    read_at: float  # seconds of the epoch: later changes are not included
    version: str = ""  # a digest over all of it
    keys: Mapping[str, HostKeys] = field(default_factory=dict)  # by host

    # Kept for the next incremental reload:
    own: Own | None = None
    registry: Registry | None = None
    partners: PartnersDigest = field(default_factory=PartnersDigest)

    verdicts: Verdicts = field(default_factory=Verdicts, init=False)  # by this snapshot, and never by another one

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The errors under partners/: the files that are not used until they are fixed."""
        return self.remarks().problems

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Warnings for operators, as of the time when each file was read."""
        return self.remarks().warnings

    def remarks(self, previous: "Snapshot | None" = None) -> Remarks:
        """All problems and warnings, or those of the files read since `previous`, from which this snapshot was made."""
        own, registry = self.own, self.registry
        if own is None or registry is None:
            return Remarks()
        if previous is None or previous.registry is None:
            found = registry.about(None)
            return Remarks(found.problems, (*own.warnings, *found.warnings))
        found = registry.about(registry.concerned, previous.registry)
        return Remarks(found.problems, (*(own.warnings if own is not previous.own else ()), *found.warnings))

    @property
    def backends(self) -> frozenset[str]:
        """The URLs of all backends."""
        return frozenset(each.url for host in self.hosts.values() for route in host.routes for each in route.backend)


def load_snapshot(
    file: Path,
    credentials: Path | None,
    read_at: float,
    previous: Snapshot | None = None,
    changes: Changes | None = None,
) -> Snapshot:
    """Read the files; raises ConfigurationError with every error outside of partners/.

    `read_at` is the time, in seconds of the epoch. With `changes`, everything else is taken from `previous`; without
    `changes`, all files are read. A TLS context of `previous` is reused if its key pair and its policy are the same.
    """
    now = datetime.fromtimestamp(read_at, UTC)
    own = previous.own if previous and changes and not changes.own else None
    own = own or _read_own(file, credentials, previous, now)
    server = own.configuration.server
    place = server.certs / "partners", server.production
    registry, partners = previous.registry if previous else None, PartnersDigest()
    if previous and registry and changes and (registry.directory, registry.production) == place:
        registry, partners = reread(registry, changes.partners, now), previous.partners
    else:
        registry = read_registry(server.certs / "partners", now, production=server.production)
    partners = partners.changed(registry.store, registry.concerned)
    return Snapshot(
        configuration=own.configuration,
        hosts=own.hosts,
        listeners=own.listeners,
        organizations=own.organizations,
        keys=own.keys,
        truststore=registry.store,
        read_at=read_at,
        version=version_of(own.digest, partners),
        own=own,
        registry=registry,
        partners=partners,
    )


def _read_own(file: Path, credentials: Path | None, previous: Snapshot | None, now: datetime) -> Own:
    looked = look_at(file.absolute())  # before it is read, so that a change meanwhile is noticed later
    configuration = read_configuration(file)
    server = configuration.server
    stamp = stamp_of(looked, server.certs)
    loader = _Loader(file.absolute(), server.certs, credentials, server.production)
    hosts = {host.name: host for host in configuration.virtualhosts}
    names = {route.organization for host in hosts.values() for route in host.routes}
    keys = loader.load("hosts", hosts, load_host)
    organizations = loader.load("organizations", sorted(names), load_organization)
    if loader.problems:
        raise ConfigurationError(tuple(loader.problems))
    dates = (date_warnings(directory, several, now) for directory, several in loader.certificates.items())
    return Own(
        stamp,
        configuration,
        hosts,
        _listeners(configuration, keys, previous),
        organizations,
        keys,
        (*loader.warnings, *chain.from_iterable(dates), *open_directories(configuration)),
        digest_of_own(configuration, keys, organizations),
    )


@dataclass(slots=True)
class _Loader:
    file: Path  # the configuration
    certs: Path
    credentials: Path | None
    production: bool = False
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    certificates: dict[Path, tuple[Certificate, ...]] = field(default_factory=dict)  # ours, by directory

    def load(
        self, kind: str, names: Iterable[str], load: Callable[[Path, Path | None], Loaded[WithPairs]]
    ) -> dict[str, WithPairs]:
        """The hosts or the organizations, by name."""
        values = {}
        for name in names:
            directory = self.certs / kind / name
            if problem := missing_directory(directory):
                self.problems.append(_made_clear(problem, kind, name, self.file))
                continue
            try:
                loaded = load(directory, self.credentials)
            except ConfigurationError as error:
                self.problems += error.problems
                continue
            values[name] = loaded.value
            self.warnings += loaded.warnings
            self.certificates[directory] = certificates = _certificates(loaded.value.pairs)
            if self.production:
                self.problems += refuse_for_tests(directory, certificates)
        return values


def _made_clear(missing: Problem, kind: str, name: str, file: Path) -> Problem:
    """The problem that a directory of ours is missing, with what it must hold; an organization's at its own line."""
    if kind == "hosts":
        return replace(missing, message=f"{missing.message}: make it, with chain.pem and key.pem")
    there = ", ".join(sorted(each.name for each in directories(missing.file.parent))) or "none"
    words = f"found {shown(name)}, but {missing.file} does not exist (there is: {there})"
    text = f"{words}: use one of those, or make it, with cert.pem and key.pem"
    document = read_document(file)
    for at, host in enumerate(document.tables["virtualhost"]):
        for below, route in enumerate(host.get("route", [])):
            if route.get("organization") == name:
                return document.problem(("virtualhost", at, "route", below, "organization"), text)
    return replace(missing, message=text)


def _certificates(pairs: Iterable[KeyPair]) -> tuple[Certificate, ...]:
    return tuple(each for pair in pairs for each in (pair.certificate, *pair.chain))


def _listeners(
    configuration: Configuration, keys: Mapping[str, HostKeys], previous: Snapshot | None
) -> dict[Address, ListenerContexts]:
    known = list(_contexts(previous)) if previous else []
    refusing = {host.listen for host in configuration.virtualhosts if host.on_untrusted is OnUntrusted.HANDSHAKE}
    by_address: dict[Address, dict[str, list[HostContext]]] = defaultdict(dict)
    for host in configuration.virtualhosts:
        depth = FOLLOWED if host.listen in refusing else 0
        by_address[host.listen][host.name] = [_context(host, pair, depth, known) for pair in keys[host.name].server]
    return {address: _listener(hosts) for address, hosts in by_address.items()}


def _listener(hosts: Mapping[str, list[HostContext]]) -> ListenerContexts:
    later = {name: tuple(several[1:]) for name, several in hosts.items() if several[1:]}
    return ListenerContexts({name: several[0] for name, several in hosts.items()}, later)


def _contexts(snapshot: Snapshot) -> Iterator[HostContext]:
    for listener in snapshot.listeners.values():
        yield from chain(listener.hosts.values(), *listener.later.values())


def _context(host: VirtualHost, pair: KeyPair, depth: int, known: Iterable[HostContext]) -> HostContext:
    wanted = (host.name, host.client_certificate, pair, host.on_untrusted, depth)
    for each in known:
        if (each.name, each.client_certificate, each.key_pair, each.on_untrusted, each.verify_depth) == wanted:
            return each
    return build_context(host.name, host.client_certificate, pair, host.on_untrusted, depth)
