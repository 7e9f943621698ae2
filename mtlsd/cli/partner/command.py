"""`mtlsd partner`."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.options import load_configuration, with_config, with_json
from mtlsd.cli.output import moment, say, say_fields, say_json, say_table
from mtlsd.cli.partner import inventory
from mtlsd.cli.partner.directory import _look_into, directory_of
from mtlsd.cli.partner.inventory import PartnerEntry
from mtlsd.errors import Problem
from mtlsd.files import writing
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.partners import partner_toml
from mtlsd.partners.edit import proposal
from mtlsd.partners.partner import Partner, load_partner
from mtlsd.text import printable


@click.command("list")
@with_config
@with_json
def list_partners(file: Path, as_json: bool) -> None:
    """List the partners, and say which are in use.

    A partner is disabled if its partner.toml says so or has an error, or if the partner has no certificate. `mtlsd
    check` has the details.

    \b
    Example:
      mtlsd partner list --json

    Exit codes: 0 success, even if a partner is disabled; 1 partners/ cannot be read; 78 the configuration file has
    errors.
    """
    configuration = load_configuration(file)
    certs = configuration.server.certs
    _look_into(certs / "partners")
    found = inventory.partners_in(certs, datetime.now(UTC), configuration)
    if as_json:
        say_json([each.as_json() for each in found.partners])
        return
    headings = ("NAME", "AS2 ID", "HOSTS", "CERTIFICATES", "STATE")
    rows = [(each.name, each.ids, each.where, each.days, each.state) for each in found.partners]
    say_table(headings, rows, fold="STATE")
    if not rows:
        say(f"no partners in {certs / 'partners'}")


@click.command()
@click.argument("name")
@with_config
@with_json
def show(name: str, file: Path, as_json: bool) -> None:
    """Show everything about a partner, with errors and warnings.

    \b
    Example:
      mtlsd partner show acme --json

    Exit codes: 0 success, even if the partner is disabled; 1 there is no such partner; 78 the configuration file has
    errors.
    """
    directory = _directory(file, name)
    entry, warnings = _look_at(file, directory)
    if as_json:
        state = "in use" if entry.partner else "disabled"
        told = {"state": state, "warnings": [each.message for each in warnings]}
        say_json(replace(entry, partner=_partner(entry, directory)).as_json() | told | _more(entry, directory))
    else:
        _say_partner(entry, directory, warnings)


@click.command()
@click.argument("name")
@with_config
def disable(name: str, file: Path) -> None:
    """Refuse every request of a partner until it is enabled.

    The reason is `partner_disabled`. No other partner can claim its certificates and AS2 ids meanwhile. The command
    writes `disabled = true` into the partner's partner.toml.

    \b
    Example:
      mtlsd partner disable acme

    Exit codes: 0 the partner is disabled, or was already; 1 there is no such partner, or its file cannot be changed; 78
    the configuration file has errors.
    """
    _switch(_directory(file, name), disabled=True)


@click.command()
@click.argument("name")
@with_config
def enable(name: str, file: Path) -> None:
    """Enable a partner that `mtlsd partner disable` disabled.

    \b
    Example:
      mtlsd partner enable acme

    Exit codes: 0 the partner is enabled, or was already; 1 there is no such partner, or its file cannot be changed; 78
    the configuration file has errors.
    """
    _switch(_directory(file, name), disabled=False)


@click.command()
@click.argument("name")
@with_config
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def remove(name: str, file: Path, yes: bool) -> None:
    """Remove a partner's directory and everything in it.

    This cannot be undone. The next request of the partner is refused. Messages that were accepted before are still
    delivered, and stay in the journal; to erase them, use `mtlsd privacy erase`.

    \b
    Example:
      mtlsd partner remove acme

    Exit codes: 0 removed; 1 there is no such partner, nobody confirmed, or the directory cannot be
    removed; 78 the configuration file has errors.
    """
    directory = _directory(file, name)
    entry, warnings = _look_at(file, directory)
    _say_partner(entry, directory, warnings)
    if not yes:
        click.confirm(f"Remove {printable(name)} and these files?", abort=True)
    try:
        with writing.locked(directory.parent):
            writing.remove_directory(directory)
    except OSError as error:
        raise click.ClickException(f"{directory} cannot be removed: {error.strerror}") from error
    say(f"{name} is removed")


# --- One partner ------------------------------------------------------------------------------------------------------


def _directory(file: Path, name: str) -> Path:
    return directory_of(load_configuration(file), name)


def _look_at(file: Path, directory: Path) -> tuple[PartnerEntry, list[Problem]]:
    """The partner as one of all partners, and its warnings."""
    configuration, now = load_configuration(file), datetime.now(UTC)
    found = inventory.partners_in(configuration.server.certs, now, configuration)
    entry = next((each for each in found.partners if each.name == directory.name), None)
    if entry is None:
        raise click.ClickException(f"{directory} is not read as a partner")
    if held := _partner(entry, directory):
        entry = replace(entry, certificates=inventory.certificates_of(directory, held, now))
    dates = [warning for each in entry.certificates if (warning := each.warning())]
    own = [each for each in found.warnings if each.file.is_relative_to(directory)]
    return entry, [*own, *dates]


def _partner(entry: PartnerEntry, directory: Path) -> Partner | None:
    """The partner, even if an operator disabled it."""
    return entry.partner or load_partner(directory).held


def _more(entry: PartnerEntry, directory: Path) -> dict[str, object]:
    partner = _partner(entry, directory)
    if partner is None:
        return {}
    told: dict[str, list[object]] = {}
    for key, _, line in _more_fields(directory):
        told.setdefault(key, []).append(line)
    return {"retention": {"days": partner.retention_days, "max_bytes": partner.retention_max_bytes}, **told}


def _say_partner(entry: PartnerEntry, directory: Path, warnings: list[Problem]) -> None:
    partner = _partner(entry, directory)
    shown = replace(entry, partner=partner)
    say_fields([("partner", entry.name), ("directory", directory), ("state", entry.state)])
    if partner:
        match = partner.match
        say_fields(
            [
                ("AS2 ids", shown.ids),
                ("hosts", shown.where),
                ("must", ", ".join(sorted(partner.require)) or "nothing"),
                ("relax", ", ".join(sorted(partner.relax)) or "nothing"),
                ("MDNs to", ", ".join(partner.mdn_urls) or "the answer only"),
                ("match", ", ".join((match.subject, *match.san)) if match else None),
                ("AS2 version", partner.as2_version),
                ("async ack", partner.async_ack),
                ("keep days", partner.retention_days),
                ("keep bytes", partner.retention_max_bytes),
            ]
        )
        say_fields([(heading, line) for _, heading, line in _more_fields(directory)])
    for each in shown.certificates:
        certificate = each.certificate
        say()
        say(f"{each.use}: {certificate.subject}")
        say_fields(
            [
                ("file", each.place.relative_to(directory) if each.place != directory else None),
                ("issuer", certificate.issuer),
                ("serial", f"{certificate.serial:x}"),
                ("names", ", ".join(certificate.san)),
                ("valid", f"{moment(certificate.not_before)} to {moment(certificate.not_after)}"),
                ("days left", each.left),
                ("sha256", certificate.sha256),
            ],
            indent="  ",
        )
    for problem in warnings:
        say(f"warning: {problem}")


def _more_fields(directory: Path) -> list[tuple[str, str, str]]:
    """Lines about revocation and dates, each with its key in JSON and its heading."""
    lines = proposal.describe(load_partner(directory))
    headings = {"revocation": proposal.REVOCATION, "dates": proposal.DATES, "revocation_lists": proposal.LISTS}
    return [(key, heading, line) for key, heading in headings.items() for line in lines.get(heading, ())]


def _switch(directory: Path, *, disabled: bool) -> None:
    path, word = directory / partner_toml.SETTINGS, "disabled" if disabled else "in use"
    try:
        if path.is_symlink():
            raise click.ClickException(f"{path} is a symbolic link; mtlsd does not modify it, change its target")
        with writing.locked(directory.parent):
            content = read_file(path)
            text = content.data.decode()
            changed = proposal.with_disabled(text, disabled=disabled)
            if changed != text:
                writing.write_file(path, changed.encode(), content.mode, overwrite=True)
    except (FileRefused, ValueError) as error:
        raise click.ClickException(f"{path}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    say(f"{directory.name} is {word}" + (" already" if changed == text else ""))
