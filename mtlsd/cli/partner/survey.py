"""Reads all files, for `mtlsd check` and `mtlsd partner list`. Opens no socket, writes nothing.

`load_snapshot` finds the errors in our own files, as the daemon does; the other files are read one by one, so that an
error in one file hides no other error.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path

from mtlsd.cli.partner.dated import DatedCertificate
from mtlsd.config.addresses import without_query
from mtlsd.config.document import read_document
from mtlsd.config.load import read_configuration
from mtlsd.config.model import Configuration, Route, VirtualHost
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.partners.edit import proposal
from mtlsd.partners.expiry import LISTED_DAYS
from mtlsd.partners.ours.host_keys import load_host
from mtlsd.partners.ours.organization import Organization, load_organization
from mtlsd.partners.partner import Partner, uses_of
from mtlsd.partners.partner_toml import Require
from mtlsd.partners.registry import load_partners
from mtlsd.partners.trust_store import TrustStore
from mtlsd.partners.validity import Validity, certificate_files, days
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.policy import may_sign
from mtlsd.snapshot.snapshot import load_snapshot
from mtlsd.snapshot.state_modes import open_directories


@dataclass(frozen=True, slots=True)
class PartnerEntry:
    """A directory below partners/: the partner, or None if it is disabled, and its errors."""

    name: str
    partner: Partner | None
    certificates: tuple[DatedCertificate, ...]
    errors: tuple[str, ...]
    as2_ids: tuple[str, ...] = ()  # as they were read, also of a disabled partner

    @property
    def ids(self) -> str:
        return ", ".join(self.partner.as2_ids if self.partner else self.as2_ids) or "-"

    @property
    def where(self) -> str:
        if self.partner is None:
            return "-"
        return "all" if self.partner.hosts is None else ", ".join(sorted(self.partner.hosts)) or "none"

    @property
    def days(self) -> str:
        """How many certificates, and how soon the first of them expires."""
        if not self.certificates:
            return "none"
        first = min(self.certificates, key=lambda each: each.certificate.not_after)
        return f"{len(self.certificates)}, {first.state if first.state is Validity.EXPIRED else days(first.days_left)}"

    @property
    def state(self) -> str:
        why = "; ".join(self.errors)
        if self.partner is None:
            return f"disabled: {why or 'disabled = true in partner.toml'}"
        return f"in use, but {why}" if why else "in use"

    def as_json(self) -> dict[str, object]:
        partner = self.partner
        match = partner.match if partner else None
        return {
            "name": self.name,
            "state": "disabled" if partner is None else "in use",
            "mistakes": list(self.errors),
            "as2_ids": list(partner.as2_ids if partner else self.as2_ids),
            "hosts": sorted(partner.hosts) if partner and partner.hosts is not None else None,
            "require": sorted(partner.require) if partner else [],
            "relax": sorted(partner.relax) if partner else [],
            "mdn_urls": list(partner.mdn_urls) if partner else [],
            "as2_version": partner.as2_version if partner else None,
            "async_ack": partner.async_ack if partner else None,
            "match": {"subject": match.subject, "san": list(match.san)} if match else None,
            "certificates": [each.as_json() for each in self.certificates],
        }


@dataclass(frozen=True, slots=True)
class Partners:
    """All of partners/, with every error and warning."""

    partners: tuple[PartnerEntry, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Survey:
    """Everything that `mtlsd check` reports. `configuration` is None if the file itself has errors."""

    file: Path
    configuration: Configuration | None
    own: tuple[DatedCertificate, ...]
    partners: Partners
    problems: tuple[Problem, ...]  # outside of partners/: the daemon does not start
    own_warnings: tuple[Problem, ...] = field(default=())

    @property
    def certificates(self) -> tuple[DatedCertificate, ...]:
        return (*self.own, *(dated for each in self.partners.partners for dated in each.certificates))

    @property
    def expiring(self) -> list[DatedCertificate]:
        """The certificates that expire within 60 days or have expired, the first to expire first."""
        found = [each for each in self.certificates if each.days_left <= LISTED_DAYS]
        return sorted(found, key=lambda each: (each.certificate.not_after, each.owner, each.use))

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        dates = tuple(warning for each in self.certificates if (warning := each.warning()))
        return (*self.own_warnings, *self.partners.warnings, *dates)

    def as_json(self) -> dict[str, object]:
        hosts = self.configuration.virtualhosts if self.configuration else ()
        return {
            "file": str(self.file),
            "hosts": [_host(each) for each in hosts],
            "certificates": [each.as_json() for each in self.certificates],
            "ending": [each.as_json() for each in self.expiring],
            "partners": [each.as_json() for each in self.partners.partners],
            "warnings": [_problem(each) for each in self.warnings],
            "mistakes": [_problem(each) for each in (*self.problems, *self.partners.problems)],
        }


def survey(file: Path, credentials: Path | None, now: datetime) -> Survey:
    """Read everything that `file` leads to; errors in the files are part of the result."""
    problems: tuple[Problem, ...] = ()
    try:
        load_snapshot(file, credentials, time.time())
    except ConfigurationError as error:
        problems = error.problems
    configuration = _configuration(file)
    own = _Own(now)
    if configuration:
        own.read(configuration, credentials)
    partners = Partners()
    if os.access(file, os.R_OK):  # otherwise the place of the certificates is unknown
        certs = configuration.server.certs if configuration else _certs(file)
        partners = partners_in(certs, now, configuration, own.as2_ids)
    return Survey(file.absolute(), configuration, tuple(own.certificates), partners, problems, tuple(own.warnings))


def partners_in(
    certs: Path, now: datetime, configuration: Configuration | None = None, own_ids: Mapping[str, str] | None = None
) -> Partners:
    """Read partners/; with a configuration, warn about hosts that are not in it.

    `own_ids` are the AS2 ids of our organizations, with their names, to warn about a partner that has one of them.
    """
    directory = certs / "partners"
    production = configuration is not None and configuration.server.production
    store, problems, warnings = load_partners(directory, now, production=production)
    names = sorted({*store.partners, *store.disabled})
    entries = tuple(_entry(directory / name, store, problems, now) for name in names)
    hosts = None if configuration is None else {host.name for host in configuration.virtualhosts}
    more = [
        each
        for entry in entries
        if entry.partner
        for each in _warnings(directory / entry.name, entry.partner, hosts, own_ids or {})
    ]
    more += [
        Problem(directory / entry.name, proposal.pin_is_lost(*each))
        for entry in entries
        for each in proposal.lost_pins(store, entry.name)
    ]
    return Partners(entries, problems, (*warnings, *more))


# --- Ours -----------------------------------------------------------------------------------------------------


class _Own:
    """Gathers our own certificates; `load_snapshot` reports those that cannot be loaded."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.certificates: list[DatedCertificate] = []
        self.warnings: list[Problem] = []
        self.as2_ids: dict[str, str] = {}  # the names of the organizations, by AS2 id

    def read(self, configuration: Configuration, credentials: Path | None) -> None:
        certs = configuration.server.certs
        self.warnings += _secrets(configuration)
        self.warnings += open_directories(configuration)
        for host in configuration.virtualhosts:
            with suppress(ConfigurationError):
                loaded = load_host(certs / "hosts" / host.name, credentials)
                for use, pairs in (("server", loaded.keys.server), ("client", loaded.keys.client)):
                    for pair in pairs:
                        self._add("host", certs / "hosts" / host.name, use, pair)
                self.warnings += loaded.warnings
        for name in sorted({route.organization for host in configuration.virtualhosts for route in host.routes}):
            with suppress(ConfigurationError):
                own = load_organization(certs / "organizations" / name, credentials)
                self._organization(certs / "organizations" / name, own.organization)
                self.warnings += own.warnings

    def _organization(self, directory: Path, organization: Organization) -> None:
        self.as2_ids[organization.as2_id] = organization.name
        for each in organization.backend_certificates:
            owner, place = f"organization {organization.name}", directory / "backend.pem"
            self.certificates.append(DatedCertificate(owner, "backend's signature", each, place, self._now))
        signing, decryption = organization.signing_pairs, organization.decryption
        if signing == decryption:
            for pair in signing:
                self._add("organization", directory, "signing, decryption", pair)
            return
        for pair in signing:
            self._add("organization", directory, "signing", pair)
        for pair in decryption:
            self._add("organization", directory, "decryption", pair)

    def _add(self, kind: str, directory: Path, use: str, pair: KeyPair) -> None:
        owner, files = f"{kind} {directory.name}", certificate_files(directory)
        for each, its_use in ((pair.certificate, use), *((each, f"{use}, chain") for each in pair.chain)):
            place = files.get(each.sha256, directory)
            self.certificates.append(DatedCertificate(owner, its_use, each, place, self._now))


