"""A certificate of ours with its private key, for a virtual host or for an organization."""

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
    """A certificate, what is sent along with it, and the key that belongs to it."""

    certificate: Certificate
    chain: tuple[Certificate, ...]  # from its issuer upwards, without `certificate`
    private_key: PrivateKeyTypes = field(repr=False, compare=False)
    dates: Dates = ALWAYS


@dataclass(frozen=True, slots=True)
class LoadedKeyPair:
    """A key pair that is fit for use, and what the operators should know about it."""

    key_pair: KeyPair
    warnings: tuple[Problem, ...] = ()


def load_key_pair(
    chain_file: Path, key_file: Path, credential: Path | None = None, *, for_tests: bool = False
) -> LoadedKeyPair:
    """Read a pair; the file `credential`, if it exists, takes the place of `key_file`.

    The chain may have any order. Raises ConfigurationError with everything that is wrong. systemd guards a
    credential, so its mode is not looked at. A key that is open to everybody is a mistake, and with `for_tests` a
    warning.
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
    """The pair in a directory of ours: `chain_name` and key.pem, or else the one file that holds both.

    That is a PKCS#12 file (`.pfx`, `.p12`) or a service key (`.json`). Raises ConfigurationError.
    """
    usual = directory / chain_name, directory / KEY
    several = () if any(map(os.path.lexists, usual)) else files_with_both(directory)
    if not several:
        return load_key_pair(*usual, credential)
    if len(several) > 1:
        names = ", ".join(each.name for each in several)
        raise ConfigurationError((Problem(directory, f"which of them is meant? Leave only one of {names}"),))
    return _load_both(several[0])


def parse_key(data: bytes, password: str | None = None) -> PrivateKeyTypes:
    """A private key in PEM or DER; raises ValueError, with words that hold nothing of the key."""
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
    """Whether this is the key of the certificate: the public key decides."""
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
    """The key as it stands there, or else as some form or web page has spelled it."""
    try:
        return parse_key(data)
    except ValueError as error:
        try:
            [found] = read_contents(data).keys
            return parse_key(found.data)
        except (CertificateUnreadable, ValueError):
            problems.append(Problem(path, str(error)))
            return None


def _check_mode(path: Path, mode: int, mistakes: list[Problem], warnings: list[Problem]) -> None:
    if words := exposed(mode, "private key"):
        (mistakes if is_open_to_everybody(mode) else warnings).append(Problem(path, words))


# --- One file -------------------------------------------------------------------------------------------


def files_with_both(directory: Path) -> tuple[Path, ...]:
    """The files in a directory of ours that hold a certificate and its key."""
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
        problems.append(Problem(path, "a private key only: the certificate that belongs to it is missing"))
    if len(contents.keys) != 1:
        problems.append(Problem(path, f"expected one private key in it, found {len(contents.keys)}"))
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
    """The certificate of the key, with what is above it; raises ConfigurationError where there is none."""
    own = next((each for each in certificates if belong_together(each, private_key)), None)
    ends = [each for each in certificates if not each.is_ca]
    if own is None or (own.is_ca and ends):
        belongs = f"belongs to {own.subject}, a CA, and not" if own else "does not belong"
        first = (ends or certificates)[0].subject
        raise ConfigurationError((Problem(key_file, f"the private key {belongs} to {first} in {chain_file.name}"),))
    chain = chain_of(own, certificates)
    for each in certificates:
        if each not in (own, *chain):
            text = f"{each.subject} is not above {own.subject}, and is not sent along"
            warnings.append(Problem(chain_file, text))
    return LoadedKeyPair(KeyPair(own, chain, private_key), tuple(warnings))
