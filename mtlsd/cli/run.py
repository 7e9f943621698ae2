"""`mtlsd run`."""

import sys
from pathlib import Path

import click

from mtlsd import app
from mtlsd.cli.options import mistakes, with_config


@click.command()
@with_config
def run(file: Path) -> None:
    """Run the daemon in the foreground until SIGTERM or SIGINT.

    SIGHUP reloads the configuration and the certificates; so does a change of the files. The log goes to stderr,
    one JSON object a line.

    \b
    Example:
      mtlsd run --config /etc/mtlsd/virtualhosts.toml

    Exit codes: 0 stopped by a signal; 1 the journal or the spool cannot be used, or another mtlsd runs on the same
    `state`; 78 the configuration has mistakes.
    """
    with mistakes():
        code = app.run(file)
    sys.exit(code)
