"""`mtlsd partner`."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.options import load_configuration, with_config, with_json
from mtlsd.cli.output import say, say_json, say_table


@click.group()
def partner() -> None:
    """Look at the trading partners.

    \b
    Example:
      mtlsd partner list
    """


@partner.command("list")
@with_config
@with_json
def list_partners(file: Path, as_json: bool) -> None:
    """List the partners: their AS2 ids, hosts, certificates, and whether they are in use.

    A partner is disabled where its partner.toml has a mistake or it has no certificate; `mtlsd check` says more.

    \b
    Example:
      mtlsd partner list --json

    Exit codes: 0 fine, also where a partner is disabled; 1 partners/ cannot be read; 78 the configuration file has
    mistakes.
    """
    from mtlsd.cli import survey

    configuration = load_configuration(file)
    certs = configuration.server.certs
    _look_into(certs / "partners")
    found = survey.partners_in(certs, datetime.now(UTC), configuration)
    if as_json:
        say_json([each.as_json() for each in found.partners])
        return
    headings = ("NAME", "AS2 ID", "HOSTS", "CERTIFICATES", "STATE")
    rows = [(each.name, each.ids, each.where, each.days, each.state) for each in found.partners]
    say_table(headings, rows, fold="STATE")
    if not rows:
        say(f"no partners in {certs / 'partners'}")


def _look_into(directory: Path) -> None:
    """End the command where this is no directory that can be listed and searched: that is not "no partners"."""
    try:
        os.listdir(directory)  # noqa: PTH208  # the list is not wanted, the error is
        os.stat(f"{directory}/.")  # noqa: PTH116  # a Path would lose the dot, which asks for search permission
    except OSError as error:
        advice = ": run this as root or as the user of mtlsd" if isinstance(error, PermissionError) else ""
        raise click.ClickException(f"{directory} cannot be read: {error.strerror}{advice}") from error
