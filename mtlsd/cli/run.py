"""`mtlsd run`."""

import os
import sys
from pathlib import Path

import click

from mtlsd import app
from mtlsd.cli.options import problems, with_config


@click.command()
@with_config
@click.option("--verbose", is_flag=True, help="On a terminal, show every value of an event, and not one short line.")
def run(file: Path, *, verbose: bool) -> None:
    """Run the daemon in the foreground until SIGTERM or SIGINT.

    The daemon reloads the configuration and the certificates when their files change, and on SIGHUP. The log goes to
    stderr: one JSON object per line, or one short line for people if stderr is a terminal.

    \b
    Example:
      mtlsd run --config /etc/mtlsd/virtualhosts.toml

    Exit codes: 0 stopped by a signal; 1 the journal or the spool cannot be used, or another mtlsd uses the same
    `state`; 78 the configuration has errors.
    """
    with problems():
        code = app.run(file, verbose=verbose, colours=not os.environ.get("NO_COLOR"))
    sys.exit(code)
