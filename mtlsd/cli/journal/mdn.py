"""`mtlsd journal mdn`: the receipt of a message, byte for byte, or sent once more."""

import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import click

from mtlsd.cli.journal.opening import end, open_stored, record_named, with_id
from mtlsd.cli.journal.payload import copy_out
from mtlsd.cli.journal.replay import OPEN, anew
from mtlsd.cli.journal.show import shown_targets
from mtlsd.cli.options import PATH, with_configuration, with_json
from mtlsd.cli.output import say, say_json, say_text
from mtlsd.config.model import Configuration
from mtlsd.ids import new_id
from mtlsd.journal.integrity import check_mdn
from mtlsd.journal.model import Delivery, DeliveryKind, DeliveryState, Message, Refusal
from mtlsd.journal.proof.digests import mdn_octets
from mtlsd.journal.sql.journal import Journal


@click.command()
@with_configuration
@with_id
@click.option("--output", type=PATH, help="Write to this new file instead of stdout.")
@click.option("--resend", is_flag=True, help="Send an asynchronous MDN once more, to the same URL.")
@with_json
def mdn(configuration: Configuration, id_or_message_id: str, output: Path | None, resend: bool, as_json: bool) -> None:
    """Write the MDN of a message, byte for byte, as it was sent.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. The output is the header of the MDN, an
    empty line, and its body. If the stored MDN has been changed, nothing is written. An existing file is not
    overwritten. On a terminal, control characters become escapes.

    With --resend, nothing is written: the daemon sends the same MDN once more to the URL that the partner requested.
    The MDN in an HTTP response cannot be sent again; the partner gets the same MDN if it sends the message again.

    \b
    Examples:
      mtlsd journal mdn '<42@acme.example>' --output receipt.mdn
      mtlsd journal mdn '<42@acme.example>' --resend

    Exit codes: 0 success; 1 there is no MDN, it cannot be read, written or sent again, no such message, or no journal;
    78 the configuration file has errors.
    """
    if resend and output:
        raise click.UsageError("--resend writes nothing: leave out --output")
    if as_json and not resend:
        raise click.UsageError("an MDN is written as bytes: `mtlsd journal show --json` has it as JSON")
    with open_stored(configuration, read_only=not resend) as opened:
        about = record_named(opened, id_or_message_id)
        if about.mdn is None:
            end("there is no MDN: the message did not request one")
        check_mdn(opened, about)
        if resend:
            _say_resent(_resend(opened, about), as_json)
        elif output is None and sys.stdout.isatty():
            say_text(mdn_octets(about.mdn).decode("latin-1"), indent="")
        else:
            copy_out(BytesIO(mdn_octets(about.mdn)), output)


def _resend(opened: Journal, about: Message | Refusal) -> Delivery:
    """Promise another delivery of the MDN; ends the command if there was none, or if one is still open."""
    earlier = [each for each in opened.deliveries(about.id) if each.kind is DeliveryKind.MDN]
    if not earlier:
        end("the MDN was the HTTP response, so there is no URL: the partner gets it again with the same message")
    if earlier[-1].state in (*OPEN, DeliveryState.CLAIMED):
        end(f"the MDN is not sent yet, its delivery is {earlier[-1].state}: use mtlsd journal replay")
    now = datetime.now(UTC).timestamp()
    repeated = anew(earlier[-1], f"{new_id(now)}-mdn", now)
    opened.promise(repeated)
    return repeated


def _say_resent(delivery: Delivery, as_json: bool) -> None:
    if as_json:
        say_json({"id": delivery.id, "target": shown_targets(delivery), "state": delivery.state})
    else:
        say(f"delivery {delivery.id} to {shown_targets(delivery)} is due; the daemon sends the MDN within a minute")
