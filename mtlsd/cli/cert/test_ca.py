"""`mtlsd ca`: a CA for tests."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12

from mtlsd.cli.bundle.passphrases import read_passphrase
from mtlsd.cli.cert.write import Belongings, key_pem, service_key
from mtlsd.cli.files import write_errors
from mtlsd.cli.options import PATH, option, with_options
from mtlsd.cli.output import moment, say
from mtlsd.config import values
from mtlsd.errors import MtlsdError
from mtlsd.files.private import PRIVATE
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.files.writing import write_file
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.reader import read_certificates
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.test_ca import issue as issuing

CERTIFICATE, KEY = "ca.pem", "ca.key"
FORMS = ("pem", "pfx", "json")
MAX_DAYS = 3650

OPENS_CA_KEY = "File whose first line is the passphrase of the CA's key."

with_force = click.option("--force", is_flag=True, help="Overwrite existing files.")


@dataclass(frozen=True, slots=True)
class CertificateOptions:
    """The options that describe the certificate to issue."""

    uses: tuple[str, ...] = option(
        "Use of the certificate; may be repeated.",
        "--for",
        multiple=True,
        type=click.Choice(["client", "server", "as2"]),
        default=("client", "as2"),
    )
    names: tuple[str, ...] = option(
        "An alternative name: dns:, email:, uri: or ip:.", "--san", multiple=True, metavar="KIND:NAME"
    )
    days: int = option(None, type=click.IntRange(1, MAX_DAYS), default=90)

    def spec(self, default_names: tuple[str, ...]) -> issuing.CertificateSpec:
        """The certificate to issue, with these alternative names unless --san is given."""
        uses = frozenset(map(issuing.Purpose, self.uses))
        return issuing.CertificateSpec(uses, self.days, self.names or default_names)


@dataclass(frozen=True, slots=True)
class IssueOptions(CertificateOptions):
    """The options of `mtlsd ca issue`."""

    kind: Literal["rsa", "ec"] = option(None, "--key", type=click.Choice(["rsa", "ec"]), default="rsa")
    forms: tuple[str, ...] = option(None, "--form", multiple=True, type=click.Choice(FORMS), default=FORMS)
    output: Path | None = option("The folder for the files; default: FOLDER/issued.", type=PATH)
    passphrase_file: Path | None = option(
        "File whose first line is the passphrase of the .pfx; otherwise you are asked.", type=PATH
    )
    ca_passphrase_file: Path | None = option(OPENS_CA_KEY, type=PATH)


@dataclass(frozen=True, slots=True)
class SignOptions(CertificateOptions):
    """The options of `mtlsd ca sign`."""

    output: Path | None = option("The file to write; default: REQUEST with the extension .pem.", type=PATH)
    ca_passphrase_file: Path | None = option(OPENS_CA_KEY, type=PATH)


@click.command()
@click.argument("folder", type=PATH)
@click.option("--name", default="mtlsd test CA", show_default=True, help="The CA's common name.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), default=365, show_default=True)
@click.option("--key", "kind", type=click.Choice(["rsa", "ec"]), default="rsa", show_default=True)
@click.option("--ca-passphrase-file", type=PATH, help="Encrypt the CA's key with the first line of this file.")
@with_force
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
    encryption = BestAvailableEncryption(passphrase) if passphrase else None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(
        folder,
        {KEY: key_pem(key, encryption), CERTIFICATE: made.certificate.pem},
        force,
    )
    _say(made.certificate, folder / CERTIFICATE)


@click.command()
@click.argument("folder", type=PATH)
@click.argument("name")
@with_options(IssueOptions)
@with_force
def issue(folder: Path, name: str, options: IssueOptions, force: bool) -> None:
    """Create a key and a certificate with the common name NAME.

    NAME.pem has the certificate and its CA, and NAME.key the key. NAME.pfx has all three, and NAME.json is a service
    key. Only the .pfx is encrypted. If NAME is a host name and there is no --san, NAME is also an alternative name.

    \b
    Example:
      mtlsd ca issue test-ca edi.acme.example --for client --form pem

    Exit codes: 0 success; 1 the CA cannot be used, the name is not valid, or a file already exists.
    """
    authority = _authority(folder, options.ca_passphrase_file)
    stem, forms, passphrase = _stem(name), options.forms, b""
    if "pfx" in forms:
        passphrase = read_passphrase(options.passphrase_file, "Passphrase for the .pfx", confirm=True)
    with _certifying():
        key = issuing.make_key(options.kind)
        spec = options.spec(_host_names(name))
        made = issuing.issue(authority, name, key.public_key(), spec, datetime.now(UTC))
    issuer = authority.certificate
    files: dict[str, bytes] = {}
    if "pem" in forms:
        files |= {f"{stem}.key": key_pem(key), f"{stem}.pem": made.pem + issuer.pem}
    if "pfx" in forms:
        files[f"{stem}.pfx"] = _pfx(name, key, made, issuer, passphrase)
    if "json" in forms:
        files[f"{stem}.json"] = service_key(Belongings((made, issuer), key))
    folder = options.output or folder / "issued"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder, files, force)
    _say(made, *(folder / each for each in files))


@click.command()
@click.argument("folder", type=PATH)
@click.argument("request", type=PATH)
@with_options(SignOptions)
@with_force
def sign(folder: Path, request: Path, options: SignOptions, force: bool) -> None:
    """Create a certificate for a REQUEST (PKCS#10) in PEM or DER.

    The private key stays with the creator of the request. The subject, the key and, without --san, the alternative
    names come from the request. Everything else in the request is ignored.

    \b
    Example:
      mtlsd ca sign test-ca request.csr --output acme.pem

    Exit codes: 0 success; 1 the CA or the request cannot be used, or the file already exists.
    """
    authority = _authority(folder, options.ca_passphrase_file)
    try:
        data = read_file(request).data
    except FileRefused as error:
        raise click.ClickException(f"{request} {error}") from error
    with _certifying(f"{request}: "):
        found = issuing.read_request(data)
        spec = options.spec(issuing.requested_names(found))
        made = issuing.sign(authority, found, spec, datetime.now(UTC))
    output = options.output or request.with_suffix(".pem")
    _write(output.parent, {output.name: made.pem + authority.certificate.pem}, force)
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


def _host_names(name: str) -> tuple[str, ...]:
    with suppress(ValueError):
        return (f"dns:{values.host_reference(name)}",) if "." in name else ()
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
    with write_errors(folder):
        for name, data in files.items():
            write_file(folder / name, data, PRIVATE, overwrite=force)


def _say(certificate: Certificate, *files: Path) -> None:
    say(f"{certificate.subject}, valid until {moment(certificate.not_after)}, sha256 {certificate.sha256}")
    for each in files:
        say(f"  {each}")


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
