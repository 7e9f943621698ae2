"""Opens a sealed bundle, for `mtlsd import`."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import click

from mtlsd.as2.cms.password_recipient import open_with_key, open_with_passphrase
from mtlsd.cli.bundle.passphrases import read_passphrase
from mtlsd.cli.options import problems
from mtlsd.cli.output import say
from mtlsd.errors import MtlsdError
from mtlsd.partners.edit import bundle as packing
from mtlsd.pki.key_pair import KeyPair, load_key_pair
from mtlsd.text import printable

MAX_BUNDLE = 1 << 30  # octets


def read_bundle(
    path: Path, cert: Path | None, key: Path | None, passphrase_file: Path | None, wanted: str | None
) -> tuple[bytes, packing.Bundle]:
    """The bundle, sealed and opened; `wanted` is the SHA-256 that it must have. Ends the command on any failure."""
    if bool(cert) != bool(key) or (cert and passphrase_file):
        raise click.UsageError("give --cert and --key, or --passphrase-file")
    try:
        with path.open("rb") as file:
            sealed = file.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    if len(sealed) > MAX_BUNDLE:
        raise click.ClickException(f"{path} is larger than {MAX_BUNDLE} bytes")
    _check_digest(path, sealed, wanted)
    pair = _pair(cert, key) if cert and key else None
    passphrase = b"" if pair else read_passphrase(passphrase_file, "Passphrase of the bundle")
    try:
        packed = open_with_key(sealed, [pair], datetime.now(UTC)) if pair else open_with_passphrase(sealed, passphrase)
        return sealed, packing.unpack(packed)
    except MtlsdError as error:
        raise click.ClickException(f"{path}: {printable(str(error))}") from error


def _check_digest(path: Path, sealed: bytes, wanted: str | None) -> None:
    """Write the SHA-256 of the bundle; ends the command if it differs from the given one."""
    digest = sha256(sealed).hexdigest()
    if wanted is not None and wanted.replace(":", "").strip().lower() != digest:
        raise click.ClickException(f"{path} is not the expected bundle: its sha256 is {digest}")
    say(f"{path}: sha256 {digest}")


def _pair(cert: Path, key: Path) -> KeyPair:
    with problems():
        return load_key_pair(cert, key).key_pair
