"""`mtlsd journal replay` and `drop`: what an operator does about a failed or pending delivery."""

from collections.abc import Callable
from datetime import UTC, datetime

import click

from mtlsd.cli.journal.opening import end, open_stored, record_named, with_id
from mtlsd.cli.journal.show import shown_targets
from mtlsd.cli.options import with_configuration
from mtlsd.cli.output import say
from mtlsd.config.model import Configuration
from mtlsd.journal.model import Delivery, TransitionRefused
from mtlsd.journal.sql.journal import Journal

Step = Callable[[Journal, str, float], None]  # the arguments: the journal, the id of a delivery, the time
OPEN = ("failed", "pending")  # the states in which an operator may act on a delivery


@click.command()
@with_configuration
@with_id
@click.option(
    "--any-backend", is_flag=True, help="Allow a backend other than the one that may already have the message."
)
def replay(configuration: Configuration, id_or_message_id: str, any_backend: bool) -> None:
    """Retry the failed or pending deliveries of a message.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. A running daemon attempts the delivery
    within a minute; otherwise the daemon does when it starts. A message that was accepted more than
    give_up_after_seconds ago gets a single attempt. If one of several backends received part of the message and did not
    answer, only that backend gets the message again, unless you use --any-backend. In an ordered queue, earlier
    deliveries still go first.

    \b
    Example:
      mtlsd journal replay '<42@acme.example>'

    Exit codes: 0 a delivery is due; 1 the message has no failed or pending delivery, no such message, or no journal; 78
    the configuration file has errors.
    """
    retried = _each_open(
        configuration, id_or_message_id, lambda opened, id_, now: opened.requeue(id_, now, unpin=any_backend)
    )
    for each in retried:
        say(f"delivery {each.id} to {shown_targets(each)} is due; the daemon attempts it within a minute")


@click.command()
@with_configuration
@with_id
def drop(configuration: Configuration, id_or_message_id: str) -> None:
    """Give up the failed or pending deliveries of a message.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. mtlsd makes no more attempts, and in an
    ordered queue the next deliveries continue. The message and its documents stay in the journal.

    \b
    Example:
      mtlsd journal drop '<42@acme.example>'

    Exit codes: 0 dropped; 1 the message has no failed or pending delivery, no such message, or no journal; 78 the
    configuration file has errors.
    """
    for each in _each_open(configuration, id_or_message_id, lambda opened, id_, now: opened.drop(id_, now)):
        say(f"delivery {each.id} to {shown_targets(each)} is dropped")


def _each_open(configuration: Configuration, id_or_message_id: str, step: Step) -> list[Delivery]:
    """Take this step with every failed or pending delivery; ends the command if there is none."""
    now = datetime.now(UTC).timestamp()
    with open_stored(configuration, read_only=False) as opened:
        deliveries = opened.deliveries(record_named(opened, id_or_message_id).id)
        fitting = [each for each in deliveries if each.state in OPEN]
        try:
            for each in fitting:
                step(opened, each.id, now)
        except TransitionRefused as error:  # the daemon or another operator was faster
            raise click.ClickException(str(error)) from error
    if not fitting:
        stand = "; ".join(f"the delivery to {shown_targets(each)} is {each.state}" for each in deliveries)
        end(f"nothing to do: {stand or 'the message has no delivery'}")
    return fitting
