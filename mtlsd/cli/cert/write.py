"""What the `mtlsd cert` commands write: certificates and keys in the form that the name of the file asks for."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES

from mtlsd.files.durable import placed
from mtlsd.files.writing import PRIVATE, PUBLIC
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats import pkcs7

ROUNDS = 100_000  # of PBKDF2, in PKCS#12
OLD_ROUNDS = 2048  # what products that know 3DES only make themselves
KEYSTORES = (".pfx", ".p12")
FORMS = (".pem", ".crt", ".key", ".der", ".cer", ".p7b", ".p7c", *KEYSTORES, ".json")


@dataclass(frozen=True, slots=True)
class Belongings:
    """Certificates, a leaf first, and the key of the first one, where there is one."""

    certificates: tuple[Certificate, ...]
    key: PrivateKeyTypes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Written:
    """The octets of a file, and whether there is a private key in them."""

    data: bytes = field(repr=False)
    secret: bool


def in_form(form: str, what: Belongings, password: str | None, *, legacy: bool) -> Written:
    """The octets in the form of this extension; raises ClickException where it cannot hold what there is."""
    match form:
        case ".pem":
            return Written(pem_of(what), what.key is not None)
        case ".crt":
            return Written(pem_of(Belongings(what.certificates)), secret=False)
        case ".key":
            return Written(key_pem(_key(what, form)), secret=True)
        case ".der" | ".cer":
            return Written(_only_one(what.certificates).der, secret=False)
        case ".p7b" | ".p7c":
            return Written(pkcs7.bundle(each.der for each in what.certificates), secret=False)
        case ".json":
            return Written(_service_key(what, _key(what, form)), secret=True)
    return Written(_keystore(what, password or "", legacy=legacy), what.key is not None)


def pem_of(what: Belongings) -> bytes:
    """The certificates in PEM, then the key."""
    certificates = b"".join(each.pem for each in what.certificates)
    return certificates + (key_pem(what.key) if what.key else b"")


def key_pem(key: PrivateKeyTypes) -> bytes:
    """A key in PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(path: Path, written: Written, *, force: bool) -> None:
    """Write a file whole or not at all; one with a key is for its owner alone. Ends the command where it cannot."""
    if not force and os.path.lexists(path):
        raise click.ClickException(f"{path} is there already: --force writes over it")
    try:
        with placed(path, PRIVATE if written.secret else PUBLIC) as file:  # no link: not every file system has them
            file.write(written.data)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def _key(what: Belongings, form: str) -> PrivateKeyTypes:
    if what.key is None:
        raise click.ClickException(f"there is no private key for a {form} file: give it with --key")
    return what.key


def _only_one(certificates: Sequence[Certificate]) -> Certificate:
    if not certificates:
        raise click.ClickException("there is no certificate to write")
    ends = [each for each in certificates if not each.is_ca]
    if len(certificates) == 1 or len(ends) == 1:
        return (ends or certificates)[0]
    raise click.ClickException(f"there are {len(certificates)} certificates, and DER holds one: write a .pem or a .p7b")


def _service_key(what: Belongings, key: PrivateKeyTypes) -> bytes:
    document = {"certificate": pem_of(Belongings(what.certificates)).decode(), "key": key_pem(key).decode()}
    return f"{json.dumps(document, indent=2)}\n".encode()


def _keystore(what: Belongings, password: str, *, legacy: bool) -> bytes:
    if odd := next((each for each in what.certificates if each.is_respelled), None):
        raise click.ClickException(f"{odd.subject} is spelled too oddly for PKCS#12: write a .pem or a .p7b")
    if not password:
        raise click.ClickException("a PKCS#12 file needs a password that is not empty: --out-password-file")
    builder = PrivateFormat.PKCS12.encryption_builder()
    if legacy:
        old = builder.kdf_rounds(OLD_ROUNDS).key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        protection = old.hmac_hash(hashes.SHA1()).build(password.encode())  # noqa: S303  # what old products read
    else:
        new = builder.kdf_rounds(ROUNDS).key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        protection = new.hmac_hash(hashes.SHA256()).build(password.encode())
    first, rest = (what.certificates[0].x509, what.certificates[1:]) if what.key else (None, what.certificates)
    others = [each.x509 for each in rest]
    name = what.certificates[0].subject.encode() if what.certificates else None
    return pkcs12.serialize_key_and_certificates(name, what.key, first, others, protection)  # type: ignore[arg-type]
