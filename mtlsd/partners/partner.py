"""A partner, as its directory describes it.

Certificates beside `partner.toml` are for connections and messages. Certificates in `tls/` are for connections only,
certificates in `as2/` for messages only, and certificates in `mdn/` only verify the servers that receive the partner's
MDNs. For connections, the kind of a certificate decides: an end-entity certificate is a public certificate; a
self-signed CA is a trusted root, and usually a public certificate as well; any other CA is an intermediate. For
messages, every certificate is a pin, because many AS2 certificates are self-signed and claim to be a CA.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.files.reading import MAX_FILE, FileRefused, read_file
from mtlsd.files.stamps import DirectoryEntry, Listing, list_directory, stays_within
from mtlsd.partners.dates import dates_by_certificate
from mtlsd.partners.mdn_urls import is_allowed
from mtlsd.partners.partner_toml import (
    DEFAULT_VERSION,
    EVERYTHING,
    Match,
    MICProfile,
    PartnerSettings,
    Require,
    read_partner_toml,
)
from mtlsd.partners.rollover import Promotions, Registered, Standing, Use, standings, usable_first
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.crl import MAX_CRL, SUFFIX, CRLUnreadable, RevocationList, take_crls
from mtlsd.pki.dates import ALWAYS, Dates
from mtlsd.pki.formats.detect import DER
from mtlsd.pki.formats.on_disk import PASSWORD, PublicFile, read_public_file
from mtlsd.pki.policy import may_sign
from mtlsd.pki.revocation import BY_DEFAULT, Revocation

CONNECTIONS = "tls"
MESSAGES = "as2"
MDN_SERVERS = "mdn"
DIRECTORIES = (CONNECTIONS, MESSAGES, MDN_SERVERS)
USES = {  # the field of `Partner` with the certificates for each use
    "connections": "public_certificates",
    "root": "trusted_roots",
    "intermediate": "intermediates",
    "messages": "message_certificates",
    "MDN servers": "mdn_roots",
}

CRL_OUT_OF_PLACE = "not used: a revocation list counts for connections; put it beside partner.toml or into tls/"
DISABLED = "true: the partner is refused, and what it has is kept from everybody else (mtlsd partner enable)"


@dataclass(frozen=True, slots=True)
class Partner:
    """A trading partner: its ids, what it may do, and the certificates that prove who it is."""

    name: str
    as2_ids: tuple[str, ...]
    hosts: frozenset[str] | None = None  # None: all
    require: frozenset[Require] = EVERYTHING
    relax: frozenset[str] = frozenset()
    mdn_urls: tuple[str, ...] = ()
    match: Match | None = None
    public_certificates: tuple[Certificate, ...] = ()
    trusted_roots: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    message_certificates: tuple[Certificate, ...] = ()
    mdn_roots: tuple[Certificate, ...] = ()  # only for the servers that receive the partner's MDNs
    as2_version: str = DEFAULT_VERSION  # in our MDNs
    async_ack: int = 200  # the status that acknowledges a message whose MDN is sent later
    mic_profile: MICProfile = MICProfile.RFC
    revocation: Revocation = BY_DEFAULT
    crls: tuple[RevocationList, ...] = ()  # as read; their signatures are verified later
    retention_days: int | None = None  # of contents; None: as for all partners
    retention_max_bytes: int | None = None  # of contents; None: as for all partners
    dates: tuple[tuple[str, Dates], ...] = ()  # the dates of certificates in partner.toml, by sha256

    def may_have_mdns_at(self, target: str) -> bool:
        """Whether an asynchronous MDN may go to this URL, which the partner named."""
        return is_allowed(target, self.mdn_urls)

    def may_use(self, host: str) -> bool:
        """Whether this virtual host is open to the partner."""
        return self.hosts is None or host.lower() in self.hosts

    def dates_of(self, certificate: Certificate) -> Dates:
        """The dates of the certificate in partner.toml."""
        return next((dates for sha256, dates in self.dates if sha256 == certificate.sha256), ALWAYS)

    def verifying(self, now: datetime) -> tuple[Certificate, ...]:
        """The certificates that verify the partner's messages, usable certificates first.

        The others follow so that a refusal can name them. The caller must check the dates of the one that verified.
        """
        if not self.dates:
            return self.message_certificates
        return tuple(each.certificate for each in usable_first(self._registered(self.message_certificates), now))

    def standings(self, use: Use, promotions: Promotions, now: datetime) -> list[Standing]:
        """The states of the certificates for connections or for messages, the oldest first."""
        certificates = self.public_certificates if use is Use.CONNECTION else self.message_certificates
        return standings(use, self.name, self._registered(certificates), promotions, now)

    def _registered(self, certificates: Iterable[Certificate]) -> Iterator[Registered]:
        return (Registered(each, self.dates_of(each)) for each in certificates)


def uses_of(partner: Partner) -> dict[Certificate, str]:
    """Every certificate of a partner once, with its uses."""
    uses: dict[Certificate, list[str]] = {}
    for use, name in USES.items():
        for each in getattr(partner, name):
            uses.setdefault(each, []).append(use)
    return {each: ", ".join(names) for each, names in uses.items()}


@dataclass(frozen=True, slots=True)
class LoadedPartner:
    """The result of reading a directory: the partner, or None if it is disabled, and the problems."""

    name: str
    partner: Partner | None
    public_certificates: tuple[Certificate, ...] = ()  # also of a disabled partner
    trusted_roots: tuple[Certificate, ...] = ()  # also of a disabled partner
    as2_ids: tuple[str, ...] = ()  # also of a disabled partner, unless the error is in this key
    held: Partner | None = None  # the partner that an operator disabled: nobody else may be matched as this partner
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def list_partner(directory: Path, now: float | None = None) -> Listing:
    """List `certs/partners/<partner>/`, before the files are read; `now` is as for `list_directory`."""
    return list_directory(directory, DIRECTORIES, now)


def load_partner(directory: Path, listing: Listing | None = None) -> LoadedPartner:
    """Read `certs/partners/<partner>/`; never raises, whatever the files are."""
    settings, document, mistakes = read_partner_toml(directory)
    reader = _Reader(directory, listing or list_partner(directory))
    partner = reader.partner(settings, has_match=isinstance(document.tables.get("match"), dict))  # valid or not
    known = (*partner.public_certificates, *partner.message_certificates)
    dates, more, about_dates = dates_by_certificate(settings.certificate, directory, document, known)
    partner = replace(partner, dates=tuple(sorted(dates.items(), key=itemgetter(0)))) if dates else partner
    mistakes = (*mistakes, *more)
    warnings = [*reader.warnings, *about_dates]
    if not (known or partner.trusted_roots or partner.intermediates):
        mistakes = (*mistakes, disabled_by("no certificate", directory))
    valid = None if mistakes else partner
    if valid and settings.disabled:
        warnings.append(document.problem(("disabled",), DISABLED))
    return LoadedPartner(
        name=directory.name,
        partner=None if settings.disabled else valid,
        held=valid if settings.disabled else None,
        public_certificates=partner.public_certificates,
        trusted_roots=partner.trusted_roots,
        as2_ids=settings.as2_id,
        problems=(*mistakes, *reader.problems),
        warnings=tuple(warnings),
    )


def disabled_by(mistake: str, directory: Path) -> Problem:
    """The problem of a directory whose partner is disabled by this error."""
    return Problem(directory, f"{mistake}: the partner is disabled", brief=mistake)


# --- Certificate files ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Reads the certificates in a partner's directory, and collects the problems and the warnings."""

    directory: Path
    listing: Listing
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    crls: list[RevocationList] = field(default_factory=list)

    def partner(self, settings: PartnerSettings, *, has_match: bool) -> Partner:
        """The partner without the dates of its certificates.

        A self-signed CA that may sign handshakes is also a public certificate; otherwise adding its renewal would
        disable it. With `[match]` it is only a root, under which the partner is matched, because partners may share a
        root.
        """
        beside = self._certificates("")
        connections = _unique(*beside, *self._certificates(CONNECTIONS))
        roots = tuple(each for each in connections if each.is_ca and each.is_self_signed)
        pins = () if has_match else tuple(filter(may_sign, roots))
        return Partner(
            name=self.directory.name,
            as2_ids=settings.as2_id,
            hosts=settings.hosts,
            require=settings.require,
            relax=settings.relax,
            mic_profile=settings.mic_profile,
            mdn_urls=settings.mdn_urls,
            match=settings.match,
            public_certificates=tuple(each for each in connections if not each.is_ca or each in pins),
            trusted_roots=roots,
            intermediates=tuple(each for each in connections if each.is_ca and not each.is_self_signed),
            message_certificates=_unique(*beside, *self._certificates(MESSAGES)),
            mdn_roots=_unique(*self._certificates(MDN_SERVERS)),
            as2_version=settings.as2_version,
            async_ack=settings.async_ack or (204 if settings.as2_version == "1.3" else 200),
            revocation=settings.revocation,
            crls=tuple(dict.fromkeys(self.crls)),
            retention_days=settings.retention.days,
            retention_max_bytes=settings.retention.max_bytes,
        )

    def _certificates(self, below: str) -> list[Certificate]:
        """Every certificate in one directory; a file that cannot be read does not affect the others."""
        found: list[Certificate] = []
        entries = self._entries(below)
        names = {each.name for each in entries}
        for path in self._files(below, entries):
            try:
                lists, file = self._read(path, names)
            except CertificateUnreadable as error:
                self.problems.append(Problem(path, str(error), facts=tuple(error.facts.items())))
                continue
            except (FileRefused, CRLUnreadable) as error:
                self.problems.append(Problem(path, str(error)))
                continue
            if below in ("", CONNECTIONS):
                self.crls += lists
            elif lists:
                self.warnings.append(Problem(path, CRL_OUT_OF_PLACE))
            found += file.certificates
            self.warnings += (Problem(path, words) for words in file.warnings)
        return found

    def _read(self, path: Path, names: set[str]) -> tuple[tuple[RevocationList, ...], PublicFile]:
        """The revocation lists and the certificates in a file; `names` are the files in the same directory."""
        is_list = path.name.lower().endswith(SUFFIX)
        data = read_file(path, self.directory, MAX_CRL if is_list else MAX_FILE).data
        if is_list and data.startswith(DER):
            return (RevocationList.from_der(data),), PublicFile((), ())
        lists, rest = take_crls(data)
        if len(rest) > MAX_FILE:
            raise FileRefused(f"holds more than {MAX_FILE} bytes that are not a revocation list in plain PEM")
        file = PublicFile((), ())
        if rest.strip() or not lists:
            has_password = path.name + PASSWORD in names
            file = read_public_file(path, self.directory, rest, may_have_password=has_password, lists=True)
        return tuple(map(RevocationList.from_der, (*lists, *file.lists))), file

    def _files(self, below: str, entries: tuple[DirectoryEntry, ...]) -> Iterator[Path]:
        for each in entries:
            path = self.directory / below / each.name
            if each.name.startswith(".") or each.name.endswith(("~", PASSWORD, ".toml")):
                continue
            if not each.is_directory:
                yield path
            elif below or each.name not in DIRECTORIES:
                self.warnings.append(Problem(path, "not read: only tls/, as2/ and mdn/ are, one level deep"))

    def _entries(self, below: str) -> tuple[DirectoryEntry, ...]:
        path = self.directory / below
        if why_not := self.listing.why_not.get(below):
            self.problems.append(Problem(path, f"cannot be read: {why_not}"))
        if below not in self.listing.entries:
            return ()
        is_link = below and any(each.name == below and each.is_link for each in self.listing.entries[""])
        if is_link and not stays_within(path, self.directory):
            self.problems.append(Problem(path, "a symbolic link that leads out of the partner's directory"))
            return ()
        return self.listing.entries[below]


def _unique(*certificates: Certificate) -> tuple[Certificate, ...]:
    return tuple(dict.fromkeys(certificates))
