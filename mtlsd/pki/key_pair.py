"""Our own certificates with their private keys, for a virtual host or an organization."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from mtlsd.errors import ConfigurationError, Problem
from mtlsd.files.reading import MAX_FILE, FileContent, FileRefused, read_file
from mtlsd.pki.bundle import chain_of
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.dates import ALWAYS, Dates
from mtlsd.pki.formats.on_disk import exposed, is_open_to_everybody, read_own_file, read_public_file
from mtlsd.pki.formats.reader import read_contents

ENCRYPTED = "an encrypted private key: decrypt it (openssl pkey -in encrypted.pem -out key.pem)"
NO_KEY = "not a private key in PEM or DER"
KEY = "key.pem"
BOTH = {".pfx", ".p12", ".json"}  # files that hold a certificate with its key


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate, the chain that is sent with it, and its private key."""

    certificate: Certificate
    chain: tuple[Certificate, ...]  # from its issuer upwards, without `certificate`
    private_key: PrivateKeyTypes = field(repr=False, compare=False)
    dates: Dates = ALWAYS


@dataclass(frozen=True, slots=True)
class LoadedKeyPair:
    """A usable key pair, and warnings about it for the operators."""

    key_pair: KeyPair
    warnings: tuple[Problem, ...] = ()


def load_key_pair(
    chain_file: Path, key_file: Path, credential: Path | None = None, *, for_tests: bool = False
) -> LoadedKeyPair:
    """Read a pair; the file `credential`, if it exists, replaces `key_file`.

    The chain may have any order. Raises ConfigurationError with all errors. The mode of a credential is not checked,
    because systemd guards it. A key that is open to everybody is an error, or a warning with `for_tests`.
    """
    guarded = credential is not None and os.path.lexists(credential)
    key_path = credential if credential is not None and guarded else key_file
    problems: list[Problem] = []
    warnings: list[Problem] = []
    chain = _read_chain(chain_file, problems, warnings)
    key = _read_key(key_path, problems)
    if key and not guarded:
        _check_mode(key_path, key.mode, warnings if for_tests else problems, warnings)
    private_key = _parsed(key_path, key.data, problems) if key else None
    if problems or not chain or private_key is None:
        raise ConfigurationError(tuple(problems))
    return _joined(chain, private_key, chain_file, key_path, warnings)


def load_pair_in(directory: Path, chain_name: str, credential: Path | None = None) -> LoadedKeyPair:
    """Read the pair in one of our directories: `chain_name` and key.pem, or the one file that holds both.

    Such a file is PKCS#12 (`.pfx`, `.p12`) or a service key (`.json`). Raises ConfigurationError.
    """
    usual = directory / chain_name, directory / KEY
    several = () if any(map(os.path.lexists, usual)) else files_with_both(directory)
    if not several:
        return load_key_pair(*usual, credential)
    if len(several) > 1:
        names = ", ".join(each.name for each in several)
        raise ConfigurationError((Problem(directory, f"has several files with a key: keep only one of {names}"),))
    return _load_both(several[0])


def parse_key(data: bytes, password: str | None = None) -> PrivateKeyTypes:
    """Parse a private key in PEM or DER; raises ValueError with a text that reveals nothing about the key."""
    if len(data) > MAX_FILE:
        raise ValueError(NO_KEY)
    octets = password.encode() if password else None
    try:
        if b"-----BEGIN " in data:
            return load_pem_private_key(data, octets)
        return load_der_private_key(data, octets)
    except TypeError:
        if octets:
            return parse_key(data)  # it is not encrypted
        raise ValueError(ENCRYPTED) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(NO_KEY) from None


def belong_together(certificate: Certificate, private_key: PrivateKeyTypes) -> bool:
    """Whether this is the private key of the certificate, by its public key."""
    try:
        return certificate.x509.public_key() == private_key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


# --- Two files ------------------------------------------------------------------------------------------


def _read_chain(path: Path, problems: list[Problem], warnings: list[Problem]) -> tuple[Certificate, ...]:
    try:
        file = read_public_file(path)
    except (FileRefused, CertificateUnreadable) as error:
        problems.append(Problem(path, str(error), cause=type(error)))
        return ()
    warnings += (Problem(path, words) for words in file.warnings)
    return file.certificates


def _read_key(path: Path, problems: list[Problem]) -> FileContent | None:
    try:
        return read_file(path)
    except FileRefused as error:
        problems.append(Problem(path, str(error)))
        return None


def _parsed(path: Path, data: bytes, problems: list[Problem]) -> PrivateKeyTypes | None:
    """The key, also if a form or a web page has changed its spelling."""
    try:
        return parse_key(data)
    except ValueError as error:
        try:
            [found] = read_contents(data).keys
            return parse_key(found.data)
        except (CertificateUnreadable, ValueError):
            problems.append(Problem(path, str(error)))
            return None


def _check_mode(path: Path, mode: int, errors: list[Problem], warnings: list[Problem]) -> None:
    if words := exposed(mode, "private key"):
        (errors if is_open_to_everybody(mode) else warnings).append(Problem(path, words))


# --- One file -------------------------------------------------------------------------------------------


def files_with_both(directory: Path) -> tuple[Path, ...]:
    """The files in one of our directories that hold a certificate and its key."""
    try:
        names = sorted(directory.iterdir())
    except OSError:
        return ()
    return tuple(each for each in names if each.suffix.lower() in BOTH and not each.name.startswith("."))


def _load_both(path: Path) -> LoadedKeyPair:
    problems: list[Problem] = []
    warnings: list[Problem] = []
    try:
        file = read_own_file(path)
    except (FileRefused, CertificateUnreadable) as error:
        raise ConfigurationError((Problem(path, str(error)),)) from error
    _check_mode(path, file.mode, problems, warnings)
    if file.password_file and (words := exposed(file.password_mode, "password")):
        place = problems if is_open_to_everybody(file.password_mode) else warnings
        place.append(Problem(file.password_file, words))
    contents = file.contents
    if not contents.certificates:
        problems.append(Problem(path, "has a private key without its certificate: add the certificate"))
    if len(contents.keys) != 1:
        problems.append(Problem(path, f"expected one private key in this file, found {len(contents.keys)}"))
    private_key = None if problems else _parsed(path, contents.keys[0].data, problems)
    if problems or private_key is None:
        raise ConfigurationError(tuple(problems))
    return _joined(contents.certificates, private_key, path, path, warnings)


# --- A pair ---------------------------------------------------------------------------------------------


def _joined(
    certificates: tuple[Certificate, ...],
    private_key: PrivateKeyTypes,
    chain_file: Path,
    key_file: Path,
    warnings: list[Problem],
) -> LoadedKeyPair:
    """The pair of the key, its certificate and the issuers; raises ConfigurationError if no certificate fits."""
    own = next((each for each in certificates if belong_together(each, private_key)), None)
    ends = [each for each in certificates if not each.is_ca]
    if own is None or (own.is_ca and ends):
        belongs = f"belongs to {own.subject}, a CA, and not" if own else "does not belong"
        first = (ends or certificates)[0].subject
        raise ConfigurationError((Problem(key_file, f"the private key {belongs} to {first} in {chain_file.name}"),))
    chain = chain_of(own, certificates)
    for each in certificates:
        if each not in (own, *chain):
            text = f"{each.subject} is not an issuer of {own.subject}, and is not sent"
            warnings.append(Problem(chain_file, text))
    return LoadedKeyPair(KeyPair(own, chain, private_key), tuple(warnings))
