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
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from mtlsd.cli.partner.listed_certificate import ListedCertificate
from mtlsd.config.addresses import without_query
from mtlsd.config.document import read_document
from mtlsd.config.load import read_configuration
from mtlsd.config.model import Configuration, Route, VirtualHost
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.partners.edit import proposal
from mtlsd.partners.expiry import LISTED_DAYS
from mtlsd.partners.ours.host_keys import load_host
from mtlsd.partners.ours.organization import Organization, load_organization
from mtlsd.partners.partner import LoadedPartner, Partner, uses_of
from mtlsd.partners.partner_toml import SETTINGS, Require
from mtlsd.partners.registry import load_partners
from mtlsd.partners.trust_store import TrustStore
from mtlsd.partners.validity import Validity, certificate_files, days
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.policy import may_sign
from mtlsd.snapshot.snapshot import load_snapshot
from mtlsd.snapshot.state_modes import open_directories

NO_SECRETS = "do not keep a secret in this file; logs and lists omit the query"
EMPTY = {"as2_id": "-", "relax": "nothing", "mdn_urls": "the answer only"}  # the text of a setting without a value


@dataclass(frozen=True, slots=True)
class PartnerEntry:
    """A directory below partners/, as it was read, and its errors."""

    directory: Path
    loaded: LoadedPartner
    certificates: tuple[ListedCertificate, ...]
    errors: tuple[str, ...]
    lost_pins: tuple[str, ...]  # warnings about certificates that are only roots, because others have them

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def partner(self) -> Partner | None:
        """The partner, or None if it is disabled."""
        return self.loaded.partner

    @property
    def settings(self) -> dict[str, str]:
        """The settings as text, by key of partner.toml; of a disabled partner only the AS2 ids."""
        return settings_of(self.loaded) if self.partner else {"as2_id": ", ".join(self.loaded.as2_ids) or "-"}

    @property
    def days(self) -> str:
        """How many certificates, and how soon the first of them expires."""
        if not self.certificates:
            return "none"
        first = min(self.certificates, key=lambda each: each.certificate.not_after)
        return f"{len(self.certificates)}, {first.state if first.state is Validity.EXPIRED else days(first.days_left)}"

    @property
    def state(self) -> str:
        why = "; ".join((*self.errors, *self.lost_pins))
        if self.partner is None:
            return f"disabled: {why or 'disabled = true in partner.toml'}"
        return f"in use, but {why}" if why else "in use"

    def as_json(self, partner: Partner | None) -> dict[str, object]:
        """The values of JSON, with the settings of this partner: the one in use, or the one that is disabled."""
        match = partner.match if partner else None
        return {
            "name": self.name,
            "state": "in use" if self.partner else "disabled",
            "mistakes": [*self.errors, *self.lost_pins],
            "as2_ids": list(partner.as2_ids if partner else self.loaded.as2_ids),
            "hosts": sorted(partner.hosts) if partner and partner.hosts is not None else None,
            "require": sorted(partner.require) if partner else [],
            "relax": sorted(partner.relax) if partner else [],
            "mic_profile": partner.mic_profile.value if partner else None,
            "mdn_urls": list(partner.mdn_urls) if partner else [],
            "as2_version": partner.as2_version if partner else None,
            "async_ack": partner.async_ack if partner else None,
            "match": {"subject": match.subject, "san": list(match.san)} if match else None,
            "certificates": [each.as_json() for each in self.certificates],
        }


def settings_of(loaded: LoadedPartner) -> dict[str, str]:
    """The settings of a partner as text, even if an operator disabled it; empty if it has errors."""
    return {key: ", ".join(values) or EMPTY.get(key, "") for key, values in proposal.describe(loaded).items()}


