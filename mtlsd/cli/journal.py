"""`mtlsd journal`."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import click

from mtlsd.cli import listing
from mtlsd.cli.explain import candidates, say_candidates
from mtlsd.cli.listing import STATES, Moment, Wanted
from mtlsd.cli.options import credentials, load_configuration, with_config, with_json
from mtlsd.cli.output import iso, say, say_fields, say_json, say_text
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.terminal import printable

if TYPE_CHECKING:
    from mtlsd.as2 import Candidate
    from mtlsd.journal import Attempt, Delivery, Journal, Message, Place, Refusal, StoredMDN

INLINE = "journal/"  # begins the name of a document that the journal itself holds


@click.group()
def journal() -> None:
    """Look at what was received, and what became of it.

    What the backend refused is tried again with `replay`. The daemon may run meanwhile. Times are UTC.

    \b
    Examples:
      mtlsd journal list --state failed
      mtlsd journal show '<42@acme.example>'
      mtlsd journal replay '<42@acme.example>'
    """


@journal.command("list")
@with_config
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, at most.")
@click.option("--partner", metavar="NAME", help="Only the messages of this partner.")
@click.option("--state", type=click.Choice(STATES), help="Only those whose delivery to the backend stands so.")
@click.option("--reason", metavar="CODE", help="Only those with this reason: a delivery's last one, or a refusal's.")
@click.option("--since", type=Moment(), help="Only those received then or later: a time in UTC, or an age such as 36h.")
@click.option("--until", type=Moment(), help="Only those received before.")
@click.option("--before", metavar="ID", help="Only those older than this one: the last ID of the page before.")
@click.option("--follow", is_flag=True, help="Go on with each one that is new or whose state changes, until Ctrl-C.")
@with_json
def list_messages(file: Path, as_json: bool, follow: bool, **wanted: Any) -> None:
    """List the accepted messages, the newest first.

    Refused messages are in the journal only where their MDN is asynchronous: --state refused lists them, and --reason
    finds them, too. With --follow the newest come last, and --json writes one object a line.

    \b
    Examples:
      mtlsd journal list --partner acme --state pending --limit 10
      mtlsd journal list --reason upstream_timeout --since 2026-11-21T08:00 --until 2026-11-21T12:00
      mtlsd journal list --state failed --follow --json

    Exit codes: 0 fine, also where nothing is found; 1 there is no journal, or it cannot be read; 78 the configuration
    file has mistakes.
    """
    looked_for = Wanted(**wanted)
    if not follow:
        with _journal(file) as opened:
            listing.show(opened, looked_for, as_json=as_json)
        return
    with suppress(KeyboardInterrupt):
        wait = partial(time.sleep, listing.POLL_SECONDS)
        listing.follow(partial(_journal, file), looked_for, as_json=as_json, wait=wait)


@journal.command()
@with_config
@click.argument("id_or_message_id", metavar="ID")
@click.option(
    "--mic",
    is_flag=False,
    flag_value="",
    metavar="[VALUE]",
    help="List every digest that could be the MIC; or name what a partner hashed who says VALUE.",
)
@with_json
def show(file: Path, id_or_message_id: str, mic: str | None, as_json: bool) -> None:
    """Show everything about one message: ID is ours, or the Message-ID that the partner gave it.

    With --mic the message is read once more: each layer, with and without its MIME header, in each form of line ends.
    A refused message is in the journal only where its MDN is asynchronous.

    \b
    Examples:
      mtlsd journal show '<42@acme.example>' --json
      mtlsd journal show '<42@acme.example>' --mic 'I3lAbuA+WYm23+1xDyqyVjFFmDE=, sha1'

    Exit codes: 0 fine; 1 no such message or no journal; 78 the configuration file has mistakes.
    """
    if mic is not None:
        _show_mic(file, id_or_message_id, mic, as_json)
        return
    with _journal(file) as opened:
        about = _told(opened, id_or_message_id)
        attempted = [(each, opened.attempts(each.id)) for each in opened.deliveries(about.id)]
    if as_json:
        say_json(_whole(about, attempted))
    else:
        _say_about(about)
        _say_deliveries(attempted)
        _say_mdn(about.mdn)


def _show_mic(file: Path, id_or_message_id: str, mic: str, as_json: bool) -> None:
    with _journal(file) as opened:
        message = _found(opened, id_or_message_id)
        check_contents(opened, message)
        found = candidates(file, opened, message)
    if as_json:
        say_json([_candidate(each) for each in found])
    else:
        say_candidates(found, message.mic, mic)


@journal.command()
@with_config
@click.argument("id_or_message_id", metavar="ID")
@click.option("--any-backend", is_flag=True, help="Also to another backend than the one that may have it already.")
def replay(file: Path, id_or_message_id: str, any_backend: bool) -> None:
    """Make the failed delivery of a message due again: ID is ours, or the Message-ID that the partner gave it.

    A daemon that runs attempts it within a minute; otherwise the next one does. The age of a delivery counts from the
    acceptance of the message: one that is older than give_up_after_seconds gets a single attempt. Of several backends,
    one that got some of the message and did not answer gets it again, and no other, but with --any-backend.

    \b
    Example:
      mtlsd journal replay '<42@acme.example>'

    Exit codes: 0 it is due; 1 nothing of this message is failed, no such message, or no journal; 78 the configuration
    file has mistakes.
    """

    def requeue(opened: "Journal", delivery_id: str, now: float) -> None:
        opened.requeue(delivery_id, now, unpin=any_backend)

    for each in _step(file, id_or_message_id, ("failed",), requeue):
        say(f"delivery {each.id} to {each.target} is due again; the daemon attempts it within a minute")


@journal.command()
@with_config
@click.argument("id_or_message_id", metavar="ID")
def drop(file: Path, id_or_message_id: str) -> None:
    """Give up the deliveries of a message that are failed or wait: ID is ours, or the Message-ID of the partner.

    Nobody will make them any more, and in an ordered line those behind them go on. The message and its documents stay
    in the journal.

    \b
    Example:
      mtlsd journal drop '<42@acme.example>'

    Exit codes: 0 dropped; 1 nothing of this message is failed or waits, no such message, or no journal; 78 the
    configuration file has mistakes.
    """
    for each in _step(file, id_or_message_id, ("failed", "pending"), lambda opened, id_, now: opened.drop(id_, now)):
        say(f"delivery {each.id} to {each.target} is dropped")


def _step(
    file: Path, id_or_message_id: str, states: tuple[str, ...], step: "Callable[[Journal, str, float], None]"
) -> "list[Delivery]":
    """Take a step with every delivery that is in one of the states; that there is none ends the command."""
    from mtlsd.journal import TransitionRefused

    now = datetime.now(UTC).timestamp()
    with _journal(file, read_only=False) as opened:
        deliveries = opened.deliveries(_told(opened, id_or_message_id).id)
        fitting = [each for each in deliveries if each.state in states]
        try:
            for each in fitting:
                step(opened, each.id, now)
        except TransitionRefused as error:  # somebody was quicker
            raise click.ClickException(str(error)) from error
    if not fitting:
        stand = "; ".join(f"the delivery to {each.target} is {each.state}" for each in deliveries)
        _end(f"nothing to do: {stand or 'the message has no delivery'}")
    return fitting


@journal.command()
@with_config
@click.argument("id_or_message_id", metavar="ID")
@click.option("--output", type=click.Path(path_type=Path), help="Write it to this new file, not to stdout.")
@click.option("--original", is_flag=True, help="The body of the AS2 message as it came, instead of its document.")
def payload(file: Path, id_or_message_id: str, output: Path | None, original: bool) -> None:
    """Write the document of a message, octet for octet: ID is ours, or the Message-ID that the partner gave it.

    What is there already is not overwritten. To a terminal nothing is written, for a document may hold anything.

    \b
    Examples:
      mtlsd journal payload '<42@acme.example>' --output order.edi
      mtlsd journal payload '<42@acme.example>' | less

    Exit codes: 0 fine; 1 it cannot be read or written, no such message, or no journal; 78 the configuration file has
    mistakes.
    """
    from mtlsd.journal import Spool, open_document

    if output is None and sys.stdout.isatty():
        _end("a document is not written to a terminal: give --output FILE, or pipe it into a pager")
    spool = load_configuration(file).server.spool_directory
    with _journal(file) as opened:
        message = _found(opened, id_or_message_id)
        if not spool.is_dir():  # `Spool` would make it
            _end(f"there is no spool at {spool}")
        name = message.original if original else message.payload
        check_contents(opened, message)
        if name is None:
            _end("there is no document: the message is for a key that is not here; --original has it as it came")
        with open_document(opened, Spool(spool), name) as source:
            _copy(source, output)


@journal.command()
@with_config
def migrate(file: Path) -> None:
    """Bring the journal to the version of this mtlsd: in one transaction, so all of it or nothing.

    A PostgreSQL database needs it before the first start, and after an update that says so: stop every node before.
    SQLite does not: the daemon does the same at its start. Make a backup first.

    \b
    Example:
      mtlsd journal migrate

    Exit codes: 0 the journal has our version; 1 it cannot be used, or is from a newer mtlsd; 78 the configuration file
    has mistakes.
    """
    from mtlsd.journal import migrate_journal

    with _where(file) as place:
        before, after = migrate_journal(place)
    if before == after:
        say(f"the journal at {place} has version {after} already")
    else:
        say(f"the journal at {place} has version {after} now; it was {before or 'empty'}")


def check_contents(opened: "Journal", message: "Message") -> None:
    """That the contents were pruned ends the command, and says when."""
    gone = [each for each in opened.proof.evidence(message.id).entries if each.kind == "pruned"]
    if gone:
        _end(f"its contents were let go on {iso(gone[-1].at)}: the record and the MDN are what is kept")


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


@contextmanager
def _journal(file: Path, *, read_only: bool = True) -> "Iterator[Journal]":
    """The journal of this configuration, opened; it is never made here."""
    from mtlsd.journal import node_name, open_journal

    with _where(file) as place:
        chain = "" if read_only else node_name(place.state)  # nothing is entered by one who reads
        with closing(open_journal(place, chain=chain, read_only=read_only)) as opened:
            yield opened


@contextmanager
def _where(file: Path) -> "Iterator[Place]":
    """Where the journal is; what goes wrong there ends the command."""
    from mtlsd.journal import Place

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
    except (JournalUnavailable, SpoolFull) as error:
        raise click.ClickException(f"the journal at {place} cannot be read: {_why(error)}") from error


def _why(error: "OSError | JournalUnavailable | SpoolFull") -> str:
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, PermissionError):
        return f"{cause.strerror}: run this as root or as the user of mtlsd"
    return cause.strerror or str(cause) if isinstance(cause, OSError) else str(error)


def _found(opened: "Journal", id_or_message_id: str) -> "Message":
    """The message; that there is none ends the command."""
    found = opened.message(id_or_message_id)
    if found is None and opened.refusal(id_or_message_id):
        _end("the message was refused: only its MDN is kept, see `mtlsd journal show`")
    return found or _end("no such message in the journal")


def _told(opened: "Journal", id_or_message_id: str) -> "Message | Refusal":
    """The message, or else the refusal whose MDN is asynchronous; that there is neither ends the command."""
    return opened.message(id_or_message_id) or opened.refusal(id_or_message_id) or _found(opened, id_or_message_id)


def _end(words: str) -> NoReturn:
    click.echo(printable(words), err=True)
    sys.exit(1)


# --- Text -----------------------------------------------------------------------------------------------------


def _say_about(about: "Message | Refusal") -> None:
    from mtlsd.journal import Message

    if isinstance(about, Message):
        _say_message(about)
    else:
        _say_refusal(about)


def _say_refusal(refusal: "Refusal") -> None:
    say_fields(
        [
            ("id", refusal.id),
            ("Message-ID", refusal.message_id),
            ("AS2-From", refusal.as2_from),
            ("AS2-To", refusal.as2_to),
            ("partner", refusal.partner),
            ("refused", iso(refusal.refused_at)),
            ("reason", refusal.reason),
            ("at", refusal.host),
            ("request id", refusal.request_id),
        ]
    )


def _say_message(message: "Message") -> None:
    mic = f"{message.mic}, {message.mic_algorithm}" if message.mic else None
    say_fields(
        [
            ("id", message.id),
            ("Message-ID", message.message_id),
            ("AS2-From", message.as2_from),
            ("AS2-To", message.as2_to),
            ("partner", message.partner),
            ("received", iso(message.received_at)),
            ("at", f"{message.host}{message.route}"),
            ("request id", message.request_id),
            ("subject", message.subject),
            ("file name", message.filename),
            ("content type", message.content_type),
            ("bytes", message.size),
            ("compressed", ("yes" if message.compressed else "no") if message.payload else "not known"),
            ("signed by", message.signer_sha256 or ("nobody" if message.payload else "not known")),
            ("encrypted with", message.encrypted_with or "nothing"),
            ("MIC", mic),
            ("payload", _place(message.payload, message.size) if message.payload else "not opened"),
            ("original", _place(message.original, message.original_size)),
            *(("note", note) for note in message.notes),
        ]
    )
    say()
    say("request")
    say_fields(message.headers, indent="  ")


def _place(name: str, size: int) -> str:
    return f"in the journal ({size} bytes)" if name.startswith(INLINE) else name


def _say_deliveries(deliveries: "list[tuple[Delivery, list[Attempt]]]") -> None:
    for delivery, attempts in deliveries:
        say()
        say(f"delivery {delivery.id} to {delivery.target}: {delivery.state}")
        pending = delivery.state == "pending"
        times = [("next attempt", iso(delivery.not_before) if pending else None), ("ended", iso(delivery.finished_at))]
        say_fields([("kind", delivery.kind), *times, ("lease until", iso(delivery.lease_until))], indent="  ")
        for each in attempts:
            outcome = " ".join(str(word) for word in (each.status, each.reason, each.detail) if word)
            say(f"  attempt {each.number}  {iso(each.started_at)}  {outcome}")


def _say_mdn(mdn: "StoredMDN | None") -> None:
    say()
    if mdn is None:
        say("no MDN: none was asked for")
        return
    say("MDN")
    say_fields(mdn.headers, indent="  ")
    say()
    say_text(mdn.body.decode("latin-1"), indent="  ")


# --- JSON -----------------------------------------------------------------------------------------------------


def _whole(about: "Message | Refusal", deliveries: "list[tuple[Delivery, list[Attempt]]]") -> dict[str, object]:
    mdn = about.mdn and {"headers": about.mdn.headers, "body": about.mdn.body.decode("latin-1")}
    values = asdict(about)
    values = _with_times(values, "refused_at" if "refused_at" in values else "received_at")
    return {**values, "mdn": mdn, "deliveries": [_delivery(*each) for each in deliveries]}


def _delivery(delivery: "Delivery", attempts: "list[Attempt]") -> dict[str, object]:
    values = _with_times(asdict(delivery), "not_before", "created_at", "lease_until", "finished_at")
    tried = [_with_times(asdict(each), "started_at", "finished_at") for each in attempts]
    return {**values, "attempts_made": delivery.attempts, "attempts": tried}


def _candidate(candidate: "Candidate") -> dict[str, str]:
    mic = candidate.mic
    return {"what": candidate.what, "form": candidate.form, "algorithm": mic.algorithm, "value": mic.value}


def _with_times(values: dict[str, object], *names: str) -> dict[str, object]:
    for name in names:
        seconds = values[name]
        assert seconds is None or isinstance(seconds, float | int)
        values[name] = iso(seconds)
    return values
