"""Passphrases: from a file or a prompt, never from the command line, where everybody on the machine can read them."""

import stat
import sys
from pathlib import Path

import click

from mtlsd.files.reading import FileRefused, read_file

MAX_PASSPHRASE = 1024  # octets
MIN_NEW = 12  # characters of one for a file that may be tried at leisure

a_path = click.Path(path_type=Path)
passphrase_file = click.option(
    "--passphrase-file", type=a_path, help="The passphrase, in the first line of this file; else it is asked for."
)


def read_passphrase(file: Path | None, prompt: str, *, confirm: bool = False) -> bytes:
    """The first line of the file, or what is typed; what is no passphrase ends the command."""
    if file is not None:
        return _from_file(file)
    if not sys.stdin.isatty():
        raise click.ClickException("no terminal to ask for a passphrase: name a file with --passphrase-file")
    text: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return _checked(text.encode(), "what was typed")


def check_strength(passphrase: bytes) -> None:
    """End the command where a new passphrase is so short that it can be guessed."""
    if len(passphrase.decode(errors="replace")) < MIN_NEW:
        raise click.ClickException(
            f"the passphrase is too short: {MIN_NEW} characters or more, such as four random words"
        )


def _from_file(file: Path) -> bytes:
    try:
        content = read_file(file)
    except FileRefused as error:
        raise click.ClickException(f"{file} {error}") from error
    if content.mode & (stat.S_IROTH | stat.S_IWOTH):
        raise click.ClickException(
            f"{file} is open to everybody (mode {content.mode:04o}): chmod 600, and take another"
        )
    return _checked(content.data.splitlines()[0] if content.data else b"", str(file))


def _checked(passphrase: bytes, source: str) -> bytes:
    if not 0 < len(passphrase) <= MAX_PASSPHRASE:
        raise click.ClickException(f"{source} holds no passphrase: 1 to {MAX_PASSPHRASE} octets in the first line")
    return passphrase
