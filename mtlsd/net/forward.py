"""The backend first, then the promise: for routes that answer only once the backend has the message.

The partner waits meanwhile. Two copies of one message wait for each other, so that the second finds what became of
the first. A crash between the backend's answer and the commit makes the partner send again, and the backend knows the
message by its Idempotency-Key.
"""

from functools import partial

import trio

from mtlsd import journal, relay
from mtlsd.errors import UpstreamFailed
from mtlsd.handlers import Exchange
from mtlsd.http import Response
from mtlsd.journal import Acceptance, Attempt
from mtlsd.net.attempt import attempt
from mtlsd.net.daemon import Daemon
from mtlsd.relay import Answered, Outcome


async def forward(daemon: Daemon, exchange: Exchange, acceptance: Acceptance) -> Response:
    """The answer of an exchange that asks the backend first; raises BackendUnavailable where it did not take it."""
    message = acceptance.message
    key = (message.as2_from, message.as2_to, message.message_id)
    async with daemon.turns.alone(key):
        try:
            if earlier := await trio.to_thread.run_sync(daemon.journal.find, *key):
                return exchange.conclude(earlier)
            made, outcome = await _attempt(daemon, acceptance)
            taken = await trio.to_thread.run_sync(exchange.delivered, acceptance, made, outcome)
        except BaseException:
            exchange.withdraw()
            raise
        if isinstance(taken, Response):
            return taken
        return exchange.conclude(await daemon.committer.accept(taken))


async def _attempt(daemon: Daemon, acceptance: Acceptance) -> tuple[Attempt, Outcome]:
    delivery, started, began = acceptance.deliveries[0], daemon.clock(), trio.current_time()
    kept = partial(journal.open_kept, daemon.spool, acceptance.documents)
    outcome: Outcome
    try:
        outcome = await attempt(acceptance.message, delivery, daemon.snapshot, kept)
    except UpstreamFailed as failure:
        outcome = failure
    seconds, reason = trio.current_time() - began, relay.reason_of(outcome) or ""
    became = "refused" if reason else "delivered"  # nothing is kept of it: the partner sends again
    daemon.note_attempt(delivery, outcome, became=became, reason=reason, seconds=seconds)
    return Attempt(
        delivery_id=delivery.id,
        number=1,
        started_at=started,
        finished_at=started + seconds,
        status=outcome.status if isinstance(outcome, Answered) else None,
        detail="" if isinstance(outcome, Answered) else str(outcome),
    ), outcome
