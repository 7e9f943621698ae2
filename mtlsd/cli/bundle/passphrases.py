"""Passphrases from a file or a prompt, never from the command line, which everybody on the machine can read."""

import stat
import sys
from pathlib import Path

import click

from mtlsd.files.reading import FileRefused, read_file

MAX_PASSPHRASE = 1024  # bytes
MIN_NEW = 12  # characters of a new passphrase; a bundle can be attacked offline

IN_FILE = "File whose first line is the passphrase; otherwise you are asked."  # the help of --passphrase-file


def read_passphrase(file: Path | None, prompt: str, *, confirm: bool = False) -> bytes:
    """The first line of the file, or typed input; ends the command if that is not a passphrase."""
    if file is not None:
        return _from_file(file)
    if not sys.stdin.isatty():
        raise click.ClickException("no terminal to ask for a passphrase: give a file with --passphrase-file")
    text: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return _checked(text.encode(), "the input")


def check_strength(passphrase: bytes) -> None:
    """End the command if a new passphrase is short enough to be guessed."""
    if len(passphrase.decode(errors="replace")) < MIN_NEW:
        raise click.ClickException(
            f"the passphrase is too short: use {MIN_NEW} characters or more, such as four random words"
        )


def _from_file(file: Path) -> bytes:
    try:
        content = read_file(file)
    except FileRefused as error:
        raise click.ClickException(f"{file} {error}") from error
    if content.mode & (stat.S_IROTH | stat.S_IWOTH):
        raise click.ClickException(
            f"everybody can access {file} (mode {content.mode:04o}): chmod 600 it, and choose a new passphrase"
        )
    return _checked(content.data.splitlines()[0] if content.data else b"", str(file))


def _checked(passphrase: bytes, source: str) -> bytes:
    if not 0 < len(passphrase) <= MAX_PASSPHRASE:
        raise click.ClickException(f"{source} has no passphrase: the first line must have 1 to {MAX_PASSPHRASE} bytes")
    return passphrase
