"""Writes certificates and keys for the `mtlsd cert` commands, in the format that the name of the file implies."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES

from mtlsd.cli.files import USE_FORCE, write_errors
from mtlsd.files.durable import placed
from mtlsd.files.private import PRIVATE
from mtlsd.files.writing import PUBLIC
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats import pkcs7

ROUNDS = 100_000  # of PBKDF2, in PKCS#12
OLD_ROUNDS = 2048  # as products that support only 3DES write
KEYSTORES = (".pfx", ".p12")
WITH_KEY = (".pem", ".key", ".json", *KEYSTORES)  # a file in one of these formats may hold a private key
FORMS = (".pem", ".crt", ".key", ".der", ".cer", ".p7b", ".p7c", *KEYSTORES, ".json")


@dataclass(frozen=True, slots=True)
class Belongings:
    """Certificates, a leaf first, and the key of the first certificate, if present."""

    certificates: tuple[Certificate, ...]
    key: PrivateKeyTypes | None = field(default=None, repr=False)


def in_form(form: str, what: Belongings, password: str | None, *, legacy: bool) -> bytes:
    """The file in the format of this extension; raises ClickException if the format cannot hold the contents."""
    match form:
        case ".pem" | ".crt":
            return pem_of(what)
        case ".key":
            return key_pem(_key(what, form))
        case ".der" | ".cer":
            return _only_one(what.certificates).der
        case ".p7b" | ".p7c":
            return pkcs7.bundle(each.der for each in what.certificates)
        case ".json":
            return service_key(what)
    return _keystore(what, password or "", legacy=legacy)


def pem_of(what: Belongings) -> bytes:
    """The certificates in PEM, then the key."""
    certificates = b"".join(each.pem for each in what.certificates)
    return certificates + (key_pem(what.key) if what.key else b"")


def key_pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> bytes:
    """A key in PEM, not encrypted by default."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def write(path: Path, data: bytes, *, secret: bool, force: bool) -> None:
    """Write a whole file or nothing; only its owner can read a file with a key. Ends the command on failure."""
    if not force and os.path.lexists(path):
        raise click.ClickException(f"{path} already exists{USE_FORCE}")
    mode = PRIVATE if secret else PUBLIC
    with write_errors(path), placed(path, mode) as file:  # overwrites: not every file system has links, to avoid that
        file.write(data)


def _key(what: Belongings, form: str) -> PrivateKeyTypes:
    if what.key is None:
        raise click.ClickException(f"a {form} file needs a private key: give it with --key")
    return what.key


def _only_one(certificates: Sequence[Certificate]) -> Certificate:
    if not certificates:
        raise click.ClickException("there is no certificate to write")
    ends = [each for each in certificates if not each.is_ca]
    if len(certificates) == 1 or len(ends) == 1:
        return (ends or certificates)[0]
    raise click.ClickException(
        f"there are {len(certificates)} certificates, but DER holds only one: write a .pem or .p7b file"
    )


def service_key(what: Belongings) -> bytes:
    """The certificates and the key in JSON."""
    key = key_pem(_key(what, ".json"))
    document = {"certificate": pem_of(Belongings(what.certificates)).decode(), "key": key.decode()}
    return f"{json.dumps(document, indent=2)}\n".encode()


def _as_it_is(certificate: Certificate) -> x509.Certificate:
    """The certificate itself, because `Certificate.x509` may be a copy; its names and extensions are not read."""
    try:
        return x509.load_der_x509_certificate(certificate.der)
    except ValueError as error:
        words = "has an encoding that cannot be written to PKCS#12: write a .pem or .p7b file"
        raise click.ClickException(f"{certificate.subject} {words}") from error


def _keystore(what: Belongings, password: str, *, legacy: bool) -> bytes:
    certificates = list(map(_as_it_is, what.certificates))
    if not password:
        raise click.ClickException("a PKCS#12 file needs a password: give one with --out-password-file")
    builder = PrivateFormat.PKCS12.encryption_builder()
    if legacy:
        old = builder.kdf_rounds(OLD_ROUNDS).key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        protection = old.hmac_hash(hashes.SHA1()).build(password.encode())  # noqa: S303  # for old products
    else:
        new = builder.kdf_rounds(ROUNDS).key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        protection = new.hmac_hash(hashes.SHA256()).build(password.encode())
    first, others = (certificates[0], certificates[1:]) if what.key else (None, certificates)
    name = what.certificates[0].subject.encode() if what.certificates else None
    return pkcs12.serialize_key_and_certificates(name, what.key, first, others, protection)  # type: ignore[arg-type]
