"""Everything that the files say, as one immutable value. A reload builds a whole new one and swaps a reference."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from mtlsd import config
from mtlsd.config import Address, Configuration, VirtualHost
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.identity import (
    Certificate,
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
from mtlsd.tls import HostContext, ListenerContexts, build_context


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
    pairs = loader.hosts(configuration)
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
        listeners=_listeners(configuration, pairs, previous),
        organizations=organizations,
        truststore=truststore,
        problems=problems,
        warnings=(*loader.warnings, *warnings, *chain.from_iterable(dates)),
        read_at=read_at,
        version=version_of(configuration, pairs, organizations, truststore),
    )


@dataclass(slots=True)
class _Loader:
    certs: Path
    credentials: Path | None
    production: bool = False
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    certificates: dict[Path, tuple[Certificate, ...]] = field(default_factory=dict)  # ours, by directory

    def hosts(self, configuration: Configuration) -> dict[str, KeyPair]:
        pairs = {}
        for host in configuration.virtualhosts:
            with self._collecting():
                directory = self.certs / "hosts" / host.name
                loaded = load_host(directory, self.credentials)
                pairs[host.name] = loaded.key_pair
                self._note(directory, loaded.key_pair)
                self.warnings += loaded.warnings
        return pairs

    def organizations(self, configuration: Configuration) -> dict[str, Organization]:
        names = {route.organization for host in configuration.virtualhosts for route in host.routes}
        organizations = {}
        for name in sorted(names):
            with self._collecting():
                directory = self.certs / "organizations" / name
                loaded = load_organization(directory, self.credentials)
                organizations[name] = loaded.organization
                self._note(directory, loaded.organization.signing, *loaded.organization.decryption)
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
    configuration: Configuration, pairs: Mapping[str, KeyPair], previous: Snapshot | None
) -> dict[Address, ListenerContexts]:
    by_address: dict[Address, dict[str, HostContext]] = defaultdict(dict)
    for host in configuration.virtualhosts:
        by_address[host.listen][host.name] = _context(host, pairs[host.name], previous)
    return {address: ListenerContexts(hosts) for address, hosts in by_address.items()}


def _context(host: VirtualHost, pair: KeyPair, previous: Snapshot | None) -> HostContext:
    listeners = previous.listeners.values() if previous else ()
    for context in (each.hosts[host.name] for each in listeners if host.name in each.hosts):
        if (context.client_certificate, context.key_pair) == (host.client_certificate, pair):
            return context
    return build_context(host.name, host.client_certificate, pair)
