"""`mtlsd journal replay` and `drop`: what an operator does about a failed or pending delivery, or repeats."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import click

from mtlsd.cli.journal.listing import Wanted
from mtlsd.cli.journal.moment import Moment
from mtlsd.cli.journal.opening import check_contents, end, open_stored, record_named, with_id
from mtlsd.cli.journal.show import shown_targets
from mtlsd.cli.journal.suggestions import ReasonCode
from mtlsd.cli.options import option, with_configuration, with_json, with_options, with_yes
from mtlsd.cli.output import say, say_json
from mtlsd.cli.progress import progress
from mtlsd.config.model import Configuration
from mtlsd.ids import new_id
from mtlsd.journal.model import Delivery, DeliveryKind, DeliveryState, Message, Refusal, TransitionRefused
from mtlsd.journal.sql.journal import Journal
from mtlsd.relay.request import idempotency_key

Step = Callable[[Journal, Delivery, float], Delivery]  # the last argument is the time; the result has the new state
OPEN = ("failed", "pending")  # the states in which an operator may act on a delivery
PAGE = 1000  # messages per read


@dataclass(frozen=True, slots=True)
class Many:
    """The messages whose deliveries are replayed together."""

    partner: str | None = option("Without ID: all messages of this partner.", metavar="NAME")
    state: str | None = option(
        "Without ID: all messages whose delivery to the backend is in this state; delivered needs --again.",
        type=click.Choice((*OPEN, "delivered")),
    )
    reason: str | None = option(
        "Without ID: only messages whose last delivery attempt has this reason.", type=ReasonCode(), metavar="CODE"
    )
    since: float | None = option("Without ID: only messages received at or after this time.", type=Moment())
    until: float | None = option("Without ID: only messages received before this time.", type=Moment())

    @property
    def is_given(self) -> bool:
        """Whether any of the options is given."""
        return any(getattr(self, each.name) is not None for each in fields(self))

    def messages(self, journal: Journal) -> Iterator[str]:
        """The ids of the messages, the newest first."""
        before = None
        wanted = Wanted(PAGE, self.partner, self.state, self.reason, since=self.since, until=self.until)
        while page := replace(wanted, before=before).rows(journal):
            yield from (each["id"] for each in page)
            before = page[-1]["id"]


@click.command()
@with_configuration
@click.argument("id_or_message_id", metavar="[ID]", required=False)
@with_options(Many)
@click.option("--again", is_flag=True, help="Deliver a message once more whose delivery succeeded.")
@click.option(
    "--any-backend", is_flag=True, help="Allow a backend other than the one that may already have the message."
)
@with_yes
@with_json
def replay(
    configuration: Configuration,
    options: Many,
    id_or_message_id: str | None,
    again: bool,
    any_backend: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Retry the failed or pending deliveries of a message, or of many.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. A running daemon attempts the delivery
    within a minute; otherwise the daemon does when it starts. A message that was accepted more than
    give_up_after_seconds ago gets a single attempt. If one of several backends received part of the message and did not
    answer, only that backend gets the message again, unless you use --any-backend. In an ordered queue, earlier
    deliveries still go first.

    With --again, a message that was delivered gets a new delivery, with the same Idempotency-Key, at the end of its
    queue. A backend that removes duplicates by this key ignores the delivery. Without ID, --state selects the messages;
    the command shows their number and asks for confirmation.

    \b
    Examples:
      mtlsd journal replay '<42@acme.example>'
      mtlsd journal replay '<42@acme.example>' --again
      mtlsd journal replay --partner acme --state failed --since yesterday

    Exit codes: 0 every delivery is due; 1 there is no such message, no delivery in the right state, the contents were
    deleted, nobody confirmed, or there is no journal; 78 the configuration file has errors.
    """
    step: Step = _again if again else lambda opened, each, now: _requeue(opened, each, now, any_backend)
    if id_or_message_id is None:
        _replay_many(configuration, options, step, again=again, yes=yes, as_json=as_json)
        return
    if options.is_given:
        raise click.UsageError("give either an ID, or --state and other options that select messages")
    states = ("delivered",) if again else OPEN
    about, due = _each_in(configuration, id_or_message_id, states, step)
    if as_json:
        say_json({"due": [_as_json(each, about) for each in due], "skipped": []})
        return
    for each in due:
        say(f"delivery {each.id} to {shown_targets(each)} is due; the daemon attempts it within a minute")
        if again and isinstance(about, Message):
            say(f"the backend gets the same Idempotency-Key as before, {idempotency_key(about)}")


def _replay_many(
    configuration: Configuration, many: Many, step: Step, *, again: bool, yes: bool, as_json: bool
) -> None:
    if many.state is None:
        raise click.UsageError("give an ID, or select messages with --state, for example --state failed")
    if (many.state == "delivered") != again:
        raise click.UsageError("--state delivered and --again belong together")
    with open_stored(configuration, read_only=False) as opened:
        found = sorted(many.messages(opened))  # in an ordered queue, the oldest goes first
        if not found:
            end("nothing to do: no message is selected")
        _confirm(f"{len(found)} messages are {many.state}", yes)
        due, skipped = _each_of_many(opened, found, many.state, step)
    if as_json:
        say_json({"due": [_as_json(each, about) for each, about in due], "skipped": skipped})
    else:
        for one in skipped:
            say(f"{one['id']} is skipped: {one['reason']}", err=True)
        key = ", with the same Idempotency-Keys as before" if again else ""
        say(f"{len(due)} deliveries are due{key}; the daemon attempts them from within a minute on")
    if skipped:
        sys.exit(1)


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        end(f"{what}, and nothing is done: stdin is not a terminal, so confirm with --yes")
    click.confirm(f"{what}. Deliver them again?", abort=True, err=True)


