"""Finds the directory of a partner that a command names."""

import os
from pathlib import Path

import click

from mtlsd.cli.files import why
from mtlsd.config.model import Configuration
from mtlsd.files.reading import missing_directory
from mtlsd.text import printable


def directory_of(configuration: Configuration, name: str) -> Path:
    """The partner's directory; ends the command if there is none."""
    partners = configuration.server.certs / "partners"
    check_readable(partners)
    directory = partners / name
    if name == "" or name.startswith(".") or "/" in name or "\0" in name:
        raise click.ClickException(f"{printable(name)!r} is not a valid partner name")
    if problem := missing_directory(directory):
        raise click.ClickException(printable(str(problem)))
    if directory.is_symlink() or not directory.is_dir():
        raise click.ClickException(f"{directory} is a link or a file; mtlsd does not modify it, change it yourself")
    return directory


def check_readable(directory: Path) -> None:
    """End the command if the directory cannot be listed and searched: that is not the same as "no partners"."""
    try:
        os.listdir(directory)  # noqa: PTH208  # the list is not wanted, the error is
        os.stat(f"{directory}/.")  # noqa: PTH116  # a Path would lose the dot, which asks for search permission
    except OSError as error:
        raise click.ClickException(f"{directory} cannot be read: {why(error)}") from error
