"""Everything that the files say, as one immutable value. A reload builds a whole new one and swaps a reference."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from mtlsd import config
from mtlsd.config import Address, Configuration, OnUntrusted, VirtualHost
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.identity import (
    Certificate,
    HostKeys,
    KeyPair,
    Organization,
    TrustStore,
    date_warnings,
    load_host,
    load_organization,
    load_partners,
    refuse_for_tests,
)
from mtlsd.net.version import version_of
from mtlsd.tls import FOLLOWED, HostContext, ListenerContexts, build_context


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The configuration, who is whom, and the TLS contexts, as they stood when the files were read."""

    configuration: Configuration
    hosts: Mapping[str, VirtualHost]
    listeners: Mapping[Address, ListenerContexts]
    organizations: Mapping[str, Organization]
    truststore: TrustStore
    problems: tuple[Problem, ...]  # under partners/: what is out of use until it is mended
    warnings: tuple[Problem, ...]
    read_at: float  # seconds of the epoch: what changed later is not in it
    version: str = ""  # a digest over all of it
    keys: Mapping[str, HostKeys] = field(default_factory=dict)  # by host

    @property
    def backends(self) -> frozenset[str]:
        """Their URLs."""
        return frozenset(each.url for host in self.hosts.values() for route in host.routes for each in route.backend)


def load(file: Path, credentials: Path | None, previous: Snapshot | None = None) -> Snapshot:
    """Read all files; raises ConfigurationError with every mistake outside of partners/.

    A TLS context of `previous` is used again where its key pair and its policy are the same.
    """
    read_at = time.time()
    configuration = config.load(file)
    server = configuration.server
    loader = _Loader(server.certs, credentials, server.production)
    keys = loader.hosts(configuration)
    organizations = loader.organizations(configuration)
    if loader.problems:
        raise ConfigurationError(tuple(loader.problems))
    now = datetime.fromtimestamp(read_at, UTC)
    truststore, problems, warnings = load_partners(server.certs / "partners", now, production=server.production)
    certificates = loader.certificates | _partners_certificates(configuration.server.certs, truststore)
    dates = (date_warnings(directory, several, now) for directory, several in certificates.items())
    return Snapshot(
        configuration=configuration,
        hosts={host.name: host for host in configuration.virtualhosts},
        listeners=_listeners(configuration, keys, previous),
        organizations=organizations,
        truststore=truststore,
        problems=problems,
        warnings=(*loader.warnings, *warnings, *chain.from_iterable(dates)),
        read_at=read_at,
        keys=keys,
        version=version_of(configuration, keys, organizations, truststore),
    )


@dataclass(slots=True)
class _Loader:
    certs: Path
    credentials: Path | None
    production: bool = False
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    certificates: dict[Path, tuple[Certificate, ...]] = field(default_factory=dict)  # ours, by directory

    def hosts(self, configuration: Configuration) -> dict[str, HostKeys]:
        keys = {}
        for host in configuration.virtualhosts:
            with self._collecting():
                directory = self.certs / "hosts" / host.name
                loaded = load_host(directory, self.credentials)
                keys[host.name] = loaded.keys
                self._note(directory, *loaded.keys.pairs)
                self.warnings += loaded.warnings
        return keys

    def organizations(self, configuration: Configuration) -> dict[str, Organization]:
        names = {route.organization for host in configuration.virtualhosts for route in host.routes}
        organizations = {}
        for name in sorted(names):
            with self._collecting():
                directory = self.certs / "organizations" / name
                loaded = load_organization(directory, self.credentials)
                organizations[name] = loaded.organization
                self._note(directory, *loaded.organization.signing_pairs, *loaded.organization.decryption)
                self.warnings += loaded.warnings
        return organizations

    def _note(self, directory: Path, *pairs: KeyPair) -> None:
        self.certificates[directory] = tuple(each for pair in pairs for each in (pair.certificate, *pair.chain))
        if self.production:
            self.problems += refuse_for_tests(directory, self.certificates[directory])

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        try:
            yield
        except ConfigurationError as error:
            self.problems += error.problems


def _partners_certificates(certs: Path, truststore: TrustStore) -> dict[Path, tuple[Certificate, ...]]:
    return {
        certs / "partners" / each.name: (
            *each.public_certificates,
            *each.trusted_roots,
            *each.intermediates,
            *each.message_certificates,
        )
        for each in truststore.partners.values()
    }


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
