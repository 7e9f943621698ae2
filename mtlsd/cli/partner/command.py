"""`mtlsd partner`."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.files import refuse_link, write_errors
from mtlsd.cli.options import with_configuration, with_json, with_yes
from mtlsd.cli.output import moment, say, say_fields, say_json, say_table, say_warnings
from mtlsd.cli.partner import inventory
from mtlsd.cli.partner.directory import check_readable, directory_of
from mtlsd.cli.partner.inventory import PartnerEntry
from mtlsd.cli.partner.listed_certificate import ListedCertificate
from mtlsd.config.model import Configuration
from mtlsd.errors import Problem
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.files.writing import locked, remove_directory, write_file
from mtlsd.partners.edit import proposal
from mtlsd.partners.partner_toml import SETTINGS
from mtlsd.text import printable

HEADINGS = {  # of the settings, by key of partner.toml
    "as2_id": "AS2 ids",
    "hosts": "hosts",
    "require": "must",
    "relax": "relax",
    "mic_profile": "MIC profile",
    "mdn_urls": "MDNs to",
    "match": "match",
    "as2_version": "AS2 version",
    "async_ack": "async ack",
    "retention.days": "keep days",
    "retention.max_bytes": "keep bytes",
}
LINES = {"revocation": proposal.REVOCATION, "dates": proposal.DATES, "revocation_lists": proposal.LISTS}  # by JSON key


@click.command("list")
@with_configuration
@with_json
def list_partners(configuration: Configuration, as_json: bool) -> None:
    """List the partners, and say which are in use.

    A partner is disabled if its partner.toml says so or has an error, or if the partner has no certificate. `mtlsd
    check` has the details.

    \b
    Example:
      mtlsd partner list --json

    Exit codes: 0 success, even if a partner is disabled; 1 partners/ cannot be read; 78 the configuration file has
    errors.
    """
    partners = configuration.server.certs / "partners"
    check_readable(partners)
    found = inventory.partners_in(configuration.server.certs, datetime.now(UTC), configuration).partners
    if as_json:
        say_json([each.as_json(each.partner) for each in found])
        return
    rows = [
        (each.name, each.settings["as2_id"], each.settings.get("hosts", "-"), each.days, each.state) for each in found
    ]
    say_table(("NAME", "AS2 ID", "HOSTS", "CERTIFICATES", "STATE"), rows, fold="STATE")
    if not rows:
        say(f"no partners in {partners}")


@click.command()
@click.argument("name")
@with_configuration
@with_json
def show(configuration: Configuration, name: str, as_json: bool) -> None:
    """Show everything about a partner, with errors and warnings.

    \b
    Example:
      mtlsd partner show acme --json

    Exit codes: 0 success, even if the partner is disabled; 1 there is no such partner; 78 the configuration file has
    errors.
    """
    entry, warnings = _look_at(configuration, name)
    if as_json:
        say_json(_whole(entry, warnings))
    else:
        _say_partner(entry, warnings)


@click.command()
@click.argument("name")
@with_configuration
def disable(configuration: Configuration, name: str) -> None:
    """Refuse every request of a partner until it is enabled.

    The reason is `partner_disabled`. No other partner can claim its certificates and AS2 ids meanwhile. The command
    writes `disabled = true` into the partner's partner.toml.

    \b
    Example:
      mtlsd partner disable acme

    Exit codes: 0 the partner is disabled, or was already; 1 there is no such partner, or its file cannot be changed; 78
    the configuration file has errors.
    """
    _switch(directory_of(configuration, name), disabled=True)


@click.command()
@click.argument("name")
@with_configuration
def enable(configuration: Configuration, name: str) -> None:
    """Enable a partner that `mtlsd partner disable` disabled.

    \b
    Example:
      mtlsd partner enable acme

    Exit codes: 0 the partner is enabled, or was already; 1 there is no such partner, or its file cannot be changed; 78
    the configuration file has errors.
    """
    _switch(directory_of(configuration, name), disabled=False)


@click.command()
@click.argument("name")
@with_configuration
@with_yes
def remove(configuration: Configuration, name: str, yes: bool) -> None:
    """Remove a partner's directory and everything in it.

    This cannot be undone. The next request of the partner is refused. Messages that were accepted before are still
    delivered, and stay in the journal; to erase them, use `mtlsd privacy erase`.

    \b
    Example:
      mtlsd partner remove acme

    Exit codes: 0 removed; 1 there is no such partner, nobody confirmed, or the directory cannot be
    removed; 78 the configuration file has errors.
    """
    entry, warnings = _look_at(configuration, name)
    _say_partner(entry, warnings)
    if not yes:
        click.confirm(f"Remove {printable(name)} and these files?", abort=True)
    try:
        with locked(entry.directory.parent):
            remove_directory(entry.directory)
    except OSError as error:
        raise click.ClickException(f"{entry.directory} cannot be removed: {error.strerror}") from error
    say(f"{name} is removed")


# --- One partner ------------------------------------------------------------------------------------------------------


def _look_at(configuration: Configuration, name: str) -> tuple[PartnerEntry, list[Problem]]:
    """The partner as one of all partners, with its certificates even if it is disabled; and its warnings."""
    directory, now = directory_of(configuration, name), datetime.now(UTC)
    found = inventory.partners_in(configuration.server.certs, now, configuration)
    entry = next((each for each in found.partners if each.name == name), None)
    if entry is None:
        raise click.ClickException(f"{directory} is not read as a partner")
    if held := entry.loaded.held:
        entry = replace(entry, certificates=inventory.certificates_of(directory, held, now))
    dates = [warning for each in entry.certificates if (warning := each.warning())]
    own = [each for each in found.warnings if each.file.is_relative_to(directory)]
    return entry, [*own, *dates]


def _whole(entry: PartnerEntry, warnings: list[Problem]) -> dict[str, object]:
    """Everything about a partner, as values of JSON."""
    partner = entry.loaded.partner or entry.loaded.held
    told = entry.as_json(partner) | {"warnings": [each.message for each in warnings]}
    if partner is None:
        return told
    told["retention"] = {"days": partner.retention_days, "max_bytes": partner.retention_max_bytes}
    lines = proposal.describe(entry.loaded)
    return told | {key: list(lines[heading]) for key, heading in LINES.items() if lines[heading]}


def _say_partner(entry: PartnerEntry, warnings: list[Problem]) -> None:
    say_fields([("partner", entry.name), ("directory", entry.directory), ("state", entry.state)])
    settings, lines = inventory.settings_of(entry.loaded), proposal.describe(entry.loaded)
    say_fields((heading, settings.get(key)) for key, heading in HEADINGS.items())
    say_fields((heading, each) for heading in LINES.values() for each in lines.get(heading, ()))
    for each in entry.certificates:
        _say_certificate(each, entry.directory)
    say_warnings(warnings)


def _say_certificate(listed: ListedCertificate, directory: Path) -> None:
    certificate = listed.certificate
    say()
    say(f"{listed.use}: {certificate.subject}")
    say_fields(
        [
            ("file", listed.place.relative_to(directory) if listed.place != directory else None),
            ("issuer", certificate.issuer),
            ("serial", f"{certificate.serial:x}"),
            ("names", ", ".join(certificate.san)),
            ("valid", f"{moment(certificate.not_before)} to {moment(certificate.not_after)}"),
            ("days left", listed.left),
            ("sha256", certificate.sha256),
        ],
        indent="  ",
    )


def _switch(directory: Path, *, disabled: bool) -> None:
    path, word = directory / SETTINGS, "disabled" if disabled else "in use"
    refuse_link(path)
    with write_errors(path), locked(directory.parent):
        try:
            content = read_file(path)
            text = content.data.decode()
            changed = proposal.with_disabled(text, disabled=disabled)
        except (FileRefused, ValueError) as error:
            raise click.ClickException(f"{path}: {error}") from error
        if changed != text:
            write_file(path, changed.encode(), content.mode, overwrite=True)
    say(f"{directory.name} is {word}" + (" already" if changed == text else ""))
