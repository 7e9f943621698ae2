"""Organizations: who we are in AS2, with the keys that sign our receipts and open the messages sent to us."""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mtlsd.errors import ConfigurationError, Problem
from mtlsd.identity.certificates import Certificate, CertificateUnreadable
from mtlsd.identity.contents import read_certificates
from mtlsd.identity.files import FileRefused, missing_directory, read_file
from mtlsd.identity.keypairs import KeyPair, LoadedKeyPair, load_pair_in
from mtlsd.identity.policy import RSA_BITS
from mtlsd.identity.settings import as2_id, read_settings

SETTINGS = "organization.toml"
SIGN = "sign"
DECRYPT = "decrypt"
BACKEND = "backend.pem"


@dataclass(frozen=True, slots=True)
class Organization:
    """One of our AS2 identities."""

    name: str
    as2_id: str
    signing: KeyPair
    decryption: tuple[KeyPair, ...]
    backend_certificates: tuple[Certificate, ...] = ()  # with which a backend signs MDNs of its own

    @property
    def receipt_certificates(self) -> tuple[Certificate, ...]:
        """Whose signature an MDN in this organization's name may bear."""
        return (self.signing.certificate, *self.backend_certificates)


@dataclass(frozen=True, slots=True)
class LoadedOrganization:
    """An organization that is fit for use, and what the operators should know about it."""

    organization: Organization
    warnings: tuple[Problem, ...] = ()


def load_organization(directory: Path, credentials: Path | None = None) -> LoadedOrganization:
    """Read `certs/organizations/<name>/`; raises ConfigurationError with everything that is wrong."""
    if problem := missing_directory(directory):
        raise ConfigurationError((problem,))
    name, problems = _read_as2_id(directory)
    pairs: list[LoadedKeyPair] = []
    for place, credential in _places(directory, credentials):
        try:
            pairs.append(load_pair_in(place, "cert.pem", credential))
            problems += _not_for_as2(place, pairs[-1].key_pair)
        except ConfigurationError as error:
            problems += error.problems
    backend, mistakes = _backend_certificates(directory / BACKEND)
    problems += mistakes
    if problems:
        raise ConfigurationError(problems)
    organization = Organization(directory.name, name, pairs[0].key_pair, (pairs[-1].key_pair,), backend)
    return LoadedOrganization(organization, tuple(each for pair in pairs for each in pair.warnings))


def _backend_certificates(path: Path) -> tuple[tuple[Certificate, ...], tuple[Problem, ...]]:
    """The certificates of a backend that signs its MDNs with another key than ours; there need be none."""
    if not os.path.lexists(path):
        return (), ()
    try:
        return read_certificates(read_file(path).data), ()
    except (FileRefused, CertificateUnreadable) as error:
        return (), (Problem(path, str(error)),)


def _not_for_as2(place: Path, pair: KeyPair) -> tuple[Problem, ...]:
    """What we sign receipts with and have messages encrypted to: RSA, which every AS2 product has, or a NIST curve."""
    key = pair.private_key
    if isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS:
        return ()
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1 | SECP384R1 | SECP521R1):
        return ()
    return (Problem(place / "key.pem", f"AS2 needs RSA with {RSA_BITS} bits or more here, or P-256 or better"),)


def _read_as2_id(directory: Path) -> tuple[str, tuple[Problem, ...]]:
    """What organization.toml says, or else the directory's name."""
    path = directory / SETTINGS
    settings, problems = read_settings(path, {"as2_id": as2_id}) if os.path.lexists(path) else ({}, ())
    if problems or "as2_id" in settings:
        return settings.get("as2_id", ""), problems
    try:
        return as2_id(directory.name), ()
    except ValueError as error:
        return "", (Problem(directory, f"the name is no AS2 id ({error}): set as2_id in {SETTINGS}"),)


def _places(directory: Path, credentials: Path | None) -> tuple[tuple[Path, Path | None], ...]:
    """Where the key that signs is, and the key that decrypts where that is another one."""
    if any(os.path.lexists(directory / each) for each in (SIGN, DECRYPT)):
        return (directory / SIGN, None), (directory / DECRYPT, None)
    return ((directory, credentials / f"organization.{directory.name}.key" if credentials else None),)
