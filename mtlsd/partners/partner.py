"""A partner: the directory that describes it, read into what may be believed of it.

Certificates beside `partner.toml` serve connections and messages; those in `tls/` connections only, those in
`as2/` messages only, and those in `mdn/` prove the servers that take its MDNs and nothing else. For connections a
certificate is sorted by what it says of itself: an end-entity certificate is a public certificate, a self-signed CA a
trusted root and most often a public certificate too, any other CA an intermediate. For messages every one is a pin,
because many AS2 certificates are self-signed and call themselves a CA.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.files.reading import MAX_FILE, FileRefused, read_file
from mtlsd.files.stamps import DirectoryEntry, Listing, list_directory, stays_within
from mtlsd.partners.dates import dates_by_certificate
from mtlsd.partners.mdn_urls import is_allowed
from mtlsd.partners.partner_toml import DEFAULT_VERSION, EVERYTHING, Match, PartnerSettings, Require, read_partner_toml
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
    mdn_roots: tuple[Certificate, ...] = ()  # what vouches for the servers that take its MDNs, and for nothing else
    as2_version: str = DEFAULT_VERSION  # that our MDNs say
    async_ack: int = 200  # the status that acknowledges a message whose MDN comes later
    revocation: Revocation = BY_DEFAULT
    crls: tuple[RevocationList, ...] = ()  # the files; what they are worth is for their signatures to say
    retention_days: int | None = None  # of contents; None: as for all partners
    retention_max_bytes: int | None = None  # so this
    dates: tuple[tuple[str, Dates], ...] = ()  # of certificates that have any, by sha256

    def may_have_mdns_at(self, target: str) -> bool:
        """Whether an asynchronous MDN may go to this URL, which the partner named."""
        return is_allowed(target, self.mdn_urls)

    def may_use(self, host: str) -> bool:
        """Whether this virtual host is open to the partner."""
        return self.hosts is None or host.lower() in self.hosts

    def dates_of(self, certificate: Certificate) -> Dates:
        """When the certificate is used, as partner.toml says."""
        return next((dates for sha256, dates in self.dates if sha256 == certificate.sha256), ALWAYS)

    def verifying(self, now: datetime) -> tuple[Certificate, ...]:
        """What verifies its messages; at the end the others, in case their keys are in none of these: for the reason.

        So whoever verified with one of them must look at its dates.
        """
        if not self.dates:
            return self.message_certificates
        return tuple(each.certificate for each in usable_first(self._registered(self.message_certificates), now))

    def standings(self, use: Use, promotions: Promotions, now: datetime) -> list[Standing]:
        """Where its certificates for connections, or those for messages, stand; the oldest first."""
        certificates = self.public_certificates if use is Use.CONNECTION else self.message_certificates
        return standings(use, self.name, self._registered(certificates), promotions, now)

    def _registered(self, certificates: Iterable[Certificate]) -> Iterator[Registered]:
        return (Registered(each, self.dates_of(each)) for each in certificates)


def uses_of(partner: Partner) -> dict[Certificate, str]:
    """Every certificate of a partner once, and what it is for."""
    uses: dict[Certificate, list[str]] = {}
    for use, certificates in (
        ("connections", partner.public_certificates),
        ("root", partner.trusted_roots),
        ("intermediate", partner.intermediates),
        ("messages", partner.message_certificates),
        ("MDN servers", partner.mdn_roots),
    ):
        for each in certificates:
            uses.setdefault(each, []).append(use)
    return {each: ", ".join(names) for each, names in uses.items()}


@dataclass(frozen=True, slots=True)
class LoadedPartner:
    """What a directory gave: a partner, or None where it is disabled, and what is wrong with it."""

    name: str
    partner: Partner | None
    public_certificates: tuple[Certificate, ...] = ()  # known for a disabled partner too
    trusted_roots: tuple[Certificate, ...] = ()  # so are these
    as2_ids: tuple[str, ...] = ()  # so are these, where the mistake is elsewhere in the file
    held: Partner | None = None  # what an operator disabled: nobody else may be recognised as it meanwhile
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def list_partner(directory: Path, now: float | None = None) -> Listing:
    """What lies in `certs/partners/<partner>/`, before it is read; `now` as `list_directory` has it."""
    return list_directory(directory, DIRECTORIES, now)


def load_partner(directory: Path, listing: Listing | None = None) -> LoadedPartner:
    """Read `certs/partners/<partner>/`; never raises for what it finds there."""
    listing = listing or list_partner(directory)
    settings, document, mistakes = read_partner_toml(directory)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    crls: list[RevocationList] = []
    beside = _read_certificates(directory, "", listing, problems, warnings, crls)
    for_tls = _read_certificates(directory, CONNECTIONS, listing, problems, warnings, crls)
    for_as2 = _read_certificates(directory, MESSAGES, listing, problems, warnings)
    for_mdns = _read_certificates(directory, MDN_SERVERS, listing, problems, warnings)
    has_match = isinstance(document.tables.get("match"), dict)  # right or not
    sorted_out = _sort(_unique((*beside, *for_tls)), has_match)
    messages = _unique((*beside, *for_as2))
    known = (*sorted_out.public, *messages)
    dates, more, doubts = dates_by_certificate(settings.certificate, directory, document, known)
    mistakes = (*mistakes, *more)
    warnings += doubts
    if not (beside or for_tls or for_as2):
        mistakes = (*mistakes, disabled_by("no certificate", directory))
    roots = _unique(for_mdns)
    partner = None if mistakes else _partner(directory.name, settings, sorted_out, messages, roots, dates, crls)
    if partner and settings.disabled:
        warnings.append(document.problem(("disabled",), DISABLED))
    return LoadedPartner(
        name=directory.name,
        partner=None if settings.disabled else partner,
        held=partner if settings.disabled else None,
        public_certificates=sorted_out.public,
        trusted_roots=sorted_out.roots,
        as2_ids=settings.as2_id,
        problems=(*mistakes, *problems),
        warnings=tuple(warnings),
    )


def disabled_by(mistake: str, directory: Path) -> Problem:
    """The problem of a directory whose partner is disabled by this mistake."""
    return Problem(directory, f"{mistake}: the partner is disabled", brief=mistake)


def _partner(
    name: str,
    settings: PartnerSettings,
    certificates: "_Sorted",
    messages: tuple[Certificate, ...],
    mdn_roots: tuple[Certificate, ...],
    dates: Mapping[str, Dates],
    crls: list[RevocationList],
) -> Partner:
    return Partner(
        name=name,
        as2_ids=settings.as2_id,
        hosts=settings.hosts,
        require=settings.require,
        relax=settings.relax,
        mdn_urls=settings.mdn_urls,
        as2_version=settings.as2_version,
        async_ack=settings.async_ack or (204 if settings.as2_version == "1.3" else 200),
        retention_days=settings.retention.days,
        retention_max_bytes=settings.retention.max_bytes,
        match=settings.match,
        public_certificates=certificates.public,
        trusted_roots=certificates.roots,
        intermediates=certificates.intermediates,
        message_certificates=messages,
        mdn_roots=mdn_roots,
        dates=tuple(sorted(dates.items(), key=lambda each: each[0])),
        revocation=settings.revocation,
        crls=tuple(dict.fromkeys(crls)),
    )


# --- Certificate files ----------------------------------------------------------------------------------


def _read_certificates(
    partner: Path,
    below: str,
    listing: Listing,
    problems: list[Problem],
    warnings: list[Problem],
    crls: list[RevocationList] | None = None,
) -> tuple[Certificate, ...]:
    """Every certificate in one directory; a file that cannot be read does not keep the others back.

    `crls` gets the revocation lists; where there is none, lists are of no use there.
    """
    if below not in listing.entries and below not in listing.why_not:
        return ()
    found: list[Certificate] = []
    names = {each.name for each in listing.entries.get(below, ())}
    for path in _certificate_files(partner, below, listing, problems, warnings):
        try:
            lists, file = _read_one(path, partner, names)
        except (FileRefused, CertificateUnreadable, CRLUnreadable) as error:
            problems.append(Problem(path, str(error)))
            continue
        if crls is not None:
            crls += lists
        elif lists:
            warnings.append(Problem(path, CRL_OUT_OF_PLACE))
        found += file.certificates
        warnings += (Problem(path, words) for words in file.warnings)
    return tuple(found)


def _read_one(path: Path, partner: Path, names: set[str]) -> tuple[tuple[RevocationList, ...], PublicFile]:
    """The revocation lists in a file, and the certificates beside them; `names` are in the same directory."""
    is_list = path.name.lower().endswith(SUFFIX)
    data = read_file(path, partner, MAX_CRL if is_list else MAX_FILE).data
    if is_list and data.startswith(DER):
        return (RevocationList.from_der(data),), PublicFile((), ())
    lists, rest = take_crls(data)
    if len(rest) > MAX_FILE:
        raise FileRefused(f"holds more than {MAX_FILE} bytes that are not a revocation list in plain PEM")
    file = PublicFile((), ())
    if rest.strip() or not lists:
        has_password = path.name + PASSWORD in names
        file = read_public_file(path, partner, rest, may_have_password=has_password, lists=True)
    return tuple(map(RevocationList.from_der, (*lists, *file.lists))), file


def _certificate_files(
    partner: Path, below: str, listing: Listing, problems: list[Problem], warnings: list[Problem]
) -> Iterator[Path]:
    directory = partner / below if below else partner
    for each in _entries(partner, below, listing, problems):
        if each.name.startswith(".") or each.name.endswith(("~", PASSWORD, ".toml")):
            continue
        if not each.is_directory:
            yield directory / each.name
        elif below or each.name not in DIRECTORIES:
            warnings.append(Problem(directory / each.name, "not read: only tls/, as2/ and mdn/ are, one level deep"))


def _entries(partner: Path, below: str, listing: Listing, problems: list[Problem]) -> tuple[DirectoryEntry, ...]:
    if why_not := listing.why_not.get(below):
        problems.append(Problem(partner / below, f"cannot be read: {why_not}"))
    if below not in listing.entries:
        return ()
    is_link = below and any(each.name == below and each.is_link for each in listing.entries[""])
    if is_link and not stays_within(partner / below, partner):
        problems.append(Problem(partner / below, "a symbolic link that leads out of the partner's directory"))
        return ()
    return listing.entries[below]


@dataclass(frozen=True, slots=True)
class _Sorted:
    public: tuple[Certificate, ...]
    roots: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]


def _sort(certificates: tuple[Certificate, ...], has_match: bool) -> _Sorted:
    """Sort what is for connections.

    A self-signed CA that may sign handshakes is a public certificate too, or a renewal beside it would end it.
    With `[match]` it is not: there it is the root under which the partner is recognised, and partners may share a
    root.
    """
    roots = tuple(each for each in certificates if each.is_ca and each.is_self_signed)
    pins = () if has_match else tuple(filter(may_sign, roots))
    return _Sorted(
        public=tuple(each for each in certificates if not each.is_ca or each in pins),
        roots=roots,
        intermediates=tuple(each for each in certificates if each.is_ca and not each.is_self_signed),
    )


def _unique(certificates: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    return tuple(dict.fromkeys(certificates))