def _configuration(file: Path) -> Configuration | None:
    try:
        return read_configuration(file)
    except ConfigurationError:
        return None


def _certs(file: Path) -> Path:
    """The directory of the certificates, from a file that has errors; by default `certs` beside the file."""
    try:
        server = read_document(file).tables.get("server")
    except ConfigurationError:
        server = None
    named = server.get("certs") if isinstance(server, dict) else None
    return file.absolute().parent / (named if isinstance(named, str) and "\0" not in named else "certs")


def _secrets(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about secrets in virtualhosts.toml."""
    routes = ((host, route) for host in configuration.virtualhosts for route in host.routes)
    for host, route in routes:
        for each in route.backend:
            if "?" in each.url:
                url, where = without_query(each.url), f"host {host.name}, path {route.path}"
                message = (
                    f"{url} ({where}) has a query: do not keep a secret in this file; logs and lists omit the query"
                )
                yield Problem(configuration.file, message, key="virtualhost.route.backend")


# --- Partners -------------------------------------------------------------------------------------------------


def _entry(directory: Path, store: TrustStore, problems: Iterable[Problem], now: datetime) -> PartnerEntry:
    name = directory.name
    partner = store.partners.get(name)
    loaded = store.loaded[name]
    public = partner.public_certificates if partner else loaded.public_certificates
    certificates = uses_of(partner).items() if partner else [(each, "not in use") for each in public]
    own = [_shortened(each, directory) for each in problems if each.file.is_relative_to(directory)]
    dated = _dated(directory, certificates, now)
    lost = (proposal.pin_is_lost(*each) for each in proposal.lost_pins(store, name))
    return PartnerEntry(name, partner, dated, (*own, *_claimed_twice(name, public, store), *lost), loaded.as2_ids)


def certificates_of(directory: Path, partner: Partner, now: datetime) -> tuple[DatedCertificate, ...]:
    """Every certificate of a partner once, with its use and its file."""
    return _dated(directory, uses_of(partner).items(), now)


def _dated(
    directory: Path, certificates: Iterable[tuple[Certificate, str]], now: datetime
) -> tuple[DatedCertificate, ...]:
    files = certificate_files(directory)
    return tuple(
        DatedCertificate(f"partner {directory.name}", use, each, files.get(each.sha256, directory), now)
        for each, use in certificates
    )


def _shortened(problem: Problem, directory: Path) -> str:
    """An error as shown beside the partner's name."""
    place = problem.file.relative_to(directory)
    line = f":{problem.line}" if problem.line else ""
    key = f"{problem.key}: " if problem.key else ""
    message = problem.brief or problem.message
    return f"{place}{line}: {key}{message}" if place != Path() else f"{key}{message}"


def _claimed_twice(name: str, public: Iterable[Certificate], store: TrustStore) -> Iterator[str]:
    for certificate in public:
        others = [each for each in store.owners.get(certificate.sha256, ()) if each != name]
        if others:
            yield f"{certificate.subject} identifies nobody, because {', '.join(others)} also claims it"


def _warnings(
    directory: Path, partner: Partner, hosts: set[str] | None, own_ids: Mapping[str, str]
) -> Iterator[Problem]:
    """Warnings that the daemon does not log, so that an operator sees the problem before the partner does."""
    file = directory / "partner.toml"
    for name in sorted((partner.hosts or set()) - hosts if hosts is not None else ()):
        yield Problem(file, f"{name} is not a virtual host", _line(file, "hosts"), "hosts")
    for name in (each for each in partner.as2_ids if each in own_ids):
        text = f"{name} is also the AS2 id of our organization {own_ids[name]}: give one of them another AS2 id"
        yield Problem(file, text, _line(file, "as2_id"), "as2_id")
    if Require.SIGN in partner.require and not any(map(_signs_messages, partner.message_certificates)):
        text = "no certificate can verify messages of this partner: add its signing certificate here or in as2/"
        yield Problem(directory, text)


def _signs_messages(certificate: Certificate) -> bool:
    return not certificate.is_ca or may_sign(certificate)


def _line(file: Path, key: str) -> int | None:
    try:
        return read_document(file).line((key,))
    except ConfigurationError:
        return None


# --- JSON -----------------------------------------------------------------------------------------------------


def _host(host: VirtualHost) -> dict[str, object]:
    return {
        "name": host.name,
        "listen": str(host.listen),
        "client_certificate": host.client_certificate.value,
        "routes": [_route(each) for each in host.routes],
    }


def _route(route: Route) -> dict[str, object]:
    values = {each.name: getattr(route, each.name) for each in fields(route)}
    return values | {"backend": [without_query(each.url) for each in route.backend]}


def _problem(problem: Problem) -> dict[str, object]:
    return {"file": str(problem.file), "line": problem.line, "key": problem.key, "message": problem.message}
