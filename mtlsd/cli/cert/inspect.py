"""Reads files for the `mtlsd cert` commands, with their passwords, and describes the contents."""

import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound

from mtlsd.cli.files import read_errors
from mtlsd.cli.output import moment
from mtlsd.files.reading import read_file
from mtlsd.partners.validity import Validity
from mtlsd.pki import bundle as bundles
from mtlsd.pki import lint
from mtlsd.pki.bundle import CertificateBundle
from mtlsd.pki.certificate import Certificate, PasswordNeeded
from mtlsd.pki.formats.on_disk import password_beside, password_in
from mtlsd.pki.formats.reader import Contents, read_contents
from mtlsd.pki.key_pair import belong_together, parse_key


@dataclass(frozen=True, slots=True)
class ReadFile:
    """The contents of a file, with its private keys if their password is known."""

    path: Path
    contents: Contents
    keys: tuple[PrivateKeyTypes, ...] = field(repr=False)
    locked: tuple[str, ...]  # why a key cannot be read, one sentence for each key

    @property
    def bundle(self) -> CertificateBundle:
        return bundles.split(self.contents.certificates)

    def owner_of(self, key: PrivateKeyTypes) -> Certificate | None:
        """The certificate that the key belongs to."""
        certificates = self.contents.certificates
        return next((each for each in certificates if belong_together(each, key)), None)


def read(path: Path, password_file: Path | None) -> ReadFile:
    """Read a file of any format; ends the command if it cannot be read.

    The password comes from the option, from the `.password` file beside the file, or from a prompt on the terminal.
    """
    with read_errors(path):
        password = password_in(password_file) if password_file else password_beside(path)[0]
        contents, password = _contents(path, read_file(path).data, password)
    keys, locked = [], []
    for each in contents.keys:
        try:
            keys.append(parse_key(each.data, password))
        except ValueError as error:
            locked.append(str(error))
    return ReadFile(path, contents, tuple(keys), tuple(locked))


def _contents(path: Path, data: bytes, password: str | None) -> tuple[Contents, str | None]:
    try:
        return read_contents(data, password), password
    except PasswordNeeded:
        if password is not None or not sys.stdin.isatty():
            raise
    password = click.prompt(f"password of {path.name}", hide_input=True, err=True)
    return read_contents(data, password), password


# --- Description --------------------------------------------------------------------------------------------


def facts(certificate: Certificate, role: str, now: datetime) -> dict[str, Any]:
    """Everything that is shown about a certificate."""
    return {
        "role": role,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "not_before": moment(certificate.not_before),
        "not_after": moment(certificate.not_after),
        "days_left": (certificate.not_after - now).days,
        "state": Validity.of(certificate, now).value,
        "san": list(certificate.san),
        "key": key_of(certificate),
        "extended_key_usage": _purposes(certificate),
        "sha256": certificate.sha256,
        "odd": list(lint.oddities(certificate)),
    }


def roles(bundle: CertificateBundle) -> list[tuple[Certificate, str]]:
    """Each certificate with its role; leaves first, each followed by its issuers."""
    kinds = {
        **dict.fromkeys(bundle.leaves, "leaf"),
        **dict.fromkeys(bundle.intermediates, "intermediate"),
        **dict.fromkeys(bundle.roots, "root"),
    }
    return [(each, kinds[each]) for each in bundle.in_order]


def key_of(certificate: Certificate) -> str:
    """The kind and the size of a certificate's key."""
    try:
        return describe(certificate.x509.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return "of an unsupported type"


def describe(key: object) -> str:
    """The kind and the size of a key."""
    match key:
        case rsa.RSAPublicKey() | rsa.RSAPrivateKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey() | ec.EllipticCurvePrivateKey():
            return f"EC {key.curve.name}"
        case dsa.DSAPublicKey() | dsa.DSAPrivateKey():
            return f"DSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")


def _purposes(certificate: Certificate) -> list[str]:
    try:
        usages = certificate.x509.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return []
    return [PURPOSES.get(each.dotted_string, each.dotted_string) for each in usages]


PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}
