"""`mtlsd journal replay` and `drop`: what an operator does with a delivery that has failed or waits."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.journal.opening import end, open_stored, record_named
from mtlsd.cli.options import with_config
from mtlsd.cli.output import say
from mtlsd.config.model import without_query
from mtlsd.journal.model import Delivery, TransitionRefused
from mtlsd.journal.protocol import Journal

OPEN = ("failed", "pending")  # the states in which a delivery is an operator's


@click.command()
@with_config
@click.argument("id_or_message_id", metavar="ID")
@click.option("--any-backend", is_flag=True, help="Also to another backend than the one that may have it already.")
def replay(file: Path, id_or_message_id: str, any_backend: bool) -> None:
    """Make a delivery due that has failed or waits: ID is ours, or the Message-ID that the partner gave it.

    A daemon that runs attempts it within a minute; otherwise the next one does. The age of a delivery counts from the
    acceptance of the message: one that is older than give_up_after_seconds gets a single attempt. Of several backends,
    one that got some of the message and did not answer gets it again, and no other, but with --any-backend. In an
    ordered line those before it still go first.

    \b
    Example:
      mtlsd journal replay '<42@acme.example>'

    Exit codes: 0 it is due; 1 nothing of this message is failed or waits, no such message, or no journal; 78 the
    configuration file has mistakes.
    """

    def requeue(opened: Journal, delivery_id: str, now: float) -> None:
        opened.requeue(delivery_id, now, unpin=any_backend)

    for each in _step(file, id_or_message_id, requeue):
        say(f"delivery {each.id} to {without_query(each.target)} is due; the daemon attempts it within a minute")


@click.command()
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
    for each in _step(file, id_or_message_id, lambda opened, id_, now: opened.drop(id_, now)):
        say(f"delivery {each.id} to {without_query(each.target)} is dropped")


def _step(file: Path, id_or_message_id: str, step: Callable[[Journal, str, float], None]) -> list[Delivery]:
    """Take a step with every delivery that has failed or waits; that there is none ends the command."""
    now = datetime.now(UTC).timestamp()
    with open_stored(file, read_only=False) as opened:
        deliveries = opened.deliveries(record_named(opened, id_or_message_id).id)
        fitting = [each for each in deliveries if each.state in OPEN]
        try:
            for each in fitting:
                step(opened, each.id, now)
        except TransitionRefused as error:  # somebody was quicker
            raise click.ClickException(str(error)) from error
    if not fitting:
        stand = "; ".join(f"the delivery to {without_query(each.target)} is {each.state}" for each in deliveries)
        end(f"nothing to do: {stand or 'the message has no delivery'}")
    return fitting
