"""Certificate revocation lists (RFC 5280, section 5), indexed when they are read.

A list may have 100,000 serial numbers, so a handshake looks one up and never searches a list. Nothing here trusts a
list: the caller checks `is_signed_by` first.

A list revokes every certificate that it names, whatever part of the certificates it covers: each entry is one of a
certificate's issuer, also in a list for several issuers (an indirect CRL). That a list does not name a certificate
means something only if the list covers that certificate (`Scope.holds`).

Lists of changes (delta CRLs) and of attribute certificates are refused: without the list that they belong to, they say
too little.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd.errors import MtlsdError
from mtlsd.pki.certificate import UNREADABLE, Certificate, is_costly

MAX_CRL = 64 * 1024 * 1024  # bytes; some public CAs have lists of ten million
SUFFIX = ".crl"
DIGESTS = {"sha256", "sha384", "sha512"}
CERTIFICATE_ISSUER = bytes.fromhex("0603551d1d")  # the extension of an entry (RFC 5280, section 5.3.3), in DER

_PEM = re.compile(  # a block in plain PEM that shares no hyphen with another block
    rb"(?:(?<=-----)|(?<![-A-Za-z0-9 ]))-----BEGIN X509 CRL-----"
    rb"([A-Za-z0-9+/=\s]*)-----END X509 CRL-----(?=-----|(?![-A-Za-z ]))"
)
NOBODY = "?"  # in place of an issuer that is not a distinguished name
_UNDERSTOOD = (x509.IssuingDistributionPoint,)  # of the extensions that may be critical


class CRLUnreadable(MtlsdError, ValueError):
    """The bytes are not a revocation list that mtlsd can use; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The certificates of its issuer that a list covers; all of them if nothing is set (RFC 5280, section 5.2.5)."""

    users_only: bool = False
    cas_only: bool = False
    some_reasons: bool = False
    is_indirect: bool = False  # for several issuers
    points: frozenset[str] = frozenset()  # names of the part that the list covers, URLs and others; empty: all

    def holds(self, certificate: Certificate) -> bool:
        """Whether this certificate of the list's issuer would be in the list if it were revoked.

        Only an http or https URL that the certificate has in the same spelling shows that the list covers its part.
        """
        if self.some_reasons or self.is_indirect or (self.users_only if certificate.is_ca else self.cas_only):
            return False
        return not self.points or not self.points.isdisjoint(distribution_points(certificate))


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A revocation list. Two lists are equal if their bytes are."""

    sha256: str  # hex, of the DER form
    issuer: str = field(compare=False)  # RFC 4514
    this_update: datetime = field(compare=False)
    next_update: datetime | None = field(compare=False)  # None: no newer list is promised
    scope: Scope = field(compare=False)
    entries: Mapping[str, frozenset[int]] = field(compare=False, repr=False)  # serial numbers, by the issuer of each
    parsed: x509.CertificateRevocationList = field(compare=False, repr=False)
    signers: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)  # by sha256 of the issuer

    @classmethod
    def from_der(cls, der: bytes) -> "RevocationList":
        """Parse one list; raises only CRLUnreadable, whatever the bytes."""
        try:
            return _parse(der)
        except UNREADABLE as error:
            raise CRLUnreadable(f"not a readable revocation list: {error}") from error

    @property
    def der(self) -> bytes:
        return self.parsed.public_bytes(Encoding.DER)

    @property
    def size(self) -> int:
        """How many entries the list has."""
        return sum(map(len, self.entries.values()))

    def has_ended(self, now: datetime) -> bool:
        """Whether the list has expired: its issuer promised a newer one before now."""
        return self.next_update is not None and now > self.next_update

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Whether this CA signed the list, and may sign lists. The result is cached, because a list may be large."""
        if issuer.sha256 not in self.signers:
            self.signers[issuer.sha256] = _is_signed_by(self, issuer)
        return self.signers[issuer.sha256]

    def names(self, certificate: Certificate) -> bool:
        """Whether an entry is this certificate's: its serial number, and its issuer."""
        return certificate.serial in self.entries.get(certificate.issuer, ())

    def when(self, certificate: Certificate) -> str:
        """The date and reason of the revocation of a certificate; searches the whole list."""
        entry = self._entry_of(certificate)
        if entry is None:
            return ""
        date = f"on {entry.revocation_date_utc:%Y-%m-%d}"
        try:
            return f"{date}: {entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value}"
        except (x509.ExtensionNotFound, *UNREADABLE):
            return date

    def _entry_of(self, certificate: Certificate) -> x509.RevokedCertificate | None:
        if not self.scope.is_indirect:
            return self.parsed.get_revoked_certificate_by_serial_number(certificate.serial)
        wanted = certificate.issuer, certificate.serial
        entries = _entries(self.parsed, self.der)
        return next((each for issuer, each in entries if (issuer, each.serial_number) == wanted), None)


