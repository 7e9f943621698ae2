"""A certificate of ours with its private key, for a virtual host or for an organization."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from mtlsd.errors import ConfigurationError, Problem
from mtlsd.identity.certificates import Certificate, CertificateUnreadable
from mtlsd.identity.contents import read_certificates
from mtlsd.identity.files import FileContent, FileRefused, missing_directory, read_file

ENCRYPTED = "an encrypted private key: decrypt it (openssl pkey -in encrypted.pem -out key.pem)"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate, what is sent along with it, and the key that belongs to it."""

    certificate: Certificate
    chain: tuple[Certificate, ...]  # in the order of the file, without `certificate`
    private_key: PrivateKeyTypes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LoadedKeyPair:
    """A key pair that is fit for use, and what the operators should know about it."""

    key_pair: KeyPair
    warnings: tuple[Problem, ...] = ()


def load_key_pair(
    chain_file: Path, key_file: Path, credential: Path | None = None, *, for_tests: bool = False
) -> LoadedKeyPair:
    """Read a pair; the file `credential`, if it exists, takes the place of `key_file`.

    Raises ConfigurationError with everything that is wrong. systemd guards a credential, so its mode is not
    looked at. A key that is open to everybody is a mistake, and with `for_tests` a warning.
    """
    guarded = credential is not None and os.path.lexists(credential)
    key_path = credential if credential is not None and guarded else key_file
    problems: list[Problem] = []
    warnings: list[Problem] = []
    chain = _read_chain(chain_file, problems)
    key = _read_key(key_path, problems)
    if key and not guarded:
        _check_mode(key_path, key.mode, warnings if for_tests else problems, warnings)
    private_key = _parsed(key_path, key.data, problems) if key else None
    if chain and private_key and not _belong_together(chain[0], private_key):
        problems.append(Problem(key_path, _not_its_key(chain, private_key, chain_file)))
    if problems or not chain or private_key is None:
        raise ConfigurationError(tuple(problems))
    return LoadedKeyPair(KeyPair(chain[0], chain[1:], private_key), tuple(warnings))


def load_host(directory: Path, credentials: Path | None = None) -> LoadedKeyPair:
    """The server certificate in `certs/hosts/<name>/`; a chain that does not cover the name is a warning."""
    if problem := missing_directory(directory):
        raise ConfigurationError((problem,))
    credential = credentials / f"host.{directory.name}.key" if credentials else None
    loaded = load_key_pair(directory / "chain.pem", directory / "key.pem", credential)
    if _covers(loaded.key_pair.certificate, directory.name):
        return loaded
    message = f"the certificate does not cover {directory.name}: it is for {_names_of(loaded.key_pair)}"
    return LoadedKeyPair(loaded.key_pair, (*loaded.warnings, Problem(directory / "chain.pem", message)))


def _read_chain(path: Path, problems: list[Problem]) -> tuple[Certificate, ...]:
    try:
        return read_certificates(read_file(path).data)
    except (FileRefused, CertificateUnreadable) as error:
        problems.append(Problem(path, str(error)))
        return ()


def _read_key(path: Path, problems: list[Problem]) -> FileContent | None:
    try:
        return read_file(path)
    except FileRefused as error:
        problems.append(Problem(path, str(error)))
        return None


def _parsed(path: Path, data: bytes, problems: list[Problem]) -> PrivateKeyTypes | None:
    try:
        return _parse_key(data)
    except ValueError as error:
        problems.append(Problem(path, str(error)))
        return None


def _check_mode(path: Path, mode: int, exposed: list[Problem], warnings: list[Problem]) -> None:
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        exposed.append(
            Problem(path, f"the private key is open to everybody (mode {mode:04o}): chmod 600, and rotate it")
        )
    elif mode & stat.S_IRGRP:
        warnings.append(Problem(path, f"the private key is group-readable (mode {mode:04o}): chmod 600"))


def _parse_key(data: bytes) -> PrivateKeyTypes:
    """Raises ValueError, with words that hold nothing of the key."""
    try:
        if b"-----BEGIN " in data:
            return load_pem_private_key(data, None)
        return load_der_private_key(data, None)
    except TypeError:
        raise ValueError(ENCRYPTED) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM or DER") from None


def _belong_together(certificate: Certificate, private_key: PrivateKeyTypes) -> bool:
    try:
        return certificate.x509.public_key() == private_key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _not_its_key(chain: tuple[Certificate, ...], private_key: PrivateKeyTypes, chain_file: Path) -> str:
    for certificate in chain[1:]:
        if _belong_together(certificate, private_key):
            return f"belongs to {certificate.subject}, which must be the first certificate in {chain_file.name}"
    return f"does not belong to {chain[0].subject}, the first certificate in {chain_file.name}"


def _covers(certificate: Certificate, host: str) -> bool:
    """RFC 9525, section 6.3: a name of its own, or a wildcard as the whole first label; never the CN."""
    host = host.lower()
    parent = host.partition(".")[2]
    return not {f"dns:{host}", f"ip:{host}", f"dns:*.{parent}"}.isdisjoint(certificate.san)


def _names_of(key_pair: KeyPair) -> str:
    return ", ".join(key_pair.certificate.san) or f"{key_pair.certificate.subject}, without an alternative name"
