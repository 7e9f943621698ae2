"""`mtlsd journal payload`: the document of a message, octet for octet."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import click

from mtlsd.cli.journal.opening import check_contents, end, message_of, open_spool, open_stored
from mtlsd.cli.options import load_configuration, with_config
from mtlsd.journal.integrity import open_intact


@click.command()
@with_config
@click.argument("id_or_message_id", metavar="ID")
@click.option("--output", type=click.Path(path_type=Path), help="Write it to this new file, not to stdout.")
@click.option("--original", is_flag=True, help="The body of the AS2 message as it came, instead of its document.")
def payload(file: Path, id_or_message_id: str, output: Path | None, original: bool) -> None:
    """Write the document of a message, octet for octet: ID is ours, or the Message-ID that the partner gave it.

    Nothing is written of a document that is not what was kept. What is there already is not overwritten. To a terminal
    nothing is written, for a document may hold anything.

    \b
    Examples:
      mtlsd journal payload '<42@acme.example>' --output order.edi
      mtlsd journal payload '<42@acme.example>' | less

    Exit codes: 0 fine; 1 it cannot be read or written, no such message, or no journal; 78 the configuration file has
    mistakes.
    """
    if output is None and sys.stdout.isatty():
        end("a document is not written to a terminal: give --output FILE, or pipe it into a pager")
    directory = load_configuration(file).server.spool_directory
    with open_stored(file) as opened:
        message = message_of(opened, id_or_message_id)
        spool = open_spool(directory)
        name = message.original if original else message.payload
        check_contents(opened, message)
        if name is None:
            end("there is no document: the message is for a key that is not here; --original has it as it came")
        with open_intact(opened, spool, message, name) as source:
            _copy(source, output)


def _copy(source: BinaryIO, output: Path | None) -> None:
    if output is None:
        shutil.copyfileobj(source, sys.stdout.buffer)
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as sink:
            shutil.copyfileobj(source, sink)
    except FileExistsError as error:
        raise click.ClickException(f"{output} is there already: it is not overwritten") from error
    except OSError as error:
        with suppress(OSError):
            output.unlink()  # half a document is worse than none
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