def take_crls(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The lists in plain PEM in a file, in DER, and the rest of the file. The file may be large."""
    lists: list[bytes] = []

    def take(block: re.Match[bytes]) -> bytes:
        try:
            lists.append(base64.b64decode(b"".join(block[1].split()), validate=True))
        except binascii.Error:
            return block[0]  # the reader of the rest reports it
        return b"\n"

    rest = _PEM.sub(take, data)
    return tuple(lists), rest


def read_crls(data: bytes) -> tuple[RevocationList, ...]:
    """All lists in a file in plain PEM or DER, at least one; raises CRLUnreadable."""
    lists, _ = take_crls(data)
    return tuple(map(RevocationList.from_der, lists or (data,)))


def distribution_points(certificate: Certificate) -> frozenset[str]:
    """The http and https URLs of the issuer's list, from the certificate."""
    try:
        points = certificate.x509.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return frozenset()
    return _urls(name for point in points for name in point.full_name or ())


def _urls(names: object) -> frozenset[str]:
    return frozenset(
        name.value
        for name in names  # type: ignore[attr-defined]
        if isinstance(name, x509.UniformResourceIdentifier) and name.value.lower().startswith(("http://", "https://"))
    )


def _parse(der: bytes) -> RevocationList:
    crl = x509.load_der_x509_crl(der)
    for each in crl.extensions:
        if isinstance(each.value, x509.DeltaCRLIndicator):
            raise CRLUnreadable("a list of changes (delta CRL): use the complete list")
        if each.critical and not isinstance(each.value, _UNDERSTOOD):
            raise CRLUnreadable(f"a revocation list with the critical extension {each.oid.dotted_string}")
    issuer, entries, scope = crl.issuer.rfc4514_string(), _serials(_entries(crl, der)), _scope(crl)
    return RevocationList(
        sha256=sha256(der).hexdigest(),
        issuer=issuer,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        scope=replace(scope, is_indirect=True) if entries.keys() - {issuer} else scope,
        entries=entries,
        parsed=crl,
    )


def _scope(crl: x509.CertificateRevocationList) -> Scope:
    try:
        point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return Scope()
    if point.only_contains_attribute_certs:
        raise CRLUnreadable("a revocation list of attribute certificates")
    return Scope(
        users_only=point.only_contains_user_certs,
        cas_only=point.only_contains_ca_certs,
        some_reasons=point.only_some_reasons is not None,
        is_indirect=point.indirect_crl,
        points=_part(point),
    )


def _part(point: x509.IssuingDistributionPoint) -> frozenset[str]:
    """The names of the part, so that two parts differ; those that are not URLs begin with their type."""
    if point.relative_name is not None:
        return frozenset((f"relative: {point.relative_name.rfc4514_string()}",))
    names = point.full_name or ()
    urls = frozenset(each.value for each in names if isinstance(each, x509.UniformResourceIdentifier))
    return urls | {repr(each) for each in names if not isinstance(each, x509.UniformResourceIdentifier)}


Entries = Iterable[tuple[str, x509.RevokedCertificate]]  # each with the issuer of its certificate


def _entries(crl: x509.CertificateRevocationList, der: bytes) -> Entries:
    """The entries, each of the list's issuer, or of the issuer that it or an entry before it names."""
    issuer = crl.issuer.rfc4514_string()
    if CERTIFICATE_ISSUER not in der:
        return ((issuer, each) for each in crl)
    return _with_issuers(crl, issuer)


def _with_issuers(crl: x509.CertificateRevocationList, issuer: str) -> Iterator[tuple[str, x509.RevokedCertificate]]:
    for each in crl:
        try:
            names = each.extensions.get_extension_for_class(x509.CertificateIssuer).value
            issuer = next((name.rfc4514_string() for name in names.get_values_for_type(x509.DirectoryName)), NOBODY)
        except x509.ExtensionNotFound:
            pass
        yield issuer, each


def _serials(entries: Entries) -> dict[str, frozenset[int]]:
    found: dict[str, list[int]] = {}
    for issuer, each in entries:
        found.setdefault(issuer, []).append(each.serial_number)
    return {issuer: frozenset(serials) for issuer, serials in found.items()}


def _is_signed_by(crl: RevocationList, issuer: Certificate) -> bool:
    try:
        key, digest = issuer.x509.public_key(), crl.parsed.signature_hash_algorithm
        if is_costly(key) or not _may_sign_lists(issuer) or (digest and digest.name not in DIGESTS):
            return False
        return crl.parsed.is_signature_valid(key)  # type: ignore[arg-type]  # TypeError: a key of another kind
    except (UnsupportedAlgorithm, *UNREADABLE):
        return False


def _may_sign_lists(issuer: Certificate) -> bool:
    try:
        return issuer.x509.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True