@dataclass(frozen=True, slots=True)
class Partners:
    """All of partners/, with every error and warning."""

    partners: tuple[PartnerEntry, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Our own certificates, with warnings about our files, and the name of our organization by AS2 id."""

    certificates: list[ListedCertificate] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    as2_ids: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """Everything that `mtlsd check` reports. `configuration` is None if the file itself has errors."""

    file: Path
    configuration: Configuration | None
    own: OwnFiles
    partners: Partners
    problems: tuple[Problem, ...]  # outside of partners/: the daemon does not start

    @property
    def certificates(self) -> tuple[ListedCertificate, ...]:
        return (*self.own.certificates, *(listed for each in self.partners.partners for listed in each.certificates))

    @property
    def expiring(self) -> list[ListedCertificate]:
        """The certificates that expire within 60 days or have expired, the first to expire first."""
        found = [each for each in self.certificates if each.days_left <= LISTED_DAYS]
        return sorted(found, key=lambda each: (each.certificate.not_after, each.owner, each.use))

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        dates = tuple(warning for each in self.certificates if (warning := each.warning()))
        return (*self.own.warnings, *self.partners.warnings, *dates)

    def as_json(self) -> dict[str, object]:
        hosts = self.configuration.virtualhosts if self.configuration else ()
        return {
            "file": str(self.file),
            "hosts": [_host(each) for each in hosts],
            "certificates": [each.as_json() for each in self.certificates],
            "ending": [each.as_json() for each in self.expiring],
            "partners": [each.as_json(each.partner) for each in self.partners.partners],
            "warnings": [_problem(each) for each in self.warnings],
            "mistakes": [_problem(each) for each in (*self.problems, *self.partners.problems)],
        }


def take_inventory(file: Path, credentials: Path | None, now: datetime) -> Inventory:
    """Read everything that `file` leads to; errors in the files are part of the result."""
    problems: tuple[Problem, ...] = ()
    try:
        load_snapshot(file, credentials, time.time())
    except ConfigurationError as error:
        problems = error.problems
    configuration = None
    with suppress(ConfigurationError):
        configuration = read_configuration(file)
    own = _own(configuration, credentials, now) if configuration else OwnFiles()
    partners = Partners()
    if os.access(file, os.R_OK):  # otherwise the place of the certificates is unknown
        certs = configuration.server.certs if configuration else _certs(file)
        partners = partners_in(certs, now, configuration, own.as2_ids)
    return Inventory(file.absolute(), configuration, own, partners, problems)


def partners_in(
    certs: Path, now: datetime, configuration: Configuration | None = None, own_ids: Mapping[str, str] | None = None
) -> Partners:
    """Read partners/; with a configuration, a host that is not in it is an error.

    `own_ids` are the AS2 ids of our organizations, with their names, to warn about a partner that has one of them.
    """
    directory = certs / "partners"
    production = configuration is not None and configuration.server.production
    store, problems, warnings = load_partners(directory, now, production=production)
    names = sorted({*store.partners, *store.disabled})
    entries = tuple(_entry(directory / name, store, problems, now) for name in names)
    hosts = None if configuration is None else {host.name for host in configuration.virtualhosts}
    more = (each for entry in entries for each in _warnings(entry, own_ids or {}))
    strange = (each for entry in entries for each in _strange_hosts(entry, hosts))
    return Partners(entries, (*problems, *strange), (*warnings, *more))


# --- Ours -----------------------------------------------------------------------------------------------------


def _own(configuration: Configuration, credentials: Path | None, now: datetime) -> OwnFiles:
    """Read our own files; `load_snapshot` reports those that cannot be loaded."""
    warnings = [*_secrets(configuration), *open_directories(configuration)]
    own, certs = OwnFiles(warnings=warnings), configuration.server.certs
    for directory in (certs / "hosts" / host.name for host in configuration.virtualhosts):
        with suppress(ConfigurationError):
            host = load_host(directory, credentials)
            pairs = (*_with_use("server", host.value.server), *_with_use("client", host.value.client))
            own.certificates.extend(_listed(f"host {directory.name}", directory, pairs, now))
            own.warnings.extend(host.warnings)
    for name in sorted({route.organization for host in configuration.virtualhosts for route in host.routes}):
        directory = certs / "organizations" / name
        with suppress(ConfigurationError):
            loaded = load_organization(directory, credentials)
            own.as2_ids[loaded.value.as2_id] = name
            own.certificates.extend(_listed(f"organization {name}", directory, _uses(loaded.value), now))
            own.warnings.extend(loaded.warnings)
    return own


def _uses(organization: Organization) -> Iterator[tuple[Certificate, str]]:
    """The certificates of an organization of ours, with their uses."""
    yield from ((each, "backend's signature") for each in organization.backend_certificates)
    signing, decryption = organization.signing_pairs, organization.decryption
    if signing == decryption:
        yield from _with_use("signing, decryption", signing)
    else:
        yield from _with_use("signing", signing)
        yield from _with_use("decryption", decryption)


def _with_use(use: str, pairs: Iterable[KeyPair]) -> Iterator[tuple[Certificate, str]]:
    for pair in pairs:
        yield pair.certificate, use
        yield from ((each, f"{use}, chain") for each in pair.chain)


def _listed(
    owner: str, directory: Path, certificates: Iterable[tuple[Certificate, str]], now: datetime
) -> Iterator[ListedCertificate]:
    files = certificate_files(directory)
    for each, use in certificates:
        yield ListedCertificate(owner, use, each, files.get(each.sha256, directory), now)


def _certs(file: Path) -> Path:
    """The directory of the certificates, from a file that has errors; by default `certs` beside the file."""
    server = None
    with suppress(ConfigurationError):
        server = read_document(file).tables.get("server")
    named = server.get("certs") if isinstance(server, dict) else None
    return file.absolute().parent / (named if isinstance(named, str) and "\0" not in named else "certs")


def _secrets(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about secrets in virtualhosts.toml."""
    for host in configuration.virtualhosts:
        for route in host.routes:
            for url in (each.url for each in route.backend if "?" in each.url):
                message = f"{without_query(url)} (host {host.name}, path {route.path}) has a query: {NO_SECRETS}"
                yield Problem(configuration.file, message, key="virtualhost.route.backend")


# --- Partners -------------------------------------------------------------------------------------------------


def _entry(directory: Path, store: TrustStore, problems: Iterable[Problem], now: datetime) -> PartnerEntry:
    name = directory.name
    loaded = store.effective[name]
    public = loaded.partner.public_certificates if loaded.partner else store.loaded[name].public_certificates
    uses = uses_of(loaded.partner) if loaded.partner else dict.fromkeys(public, "not in use")
    certificates = tuple(_listed(f"partner {name}", directory, uses.items(), now))
    errors = [_shortened(each, directory) for each in problems if each.file.is_relative_to(directory)]
    lost = tuple(proposal.pin_is_lost(*each) for each in proposal.lost_pins(store, name))
    return PartnerEntry(directory, loaded, certificates, (*errors, *_claimed_twice(name, public, store)), lost)


def certificates_of(directory: Path, partner: Partner, now: datetime) -> tuple[ListedCertificate, ...]:
    """Every certificate of a partner once, with its use and its file."""
    return tuple(_listed(f"partner {directory.name}", directory, uses_of(partner).items(), now))


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


def _strange_hosts(entry: PartnerEntry, hosts: set[str] | None) -> Iterator[Problem]:
    """The hosts of a partner that are not served; the daemon goes on with those that are."""
    if hosts is None or entry.partner is None:
        return
    for name in sorted((entry.partner.hosts or frozenset()) - hosts):
        alike = get_close_matches(name, hosts, n=1)
        hint = f"did you mean {alike[0]}?" if alike else f"the virtual hosts are {', '.join(sorted(hosts))}"
        yield _at(entry.directory / SETTINGS, "hosts", f"{name} is not a virtual host; {hint}")


def _warnings(entry: PartnerEntry, own_ids: Mapping[str, str]) -> Iterator[Problem]:
    """Warnings that the daemon does not log, so that an operator sees the problem before the partner does."""
    if partner := entry.partner:
        file = entry.directory / SETTINGS
        for name in (each for each in partner.as2_ids if each in own_ids):
            text = f"{name} is also the AS2 id of our organization {own_ids[name]}: give one of them another AS2 id"
            yield _at(file, "as2_id", text)
        if Require.SIGN in partner.require and not any(map(_signs_messages, partner.message_certificates)):
            text = "no certificate can verify messages of this partner: add its signing certificate here or in as2/"
            yield Problem(entry.directory, text)
    yield from (Problem(entry.directory, each) for each in entry.lost_pins)


def _signs_messages(certificate: Certificate) -> bool:
    return not certificate.is_ca or may_sign(certificate)


def _at(file: Path, key: str, text: str) -> Problem:
    try:
        return read_document(file).problem((key,), text)
    except ConfigurationError:
        return Problem(file, text, key=key)


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
