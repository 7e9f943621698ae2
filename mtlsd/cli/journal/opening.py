"""Opens the journal and the spool of a configuration for a command; errors end the command with a message."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NoReturn

import click

from mtlsd.cli.files import why
from mtlsd.cli.options import credentials
from mtlsd.cli.output import iso, say
from mtlsd.config.model import Configuration
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.integrity import NotIntact
from mtlsd.journal.location import Place, open_journal
from mtlsd.journal.model import Message, Refusal
from mtlsd.journal.proof.checkpoints import CheckpointUnreadable, node_name
from mtlsd.journal.search import Search
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal

with_id = click.argument("id_or_message_id", metavar="ID")
MAX_HITS = 20  # messages and refusals that are listed if a Message-ID is ambiguous


@contextmanager
def open_stored(configuration: Configuration, *, read_only: bool = True) -> Iterator[Journal]:
    """The opened journal of this configuration; it is never created here."""
    with place_of(configuration) as place:
        chain = "" if read_only else node_name(place.state)  # a reader enters nothing
        with closing(open_journal(place, chain=chain, read_only=read_only)) as opened:
            yield opened


@contextmanager
def place_of(configuration: Configuration) -> Iterator[Place]:
    """The place of the journal; errors of the journal end the command."""
    server = configuration.server
    place = Place(server.journal, server.state, credentials())
    try:
        if place.url is None:
            place.file.stat()
    except FileNotFoundError as error:
        text = f"there is no journal at {place}: the daemon creates it when it first runs"
        raise click.ClickException(text) from error
    except OSError as error:
        raise click.ClickException(f"the journal at {place} cannot be read: {why(error)}") from error
    try:
        yield place
    except (NotIntact, CheckpointUnreadable) as error:
        raise click.ClickException(error.detail) from error
    except (JournalUnavailable, SpoolFull) as error:
        what, reason, cause = f"the journal at {place}", str(error), error.__cause__
        if isinstance(cause, OSError):  # to whose text the journal and the spool add nothing
            what, reason = cause.filename or what, why(cause)
        raise click.ClickException(f"{what} cannot be read: {reason}") from error


def open_spool(configuration: Configuration) -> Spool:
    """The spool; ends the command if there is none."""
    directory = configuration.server.spool_directory
    if not directory.is_dir():  # `Spool` would create it
        end(f"there is no spool at {directory}")
    return Spool(directory)


def message_of(opened: Journal, id_or_message_id: str) -> Message:
    """The message; ends the command if there is none, or more than one."""
    found = record_named(opened, id_or_message_id)
    if not isinstance(found, Message):
        end("the message was refused, and only its MDN is stored: see `mtlsd journal show`")
    return found


def record_named(opened: Journal, id_or_name: str) -> Message | Refusal:
    """The message or refusal with this id, Message-ID or file name; ends the command if there is none, or several."""
    found = _with_id(opened, id_or_name) or _hits(opened.named(id_or_name, MAX_HITS))
    what = "Message-ID"
    if not found:
        found, what = _with_filename(opened, id_or_name), "file name"
    if not found:
        end("the journal has no such message")
    if len(found) > 1:
        count = f"{len(found)} or more" if len(found) == MAX_HITS else len(found)
        end(f"{count} messages have this {what}: use one of these ids", *map(_hit, found))
    return found[0]


def _with_filename(opened: Journal, name: str) -> list[Message | Refusal]:
    """The messages with this file name, in upper or lower case, the newest first."""
    if not name:
        return []
    listed = opened.messages(limit=MAX_HITS, search=Search(filename=name, is_glob=False))
    return [each.message for each in listed]


def _with_id(opened: Journal, id_: str) -> list[Message | Refusal]:
    """The records with exactly this id, and not with an equal Message-ID."""
    return [each for each in (opened.message(id_), opened.refusal(id_)) if each and each.id == id_]


def _hits(named: list[Message | Refusal]) -> list[Message | Refusal]:
    """The records that may be meant: without refusals of messages that the same partner sent again and we accepted."""
    accepted = {(each.partner, each.as2_to) for each in named if isinstance(each, Message)}
    return [each for each in named if isinstance(each, Message) or (each.partner, each.as2_to) not in accepted]


def _hit(about: Message | Refusal) -> str:
    what = "accepted" if isinstance(about, Message) else f"refused, {about.reason},"
    when = iso(about.received_at if isinstance(about, Message) else about.refused_at)
    return f"  {about.id}  of {about.partner}, {about.as2_from} to {about.as2_to}: {what} at {when}"


def check_contents(opened: Journal, message: Message) -> None:
    """End the command if the contents were pruned, and say when."""
    gone = [each for each in opened.proof.evidence(message.id).entries if each.kind == "pruned"]
    if gone:
        end(f"the contents of the message were deleted on {iso(gone[-1].at)}: only its record and MDN are stored")


def end(*lines: str) -> NoReturn:
    for line in lines:
        say(line, err=True)
    sys.exit(1)
