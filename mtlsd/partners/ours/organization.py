"""Organizations: our identities in AS2, with the keys that sign our receipts and decrypt the messages sent to us."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mtlsd.config import fields, values
from mtlsd.config.schema import Reading, Schema, read_toml
from mtlsd.errors import Problem
from mtlsd.files.reading import FileRefused
from mtlsd.partners.dates import PairRow
from mtlsd.partners.ours.key_ring import Keyrings, Loaded
from mtlsd.partners.rollover import current
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.formats.on_disk import read_public_file
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.policy import RSA_BITS

SETTINGS = "organization.toml"
SIGN = "sign"
DECRYPT = "decrypt"
BACKEND = "backend.pem"


@fields.table
@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """The keys of organization.toml."""

    as2_id: fields.AS2Id | None = None  # None: the directory's name
    pair: tuple[PairRow, ...] = ()


SCHEMA = Schema(OrganizationSettings)


@dataclass(frozen=True, slots=True)
class Organization:
    """One of our AS2 identities."""

    name: str
    as2_id: str
    signing: KeyPair
    decryption: tuple[KeyPair, ...]  # all pairs, also retired ones
    backend_certificates: tuple[Certificate, ...] = ()  # for the MDNs that a backend signs itself
    later_signing: tuple[KeyPair, ...] = ()  # pairs that replace, or have replaced, `signing`

    @property
    def signing_pairs(self) -> tuple[KeyPair, ...]:
        return (self.signing, *self.later_signing)

    @property
    def pairs(self) -> tuple[KeyPair, ...]:
        return (*self.signing_pairs, *self.decryption)

    @property
    def receipt_certificates(self) -> tuple[Certificate, ...]:
        """The certificates that may verify an MDN in this organization's name."""
        return (*(each.certificate for each in self.signing_pairs), *self.backend_certificates)

    def signing_at(self, now: datetime) -> KeyPair:
        """The pair that signs at this time."""
        return current(self.signing_pairs, now)


def load_organization(directory: Path, credentials: Path | None = None) -> Loaded[Organization]:
    """Read `certs/organizations/<name>/`; raises ConfigurationError with everything that is wrong."""
    reading = read_settings(directory)
    settings = reading.value or OrganizationSettings()
    prefix, problems = f"organization.{directory.name}", [*reading.problems]
    rings = Keyrings(
        directory, reading.document, settings.pair, credentials, prefix, "cert.pem", _not_for_as2, problems
    )
    as2_id = settings.as2_id or ("" if reading.problems else _as2_id(directory, problems))
    signing, decryption = _read_pairs(directory, rings)
    backend = _backend_certificates(directory / BACKEND, problems)
    rings.finish()
    first, *later = signing
    organization = Organization(directory.name, as2_id, first, decryption, backend, tuple(later))
    return Loaded(organization, tuple(rings.warnings))


def read_settings(directory: Path) -> Reading[OrganizationSettings]:
    """The settings in organization.toml; the file is optional."""
    return read_toml(directory / SETTINGS, SCHEMA, may_be_missing=True)


def _read_pairs(directory: Path, rings: Keyrings) -> tuple[tuple[KeyPair, ...], tuple[KeyPair, ...]]:
    """The pairs that sign, and the pairs that decrypt; the same pairs unless sign/ or decrypt/ exists."""
    if any(os.path.lexists(directory / each) for each in (SIGN, DECRYPT)):
        return rings.read(SIGN), rings.read(DECRYPT)
    both = rings.read()
    return both, both


def _backend_certificates(path: Path, problems: list[Problem]) -> tuple[Certificate, ...]:
    """The certificates of a backend that signs its MDNs with its own key; there may be none."""
    if not os.path.lexists(path):
        return ()
    try:
        return read_public_file(path).certificates
    except (FileRefused, CertificateUnreadable) as error:
        problems.append(Problem(path, str(error)))
        return ()


def _not_for_as2(place: Path, pair: KeyPair) -> tuple[Problem, ...]:
    """The problem of a key that AS2 products do not support: they all have RSA, and most of them the NIST curves."""
    key = pair.private_key
    if isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS:
        return ()
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1 | SECP384R1 | SECP521R1):
        return ()
    return (Problem(place / "key.pem", f"AS2 needs RSA with {RSA_BITS} bits or more here, or P-256 or better"),)


def _as2_id(directory: Path, problems: list[Problem]) -> str:
    """The directory's name as AS2 id."""
    try:
        return values.as2_id(directory.name)
    except ValueError as error:
        problems.append(Problem(directory, f"the name is no AS2 id ({error}): set as2_id in {SETTINGS}"))
        return ""
