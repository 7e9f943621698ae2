"""`mtlsd journal payload`: the document of a message, byte for byte."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import click

from mtlsd.cli.files import write_errors
from mtlsd.cli.journal.opening import check_contents, end, message_of, open_spool, open_stored, with_id
from mtlsd.cli.options import PATH, with_configuration
from mtlsd.config.model import Configuration
from mtlsd.journal.integrity import open_intact


@click.command()
@with_configuration
@with_id
@click.option("--output", type=PATH, help="Write to this new file instead of stdout.")
@click.option(
    "--original", is_flag=True, help="Write the body of the AS2 message as received, instead of its document."
)
def payload(configuration: Configuration, id_or_message_id: str, output: Path | None, original: bool) -> None:
    """Write the document of a message, byte for byte.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. If the stored document has been changed,
    nothing is written. An existing file is not overwritten. Nothing is written to a terminal, because a document may
    contain control characters.

    \b
    Examples:
      mtlsd journal payload '<42@acme.example>' --output order.edi
      mtlsd journal payload '<42@acme.example>' | less

    Exit codes: 0 success; 1 the document cannot be read or written, no such message, or no journal; 78 the
    configuration file has errors.
    """
    if output is None and sys.stdout.isatty():
        end("a document is not written to a terminal: use --output FILE, or pipe the output into a pager")
    with open_stored(configuration) as opened:
        message = message_of(opened, id_or_message_id)
        spool = open_spool(configuration)
        name = message.original if original else message.payload
        check_contents(opened, message)
        if name is None:
            end("there is no document, because the message is encrypted to a key that is not here; use --original")
        with open_intact(opened, spool, message, name) as source:
            copy_out(source, output)


def copy_out(source: BinaryIO, output: Path | None) -> None:
    """Write the bytes to stdout, or to a new file with mode 0600."""
    if output is None:
        shutil.copyfileobj(source, sys.stdout.buffer)
        return
    with write_errors(output):
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as sink:
                shutil.copyfileobj(source, sink)
        except OSError:
            with suppress(OSError):
                output.unlink()  # part of a document is worse than none
            raise
