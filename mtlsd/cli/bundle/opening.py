"""Opens a sealed bundle, for `mtlsd import`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import click

from mtlsd.as2.cms.password_recipient import open_with_key, open_with_passphrase
from mtlsd.cli.bundle.passphrases import IN_FILE, read_passphrase
from mtlsd.cli.files import read_errors
from mtlsd.cli.options import PATH, option, problems
from mtlsd.cli.output import say
from mtlsd.partners.edit import bundle as packing
from mtlsd.pki.key_pair import KeyPair, load_key_pair

MAX_BUNDLE = 1 << 30  # octets


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of `mtlsd import`."""

    cert: Path | None = option("The certificate that the bundle is sealed to.", type=PATH)
    key: Path | None = option("The private key of the certificate.", type=PATH)
    passphrase_file: Path | None = option(IN_FILE, type=PATH)
    yes: bool = option("Do not ask for confirmation.", is_flag=True)
    dry_run: bool = option("Show what would change, and change nothing.", is_flag=True)
    sha256: str | None = option("Reject the bundle unless it has this SHA-256, which export printed.", metavar="HEX")


def read_bundle(path: Path, options: ImportOptions) -> tuple[bytes, packing.Bundle]:
    """The bundle, sealed and opened. Ends the command on any failure."""
    cert, key = options.cert, options.key
    if bool(cert) != bool(key) or (cert and options.passphrase_file):
        raise click.UsageError("give --cert and --key, or --passphrase-file")
    try:
        with path.open("rb") as file:
            sealed = file.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    if len(sealed) > MAX_BUNDLE:
        raise click.ClickException(f"{path} is larger than {MAX_BUNDLE} bytes")
    _check_digest(path, sealed, options.sha256)
    pair = _pair(cert, key) if cert and key else None
    passphrase = b"" if pair else read_passphrase(options.passphrase_file, "Passphrase of the bundle")
    with read_errors(path):
        packed = open_with_key(sealed, [pair], datetime.now(UTC)) if pair else open_with_passphrase(sealed, passphrase)
        return sealed, packing.unpack(packed)


def _check_digest(path: Path, sealed: bytes, wanted: str | None) -> None:
    """Write the SHA-256 of the bundle; ends the command if it differs from the given one."""
    digest = sha256(sealed).hexdigest()
    if wanted is not None and wanted.replace(":", "").strip().lower() != digest:
        raise click.ClickException(f"{path} is not the expected bundle: its sha256 is {digest}")
    say(f"{path}: sha256 {digest}")


def _pair(cert: Path, key: Path) -> KeyPair:
    with problems():
        return load_key_pair(cert, key).key_pair
