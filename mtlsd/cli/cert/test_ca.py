"""`mtlsd ca`: a CA for tests."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from mtlsd.cli.bundle.passphrases import read_passphrase
from mtlsd.cli.output import moment, say
from mtlsd.config import values
from mtlsd.errors import MtlsdError
from mtlsd.files import writing
from mtlsd.files.private import PRIVATE
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.reader import read_certificates
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.test_ca import issue as issuing

CERTIFICATE, KEY = "ca.pem", "ca.key"
FORMS = ("pem", "pfx", "json")
MAX_DAYS = 3650

a_path = click.Path(path_type=Path)
force = click.option("--force", is_flag=True, help="Overwrite existing files.")
key_kind = click.option("--key", "kind", type=click.Choice(["rsa", "ec"]), default="rsa", show_default=True)
passphrase_file = click.option(
    "--passphrase-file",
    type=a_path,
    help="File whose first line is the passphrase of the .pfx; otherwise you are asked.",
)
ca_passphrase_file = click.option(
    "--ca-passphrase-file", type=a_path, help="File whose first line is the passphrase of the CA's key."
)


def with_wanted(command: Callable[..., None]) -> Callable[..., None]:
    """The options that describe the certificate to issue."""
    for option in (
        click.option("--days", type=click.IntRange(1, MAX_DAYS), default=90, show_default=True),
        click.option(
            "--san", "names", multiple=True, metavar="KIND:NAME", help="An alternative name: dns:, email:, uri: or ip:."
        ),
        click.option(
            "--for",
            "uses",
            multiple=True,
            type=click.Choice(["client", "server", "as2"]),
            default=("client", "as2"),
            show_default=True,
            help="Use of the certificate; may be repeated.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("folder", type=a_path)
@click.option("--name", default="mtlsd test CA", show_default=True, help="The CA's common name.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), default=365, show_default=True)
@key_kind
@click.option("--ca-passphrase-file", type=a_path, help="Encrypt the CA's key with the first line of this file.")
@force
def init(
    folder: Path, name: str, days: int, kind: Literal["rsa", "ec"], ca_passphrase_file: Path | None, force: bool
) -> None:
    """Create a test CA: ca.pem and ca.key in FOLDER.

    FOLDER is created if it does not exist.

    \b
    Example:
      mtlsd ca init test-ca --name 'Example test CA'

    Exit codes: 0 success; 1 the CA already exists, or cannot be written.
    """
    passphrase = read_passphrase(ca_passphrase_file, "") if ca_passphrase_file else None
    with _certifying():
        key = issuing.make_key(kind)
        made = issuing.make_authority(name, key, days, datetime.now(UTC))
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder, {KEY: _key_pem(key, encryption), CERTIFICATE: _pem(made.certificate)}, force)
    _say(made.certificate, folder / CERTIFICATE)


@click.command()
@click.argument("folder", type=a_path)
@click.argument("name")
@with_wanted
@key_kind
@click.option("--form", "forms", multiple=True, type=click.Choice(FORMS), default=FORMS, show_default=True)
@click.option("--output", type=a_path, help="The folder for the files; default: FOLDER/issued.")
@passphrase_file
@ca_passphrase_file
@force
def issue(
    folder: Path,
    name: str,
    uses: tuple[str, ...],
    names: tuple[str, ...],
    days: int,
    kind: Literal["rsa", "ec"],
    forms: tuple[str, ...],
    output: Path | None,
    passphrase_file: Path | None,
    ca_passphrase_file: Path | None,
    force: bool,
) -> None:
    """Create a key and a certificate with the common name NAME.

    NAME.pem has the certificate and its CA, and NAME.key the key. NAME.pfx has all three, and NAME.json is a service
    key. Only the .pfx is encrypted. If NAME is a host name and there is no --san, NAME is also an alternative name.

    \b
    Example:
      mtlsd ca issue test-ca edi.acme.example --for client --form pem

    Exit codes: 0 success; 1 the CA cannot be used, the name is not valid, or a file already exists.
    """
    authority = _authority(folder, ca_passphrase_file)
    stem = _stem(name)
    passphrase = read_passphrase(passphrase_file, "Passphrase for the .pfx", confirm=True) if "pfx" in forms else b""
    with _certifying():
        key = issuing.make_key(kind)
        wanted = _wanted(uses, names or _host_names(name), days)
        made = issuing.issue(authority, name, key.public_key(), wanted, datetime.now(UTC))
    chain, key_pem = _pem(made) + _pem(authority.certificate), _key_pem(key, NoEncryption())
    files: dict[str, bytes] = {}
    if "pem" in forms:
        files |= {f"{stem}.key": key_pem, f"{stem}.pem": chain}
    if "pfx" in forms:
        files[f"{stem}.pfx"] = _pfx(name, key, made, authority.certificate, passphrase)
    if "json" in forms:
        files[f"{stem}.json"] = json.dumps({"certificate": chain.decode(), "key": key_pem.decode()}, indent=2).encode()
    folder = output or folder / "issued"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder, files, force)
    _say(made, *(folder / each for each in files))


@click.command()
@click.argument("folder", type=a_path)
@click.argument("request", type=a_path)
@with_wanted
@click.option("--output", type=a_path, help="The file to write; default: REQUEST with the extension .pem.")
@ca_passphrase_file
@force
def sign(
    folder: Path,
    request: Path,
    uses: tuple[str, ...],
    names: tuple[str, ...],
    days: int,
    output: Path | None,
    ca_passphrase_file: Path | None,
    force: bool,
) -> None:
    """Create a certificate for a REQUEST (PKCS#10) in PEM or DER.

    The private key stays with the creator of the request. The subject, the key and, without --san, the alternative
    names come from the request. Everything else in the request is ignored.

    \b
    Example:
      mtlsd ca sign test-ca request.csr --output acme.pem

    Exit codes: 0 success; 1 the CA or the request cannot be used, or the file already exists.
    """
    authority = _authority(folder, ca_passphrase_file)
    try:
        data = read_file(request).data
    except FileRefused as error:
        raise click.ClickException(f"{request} {error}") from error
    with _certifying(f"{request}: "):
        found = issuing.read_request(data)
        wanted = _wanted(uses, names or issuing.requested_names(found), days)
        made = issuing.sign(authority, found, wanted, datetime.now(UTC))
    output = output or request.with_suffix(".pem")
    _write(output.parent, {output.name: _pem(made) + _pem(authority.certificate)}, force)
    _say(made, output)


# --- The CA -----------------------------------------------------------------------------------------------------------


def _authority(folder: Path, passphrase_file: Path | None) -> KeyPair:
    passphrase = read_passphrase(passphrase_file, "") if passphrase_file else None
    try:
        certificate = read_certificates(read_file(folder / CERTIFICATE).data)[0]
        key = load_pem_private_key(read_file(folder / KEY).data, passphrase)
    except (MtlsdError, ValueError, TypeError) as error:
        hint = ": give its passphrase with --ca-passphrase-file" if isinstance(error, TypeError) else ""
        raise click.ClickException(f"the CA in {folder} cannot be used{hint}: {error}") from error
    if not isinstance(key, issuing.PrivateKey) or key.public_key() != certificate.x509.public_key():
        raise click.ClickException(f"{folder / KEY} is not the key of {folder / CERTIFICATE}")
    return KeyPair(certificate, (), key)


def _wanted(uses: tuple[str, ...], names: tuple[str, ...], days: int) -> issuing.CertificateSpec:
    return issuing.CertificateSpec(frozenset(map(issuing.Purpose, uses)), days, names)


def _host_names(name: str) -> tuple[str, ...]:
    try:
        return (f"dns:{values.host_reference(name)}",) if "." in name else ()
    except ValueError:
        return ()


def _stem(name: str) -> str:
    """The name of the files, without an extension."""
    return "".join(each if each.isalnum() or each in "._-" else "_" for each in name).lstrip(".") or "issued"


# --- Files ------------------------------------------------------------------------------------------------------------


def _write(folder: Path, files: dict[str, bytes], force: bool) -> None:
    """Write files that only their owner can read; nothing if one of them already exists."""
    there = [str(folder / each) for each in files if (folder / each).exists()]
    if there and not force:
        raise click.ClickException(f"{', '.join(there)} already exists: use --force to overwrite")
    try:
        for name, data in files.items():
            writing.write_file(folder / name, data, PRIVATE, overwrite=force)
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}") from error


def _say(certificate: Certificate, *files: Path) -> None:
    say(f"{certificate.subject}, valid until {moment(certificate.not_after)}, sha256 {certificate.sha256}")
    for each in files:
        say(f"  {each}")


def _pem(certificate: Certificate) -> bytes:
    return certificate.x509.public_bytes(Encoding.PEM)


def _key_pem(key: issuing.PrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _pfx(name: str, key: issuing.PrivateKey, certificate: Certificate, issuer: Certificate, passphrase: bytes) -> bytes:
    encryption = BestAvailableEncryption(passphrase)
    return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate.x509, [issuer.x509], encryption)


@contextmanager
def _certifying(prefix: str = "") -> Iterator[Any]:
    """End the command if the certificate cannot be issued."""
    try:
        yield
    except issuing.RequestRefused as error:
        raise click.ClickException(f"{prefix}{error}") from error
