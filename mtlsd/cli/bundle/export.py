"""`mtlsd export`: the security material of a machine as one sealed bundle."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import click

from mtlsd import __version__
from mtlsd.as2.cms.password_recipient import seal_to, seal_with
from mtlsd.cli.bundle import audit
from mtlsd.cli.bundle.passphrases import a_path, check_strength, passphrase_file, read_passphrase
from mtlsd.cli.options import load_configuration, with_config
from mtlsd.cli.output import say
from mtlsd.errors import MtlsdError
from mtlsd.files import writing
from mtlsd.files.private import PRIVATE
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.journal.proof.chain import EntryKind
from mtlsd.partners.edit import bundle as packing
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.formats.reader import read_certificates


@click.command("export")
@click.argument("output", type=a_path)
@with_config
@click.option("--to", "recipient", type=a_path, help="Seal the bundle to this certificate instead of a passphrase.")
@passphrase_file
@click.option("--include-private-keys", is_flag=True, help="Include our private keys.")
@click.option("--force", is_flag=True, help="Overwrite OUTPUT.")
def export(
    output: Path,
    file: Path,
    recipient: Path | None,
    passphrase_file: Path | None,
    include_private_keys: bool,
    force: bool,
) -> None:
    """Write partners, certificates and policies to a sealed bundle.

    The journal first gets an entry: who, when, what, and to whom. Private keys, and files that may hold one, are
    included only with --include-private-keys; the output names every file that is left out. The bundle is sealed to a
    certificate or with a passphrase. `mtlsd import` applies the bundle, and `openssl cms` can open it.

    \b
    Examples:
      mtlsd export certs.bundle --to other-machine.pem --include-private-keys
      mtlsd export certs.bundle --passphrase-file bundle.passphrase

    Exit codes: 0 success; 1 something cannot be read or written, including the journal; 2 wrong usage; 78 the
    configuration has errors.
    """
    configuration, now = load_configuration(file), datetime.now(UTC)
    if recipient and passphrase_file:
        raise click.UsageError("give --to or --passphrase-file, not both")
    if output.exists() and not force:
        raise click.ClickException(f"{output} already exists: use --force to overwrite it")
    certificate = _recipient(recipient) if recipient else None
    passphrase = b"" if certificate else read_passphrase(passphrase_file, "Passphrase for the bundle", confirm=True)
    if not certificate:
        check_strength(passphrase)
    try:
        units, withheld = packing.collect(configuration.server.certs, private_keys=include_private_keys)
        packed = packing.pack(
            units,
            private_keys=include_private_keys,
            withheld=withheld,
            configuration=configuration.file.read_bytes(),
            now=now,
            made_by=__version__,
        )
        bundle = packing.unpack(packed)  # a bundle that cannot be read again would be useless
    except (MtlsdError, OSError) as error:
        raise click.ClickException(f"{configuration.server.certs}: {error}") from error
    sealed = _seal(packed, certificate, passphrase)
    target = f"certificate {certificate.sha256}" if certificate else "a passphrase"
    digest = sha256(sealed).hexdigest()
    facts = {"to": target, "private_keys": include_private_keys, "bundle": digest, **audit.contents(bundle)}
    with audit.opened(configuration) as journal:
        audit.enter(journal, EntryKind.EXPORTED, digest[:32], now.timestamp(), facts)
    try:
        writing.write_file(output.absolute(), sealed, PRIVATE, overwrite=force)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    for name in withheld:
        say(f"left out: {name}, which is or may hold a private key")
    say(f"{output}: {_count(bundle)}, sealed to {target}, sha256 {digest}")


# --- Sealing ----------------------------------------------------------------------------------------------------------


def _recipient(path: Path) -> Certificate:
    try:
        return read_certificates(read_file(path).data)[0]
    except (FileRefused, CertificateUnreadable) as error:
        raise click.ClickException(f"{path}: {error}") from error


def _seal(packed: bytes, certificate: Certificate | None, passphrase: bytes) -> bytes:
    try:
        return seal_to(packed, certificate) if certificate else seal_with(packed, passphrase)
    except ValueError as error:
        raise click.ClickException(f"the bundle cannot be sealed to that certificate: {error}") from error


def _count(bundle: packing.Bundle) -> str:
    kinds = [unit.partition("/")[0] for unit in bundle.units]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("partners", "hosts", "organizations"))
