"""The options that commands share, and what a mistake in the configuration does to them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from mtlsd.config.load import read_configuration
from mtlsd.config.model import Configuration
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.text import printable

EXIT_CONFIGURATION = 78  # sysexits.h: EX_CONFIG

with_config = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    default=Path("virtualhosts.toml"),
    show_default=True,
    envvar="MTLSD_CONFIG",
    show_envvar=True,
    help="The configuration file.",
)
with_json = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")


class Mistakes(click.ClickException):
    """Ends the command: every mistake on a line of its own, on stderr."""

    exit_code = EXIT_CONFIGURATION

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("the configuration has mistakes")
        self.problems = problems

    def show(self, file: IO[Any] | None = None) -> None:
        for problem in self.problems:
            click.echo(printable(str(problem)), file=file, err=file is None)


@contextmanager
def mistakes() -> Iterator[None]:
    """Turn a ConfigurationError into the end of the command."""
    try:
        yield
    except ConfigurationError as error:
        raise Mistakes(error.problems) from error


def load_configuration(file: Path) -> Configuration:
    """Read the configuration file alone, without certificates; every mistake ends the command."""
    with mistakes():
        return read_configuration(file)


def credentials() -> Path | None:
    """The directory of systemd's credentials, where there is one."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None
