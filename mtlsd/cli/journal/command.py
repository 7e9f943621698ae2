"""`mtlsd journal list`, `show` and `migrate`."""

import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from mtlsd.cli.journal import listing
from mtlsd.cli.journal import mic as mics
from mtlsd.cli.journal.listing import Wanted
from mtlsd.cli.journal.opening import check_contents, message_of, open_stored, place_of, record_named, with_id
from mtlsd.cli.journal.show import say_about, say_deliveries, say_mdn, whole
from mtlsd.cli.journal.suggestions import knows_partner, nobody
from mtlsd.cli.options import with_configuration, with_json, with_options
from mtlsd.cli.output import say, say_json
from mtlsd.config.model import Configuration
from mtlsd.journal.location import migrate_journal
from mtlsd.journal.sql.journal import Journal


@click.command("list")
@with_configuration
@with_options(Wanted)
@click.option("--follow", is_flag=True, help="Continue with each new message and each change of state, until Ctrl-C.")
@with_json
def list_messages(configuration: Configuration, options: Wanted, as_json: bool, follow: bool) -> None:
    """List the accepted messages, newest first.

    Refused messages are stored if TLS or a signature proved the sender: --state refused lists them, and --reason and
    --search include them; --search finds them by their Message-ID. With --follow the newest come last, and --json
    writes one object per line.

    The reason is that of the last failed attempt to deliver to the backend, or of the refusal. A table on a terminal is
    as wide as the terminal; everything is in the output of --json, and of a command whose output is not a terminal.

    \b
    Examples:
      mtlsd journal list --partner acme --state pending --limit 10
      mtlsd journal list --search order-4711
      mtlsd journal list --filename 'invoice-*.edi' --since 'last monday'
      mtlsd journal list --reason upstream_timeout --since 2026-11-21T08:00 --until 2026-11-21T12:00
      mtlsd journal list --state failed --follow --json

    Exit codes: 0 success, even if nothing is found; 1 there is no journal, or it cannot be read; 78 the configuration
    file has errors.
    """
    _check_search(options)
    if not follow:
        with open_stored(configuration) as opened:
            if not listing.show(opened, options, as_json=as_json):
                _say_hints(opened, configuration.server.certs, options)
        return
    with suppress(KeyboardInterrupt):
        wait = partial(time.sleep, listing.POLL_SECONDS)
        listing.follow(partial(open_stored, configuration), options, as_json=as_json, wait=wait)


def _check_search(wanted: Wanted) -> None:
    """Refuse a search that would read every message."""
    search = wanted.search_for()
    if search is not None and wanted.since is None and not search.is_indexed:
        text = f"{wanted.filename!r} begins with a wildcard, so every message would be read: add --since"
        raise click.BadParameter(text, param_hint="--filename")


def _say_hints(opened: Journal, certs: Path, wanted: Wanted) -> None:
    """Say on stderr why the list may be empty: an unknown partner or id, or a text that is not at a beginning."""
    if wanted.search and wanted.since is None:
        what = f"nothing begins with {wanted.search!r}; to find the text anywhere, add --since, such as --since 7d"
        say(what, err=True)
    if wanted.partner is not None and not knows_partner(opened, certs, wanted.partner):
        say(nobody(certs, wanted.partner), err=True)
    if wanted.before is not None and not (opened.message(wanted.before) or opened.refusal(wanted.before)):
        say(f"--before {wanted.before}: the journal has no record with this id", err=True)


@click.command()
@with_configuration
@with_id
@click.option(
    "--mic",
    is_flag=False,
    flag_value="",
    metavar="[VALUE]",
    help="List every digest that could be the MIC. With VALUE, say what the partner must have hashed to get it.",
)
@click.option("--full", is_flag=True, help="Also show certificates, long header fields, and base64 in the MDN.")
@with_json
def show(configuration: Configuration, id_or_message_id: str, mic: str | None, full: bool, as_json: bool) -> None:
    """Show everything about one message.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. With --mic the command reads the message
    again, and hashes each layer with and without its MIME header, in each form of line ends. For a refused message, the
    journal has the reason and the MDN if TLS or a signature proved the sender.

    \b
    Examples:
      mtlsd journal show '<42@acme.example>' --json
      mtlsd journal show '<42@acme.example>' --mic 'I3lAbuA+WYm23+1xDyqyVjFFmDE=, sha1'

    Exit codes: 0 success; 1 no such message or no journal; 78 the configuration file has errors.
    """
    if mic is not None:
        _show_mic(configuration, id_or_message_id, mic, as_json)
        return
    with open_stored(configuration) as opened:
        about = record_named(opened, id_or_message_id)
        attempted = [(each, opened.attempts(each.id)) for each in opened.deliveries(about.id)]
        waiting = [each for each, _ in attempted if each.state == "pending"]
        ahead = {each.id: found for each in waiting if (found := opened.ahead(each))}
    if as_json:
        say_json(whole(about, attempted, ahead))
    else:
        say_about(about, full=full)
        say_deliveries(attempted, ahead)
        say_mdn(about.mdn, full=full)


def _show_mic(configuration: Configuration, id_or_message_id: str, mic: str, as_json: bool) -> None:
    with open_stored(configuration) as opened:
        message = message_of(opened, id_or_message_id)
        check_contents(opened, message)
        found = mics.candidates(configuration, opened, message)
    if as_json:
        say_json([mics.as_json(each) for each in found])
    else:
        mics.say_candidates(found, message.mic, mic)


@click.command()
@with_configuration
@with_json
def migrate(configuration: Configuration, as_json: bool) -> None:
    """Upgrade the journal to the version of this mtlsd.

    The upgrade is one transaction: either all of it is applied or nothing. Make a backup first. A PostgreSQL database
    needs this before the first start, and after an update that says so; stop every node first. SQLite does not need
    it, because the daemon upgrades the journal when it starts.

    \b
    Example:
      mtlsd journal migrate

    Exit codes: 0 the journal has the version of this mtlsd; 1 it cannot be used, or is from a newer mtlsd; 78 the
    configuration file has errors.
    """
    with place_of(configuration) as place:
        before, after = migrate_journal(place)
    if as_json:
        say_json({"journal": str(place), "before": before, "after": after})
    elif before == after:
        say(f"the journal at {place} already has version {after}")
    else:
        say(f"the journal at {place} now has version {after}; it was {before or 'empty'}")
