"""`mtlsd export`: the security material of a machine as one sealed bundle."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import click

from mtlsd import __version__
from mtlsd.as2.cms.password_recipient import seal_to, seal_with
from mtlsd.cli.bundle import audit
from mtlsd.cli.bundle.passphrases import IN_FILE, check_strength, read_passphrase
from mtlsd.cli.files import USE_FORCE, certificates_in, write_errors
from mtlsd.cli.options import PATH, option, with_configuration, with_options
from mtlsd.cli.output import say
from mtlsd.config.model import Configuration
from mtlsd.errors import MtlsdError
from mtlsd.files.private import PRIVATE
from mtlsd.files.writing import write_file
from mtlsd.journal.proof.chain import EntryKind
from mtlsd.partners.edit import bundle as packing
from mtlsd.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The options of `mtlsd export`."""

    recipient: Path | None = option("Seal the bundle to this certificate instead of a passphrase.", "--to", type=PATH)
    passphrase_file: Path | None = option(IN_FILE, type=PATH)
    include_private_keys: bool = option("Include our private keys.", is_flag=True)
    force: bool = option("Overwrite OUTPUT.", is_flag=True)


@click.command("export")
@click.argument("output", type=PATH)
@with_configuration
@with_options(ExportOptions)
def export(configuration: Configuration, output: Path, options: ExportOptions) -> None:
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
    now = datetime.now(UTC)
    if options.recipient and options.passphrase_file:
        raise click.UsageError("give --to or --passphrase-file, not both")
    if output.exists() and not options.force:
        raise click.ClickException(f"{output} already exists{USE_FORCE}")
    certificate = certificates_in(options.recipient)[0] if options.recipient else None
    passphrase = (
        b"" if certificate else read_passphrase(options.passphrase_file, "Passphrase for the bundle", confirm=True)
    )
    if not certificate:
        check_strength(passphrase)
    try:
        include, settings = options.include_private_keys, configuration.file.read_bytes()
        units, withheld = packing.collect(configuration.server.certs, private_keys=include)
        packed = packing.pack(packing.Bundle(units, include, withheld, settings), now, __version__)
        bundle = packing.unpack(packed)  # a bundle that cannot be read again would be useless
    except (MtlsdError, OSError) as error:
        raise click.ClickException(f"{configuration.server.certs}: {error}") from error
    sealed = _seal(packed, certificate, passphrase)
    target = f"certificate {certificate.sha256}" if certificate else "a passphrase"
    with audit.opened(configuration) as journal:
        audit.enter(journal, EntryKind.EXPORTED, sealed, bundle, now.timestamp(), to=target)
    with write_errors(output, USE_FORCE):
        write_file(output.absolute(), sealed, PRIVATE, overwrite=options.force)
    for name in withheld:
        say(f"left out: {name}, which is or may hold a private key")
    say(f"{output}: {_count(bundle)}, sealed to {target}, sha256 {sha256(sealed).hexdigest()}")


# --- Sealing ----------------------------------------------------------------------------------------------------------


def _seal(packed: bytes, certificate: Certificate | None, passphrase: bytes) -> bytes:
    try:
        return seal_to(packed, certificate) if certificate else seal_with(packed, passphrase)
    except ValueError as error:
        raise click.ClickException(f"the bundle cannot be sealed to that certificate: {error}") from error


def _count(bundle: packing.Bundle) -> str:
    kinds = [unit.partition("/")[0] for unit in bundle.units]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("partners", "hosts", "organizations"))
