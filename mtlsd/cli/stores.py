"""The journal and the spool of a configuration, opened for a command; whatever goes wrong ends it with a sentence."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from mtlsd.cli.options import credentials, load_configuration
from mtlsd.cli.output import iso
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.terminal import printable

if TYPE_CHECKING:
    from mtlsd.journal import Journal, Message, Place, Refusal, Spool


@contextmanager
def open_stored(file: Path, *, read_only: bool = True) -> "Iterator[Journal]":
    """The journal of this configuration, opened; it is never made here."""
    from mtlsd.journal import node_name, open_journal

    with place_of(file) as place:
        chain = "" if read_only else node_name(place.state)  # nothing is entered by one who reads
        with closing(open_journal(place, chain=chain, read_only=read_only)) as opened:
            yield opened


@contextmanager
def place_of(file: Path) -> "Iterator[Place]":
    """Where the journal is; what goes wrong there ends the command."""
    from mtlsd.journal import NotIntact, Place

    server = load_configuration(file).server
    place = Place(server.journal, server.state, credentials())
    try:
        if place.url is None:
            place.file.stat()
    except FileNotFoundError as error:
        raise click.ClickException(f"there is no journal at {place}: the daemon makes it when it first runs") from error
    except OSError as error:
        raise click.ClickException(f"the journal at {place} cannot be read: {_why(error)}") from error
    try:
        yield place
    except NotIntact as error:
        raise click.ClickException(error.detail) from error
    except (JournalUnavailable, SpoolFull) as error:
        raise click.ClickException(f"the journal at {place} cannot be read: {_why(error)}") from error


def open_spool(directory: Path) -> "Spool":
    """The spool; that there is none ends the command."""
    from mtlsd.journal import Spool

    if not directory.is_dir():  # `Spool` would make it
        end(f"there is no spool at {directory}")
    return Spool(directory)


def message_of(opened: "Journal", id_or_message_id: str) -> "Message":
    """The message; that there is none ends the command."""
    found = opened.message(id_or_message_id)
    if found is None and opened.refusal(id_or_message_id):
        end("the message was refused: only its MDN is kept, see `mtlsd journal show`")
    return found or end("no such message in the journal")


def record_named(opened: "Journal", id_or_message_id: str) -> "Message | Refusal":
    """The message, or else the refusal; that there is neither ends the command."""
    return opened.message(id_or_message_id) or opened.refusal(id_or_message_id) or message_of(opened, id_or_message_id)


def check_contents(opened: "Journal", message: "Message") -> None:
    """That the contents were pruned ends the command, and says when."""
    gone = [each for each in opened.proof.evidence(message.id).entries if each.kind == "pruned"]
    if gone:
        end(f"its contents were let go on {iso(gone[-1].at)}: the record and the MDN are what is kept")


def end(words: str) -> NoReturn:
    click.echo(printable(words), err=True)
    sys.exit(1)


def _why(error: "OSError | JournalUnavailable | SpoolFull") -> str:
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, PermissionError):
        return f"{cause.strerror}: run this as root or as the user of mtlsd"
    return cause.strerror or str(cause) if isinstance(cause, OSError) else str(error)