def _each_of_many(
    opened: Journal, found: list[str], state: str, step: Step
) -> tuple[list[tuple[Delivery, Message | Refusal]], list[dict[str, str]]]:
    """The deliveries that are due now, each with its message; and the messages that were skipped, with the reason."""
    now = datetime.now(UTC).timestamp()
    due: list[tuple[Delivery, Message | Refusal]] = []
    skipped: list[dict[str, str]] = []
    with progress("replaying", len(found)) as advance:
        for each in found:
            about = opened.message(each)
            try:
                fitting = _fitting(opened.deliveries(each), (state,), backend_only=True)
                due += [(step(opened, one, now), about) for one in fitting if about]
            except TransitionRefused as error:  # pruned, or the daemon or another operator was faster
                skipped.append({"id": each, "reason": str(error)})
            advance(1)
    return due, skipped


@click.command()
@with_configuration
@with_id
@with_json
def drop(configuration: Configuration, id_or_message_id: str, as_json: bool) -> None:
    """Give up the failed or pending deliveries of a message.

    ID is an id from `mtlsd journal list`, the Message-ID, or the file name. mtlsd makes no more attempts, and in an
    ordered queue the next deliveries continue. The message and its documents stay in the journal.

    \b
    Example:
      mtlsd journal drop '<42@acme.example>'

    Exit codes: 0 dropped; 1 the message has no failed or pending delivery, no such message, or no journal; 78 the
    configuration file has errors.
    """
    about, dropped = _each_in(configuration, id_or_message_id, OPEN, _drop)
    if as_json:
        say_json({"dropped": [_as_json(each, about) for each in dropped]})
        return
    for each in dropped:
        say(f"delivery {each.id} to {shown_targets(each)} is dropped")


# --- Steps ------------------------------------------------------------------------------------------------------------


def _requeue(opened: Journal, delivery: Delivery, now: float, any_backend: bool) -> Delivery:
    opened.requeue(delivery.id, now, unpin=any_backend)
    return replace(delivery, state=DeliveryState.PENDING, not_before=now)


def _drop(opened: Journal, delivery: Delivery, now: float) -> Delivery:
    opened.drop(delivery.id, now)
    return replace(delivery, state=DeliveryState.DROPPED)


def _again(opened: Journal, delivery: Delivery, now: float) -> Delivery:
    repeated = anew(delivery, f"{new_id(now)}-again", now)
    opened.repeat(repeated)
    return repeated


def anew(delivery: Delivery, id: str, now: float) -> Delivery:  # noqa: A002  # the field's name
    """Another delivery of the same, to the same targets, at the end of the same lane."""
    return Delivery(
        id=id,
        kind=delivery.kind,
        targets=delivery.targets,
        lane=delivery.lane,
        not_before=now,
        created_at=now,
        message_id=delivery.message_id,
        refusal_id=delivery.refusal_id,
    )


def _each_in(
    configuration: Configuration, id_or_message_id: str, states: Iterable[str], step: Step
) -> tuple[Message | Refusal, list[Delivery]]:
    """Take this step with the deliveries in these states; ends the command if there is none."""
    now = datetime.now(UTC).timestamp()
    with open_stored(configuration, read_only=False) as opened:
        about = record_named(opened, id_or_message_id)
        deliveries = opened.deliveries(about.id)
        is_again = DeliveryState.DELIVERED in states
        if is_again and isinstance(about, Message):
            check_contents(opened, about)
        fitting = _fitting(deliveries, states, backend_only=is_again)
        try:
            done = [step(opened, each, now) for each in fitting]
        except TransitionRefused as error:  # the daemon or another operator was faster
            raise click.ClickException(str(error)) from error
    if not fitting:
        stand = "; ".join(f"the delivery to {shown_targets(each)} is {each.state}" for each in deliveries)
        end(f"nothing to do: {stand or 'the message has no delivery'}")
    return about, done


def _fitting(deliveries: list[Delivery], states: Iterable[str], *, backend_only: bool) -> list[Delivery]:
    """The deliveries in these states; only the newest delivery to the backend with `backend_only`."""
    if backend_only:
        deliveries = [each for each in deliveries if each.kind is not DeliveryKind.MDN][-1:]
    return [each for each in deliveries if each.state in states]


def _as_json(delivery: Delivery, about: Message | Refusal) -> dict[str, Any]:
    key = idempotency_key(about) if isinstance(about, Message) and delivery.kind is not DeliveryKind.MDN else None
    values = {"id": delivery.id, "message": about.id, "kind": delivery.kind, "target": shown_targets(delivery)}
    return {**values, "state": delivery.state, "idempotency_key": key}
