"""The backend first, then the promise: for routes that answer only once the backend has the message.

The partner waits meanwhile. Two copies of one message wait for each other, so that the second finds what became of
the first. A crash between the backend's answer and the commit makes the partner send again, and the backend knows the
message by its Idempotency-Key.
"""

from dataclasses import replace
from functools import partial

import trio

from mtlsd import journal, relay
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
            earlier = await trio.to_thread.run_sync(daemon.journal.find, *key)
            if earlier and not exchange.lacks_receipt(earlier):
                return await trio.to_thread.run_sync(exchange.conclude, earlier)
            made, outcome = await _attempt(daemon, acceptance)
            taken = await trio.to_thread.run_sync(exchange.delivered, acceptance, made, outcome)
        except BaseException:
            exchange.withdraw()
            raise
        if isinstance(taken, Response):
            return taken
        if earlier:
            return exchange.conclude_late(earlier, taken.message.mdn)
        return exchange.conclude(await daemon.committer.accept(taken))


async def _attempt(daemon: Daemon, acceptance: Acceptance) -> tuple[Attempt, Outcome]:
    started, began = daemon.clock(), trio.current_time()
    key = relay.idempotency_key(acceptance.message)
    delivery = replace(acceptance.deliveries[0], pinned=daemon.pins.get(key))
    kept = partial(journal.open_kept, daemon.spool, acceptance.documents)
    tried = await attempt(daemon, acceptance.message, delivery, kept)
    daemon.pins.note(key, tried.pinned if relay.reason_of(tried.outcome) else None)
    seconds, reason = trio.current_time() - began, relay.reason_of(tried.outcome) or ""
    became = "refused" if reason else "delivered"  # nothing is kept of it: the partner sends again
    daemon.note_attempt(delivery, became=became, reason=reason, seconds=seconds)
    return Attempt(
        delivery_id=delivery.id,
        number=1,
        started_at=started,
        finished_at=started + seconds,
        status=tried.outcome.status if isinstance(tried.outcome, Answered) else None,
        detail=tried.detail,
        target=tried.target,
    ), tried.outcome
