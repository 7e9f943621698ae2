"""`mtlsd journal`: its group, and the commands that look at what is there."""

import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from mtlsd.cli.journal import listing
from mtlsd.cli.journal.listing import STATES, Moment, Wanted
from mtlsd.cli.journal.mic import candidates, say_candidates
from mtlsd.cli.journal.opening import check_contents, message_of, open_stored, place_of, record_named
from mtlsd.cli.journal.show import candidate, say_about, say_deliveries, say_mdn, whole
from mtlsd.cli.journal.suggestions import ReasonCode, knows_partner, nobody
from mtlsd.cli.options import load_configuration, with_config, with_json
from mtlsd.cli.output import say, say_json
from mtlsd.journal.location import migrate_journal
from mtlsd.journal.protocol import Journal
from mtlsd.text import printable


@click.command("list")
@with_config
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, at most.")
@click.option("--partner", metavar="NAME", help="Only the messages of this partner.")
@click.option("--state", type=click.Choice(STATES), help="Only those whose delivery to the backend stands so.")
@click.option(
    "--reason",
    metavar="CODE",
    type=ReasonCode(),
    help="Only those with this reason: a delivery's last one, or a refusal's.",
)
@click.option("--since", type=Moment(), help="Only those received then or later: a time in UTC, or an age such as 36h.")
@click.option("--until", type=Moment(), help="Only those received before.")
@click.option("--before", metavar="ID", help="Only those older than this one: the last ID of the page before.")
@click.option("--follow", is_flag=True, help="Go on with each one that is new or whose state changes, until Ctrl-C.")
@with_json
def list_messages(file: Path, as_json: bool, follow: bool, **wanted: Any) -> None:
    """List the accepted messages, the newest first.

    Refused messages are there where TLS or a signature proved who sent them: --state refused lists them, and --reason
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
        with open_stored(file) as opened:
            if not listing.show(opened, looked_for, as_json=as_json):
                _say_hints(opened, file, looked_for)
        return
    with suppress(KeyboardInterrupt):
        wait = partial(time.sleep, listing.POLL_SECONDS)
        listing.follow(partial(open_stored, file), looked_for, as_json=as_json, wait=wait)


def _say_hints(opened: Journal, file: Path, wanted: Wanted) -> None:
    """Why there may be nothing, on stderr: a name or an id that stands for nothing."""
    certs = load_configuration(file).server.certs
    if wanted.partner is not None and not knows_partner(opened, certs, wanted.partner):
        click.echo(printable(nobody(certs, wanted.partner)), err=True)
    if wanted.before is not None and not (opened.message(wanted.before) or opened.refusal(wanted.before)):
        click.echo(printable(f"--before {wanted.before}: nothing in the journal has this id"), err=True)


@click.command()
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
    Of a refused message the journal has the reason and the MDN, where TLS or a signature proved who sent it.

    \b
    Examples:
      mtlsd journal show '<42@acme.example>' --json
      mtlsd journal show '<42@acme.example>' --mic 'I3lAbuA+WYm23+1xDyqyVjFFmDE=, sha1'

    Exit codes: 0 fine; 1 no such message or no journal; 78 the configuration file has mistakes.
    """
    if mic is not None:
        _show_mic(file, id_or_message_id, mic, as_json)
        return
    with open_stored(file) as opened:
        about = record_named(opened, id_or_message_id)
        attempted = [(each, opened.attempts(each.id)) for each in opened.deliveries(about.id)]
        waiting = [each for each, _ in attempted if each.state == "pending"]
        ahead = {each.id: found for each in waiting if (found := opened.ahead(each))}
    if as_json:
        say_json(whole(about, attempted, ahead))
    else:
        say_about(about)
        say_deliveries(attempted, ahead)
        say_mdn(about.mdn)


def _show_mic(file: Path, id_or_message_id: str, mic: str, as_json: bool) -> None:
    with open_stored(file) as opened:
        message = message_of(opened, id_or_message_id)
        check_contents(opened, message)
        found = candidates(file, opened, message)
    if as_json:
        say_json([candidate(each) for each in found])
    else:
        say_candidates(found, message.mic, mic)


@click.command()
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
    with place_of(file) as place:
        before, after = migrate_journal(place)
    if before == after:
        say(f"the journal at {place} has version {after} already")
    else:
        say(f"the journal at {place} has version {after} now; it was {before or 'empty'}")
