"""Reads and writes files for the commands; an error ends the command with a message."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from mtlsd.errors import MtlsdError
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.on_disk import read_public_file
from mtlsd.text import printable

CRLS = "and copy the list into the partner's directory"
USE_FORCE = ": use --force to overwrite it"


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """End the command with a message if the file cannot be read, or does not hold what it should hold."""
    try:
        yield
    except MtlsdError as error:
        raise click.ClickException(printable(f"{path}: {error}")) from error  # the error may quote the file


@contextmanager
def write_errors(path: Path, advice: str = ", and is never overwritten: give another path") -> Iterator[None]:
    """End the command with a message if the file or folder exists already, or cannot be written."""
    try:
        yield
    except FileExistsError as error:
        raise click.ClickException(f"{path} already exists{advice}") from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def certificates_in(path: Path, password: str | None = None) -> tuple[Certificate, ...]:
    """The certificates in a file of any format; a private key in the file is an error.

    Without `password`, the password in the file beside it is used, if there is one.
    """
    with read_errors(path):
        file = read_public_file(path, password=password, lists=True)
    if file.lists:
        raise click.ClickException(
            printable(f"{path} also holds a revocation list: give the certificates alone, {CRLS}")
        )
    return file.certificates


def refuse_link(path: Path) -> None:
    """End the command if this is a symbolic link, because its target may belong to somebody else."""
    if path.is_symlink():
        raise click.ClickException(f"{path} is a symbolic link; mtlsd does not modify it, change its target")


def why(error: OSError) -> str:
    """The reason of the operating system; with advice if this user lacks the permission."""
    advice = ": run this as root or as the user of mtlsd" if isinstance(error, PermissionError) else ""
    return f"{error.strerror or error}{advice}"


def end_unchanged(problems: Iterable[object]) -> None:
    """End the command if there are problems, and say that nothing is changed."""
    if words := [printable(str(each)) for each in problems]:
        raise click.ClickException("\n".join(("nothing is changed:", *words)))
