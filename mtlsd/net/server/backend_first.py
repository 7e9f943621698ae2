"""The backend first, then the promise: for routes that answer only once the backend has the message.

The partner waits meanwhile. Copies of one message that come while the backend is asked wait for what it says, which
is for all of them: a backend that stalls is asked once, however many copies there are. A crash between the backend's
answer and the commit makes the partner send again, and the backend knows the message by its Idempotency-Key.
"""

from dataclasses import replace
from functools import partial

import trio

from mtlsd.errors import BackendUnavailable, CommitUnclear, JournalUnavailable, PeerError
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.http.messages import Response
from mtlsd.journal.documents import open_kept
from mtlsd.journal.model import Acceptance, Attempt, Message
from mtlsd.net.deliveries.attempt import attempt
from mtlsd.net.server.promises import conclude
from mtlsd.net.services.single_flight import Turn
from mtlsd.net.services.state import State
from mtlsd.relay.request import idempotency_key
from mtlsd.relay.retry import Answered, Outcome, reason_of

# What became of a message: accepted; the backend did not take it; or the journal failed.
Fate = Message | tuple[Attempt, Outcome] | PeerError


async def forward(state: State, exchange: Exchange, response: Response) -> Response:
    """The answer of an exchange that asks the backend first; raises BackendUnavailable if it did not take it.

    `response` is what the exchange has finished with, and promises the acceptance that is attempted.
    """
    acceptance = response.promise.acceptance
    assert acceptance is not None
    message = acceptance.message
    most = state.snapshot.configuration.limits.max_forwarded_per_route
    key = (message.as2_from, message.as2_to, message.message_id)
    try:
        with state.places.one((message.host, message.route), most):
            async with state.turns.take(key) as turn:
                if turn.result is not None:
                    return await _as_the_first(exchange, acceptance, turn.result)
                return await _ask(state, exchange, response, acceptance, turn)
    except CommitUnclear:
        raise  # it may be accepted after all
    except Exception:  # whoever is cut off leaves it to the sweep of the next start: another may have committed it
        exchange.withdraw()
        raise


async def _ask(
    state: State, exchange: Exchange, response: Response, acceptance: Acceptance, turn: Turn[Fate]
) -> Response:
    message = acceptance.message
    try:
        holder = await trio.to_thread.run_sync(state.journal.find, message.as2_from, message.as2_to, message.message_id)
        if holder is None or await trio.to_thread.run_sync(exchange.lacks_receipt, holder):
            made, outcome = await _attempt(state, acceptance)
            turn.result = made, outcome  # unless it is accepted
            response = await trio.to_thread.run_sync(exchange.delivered, acceptance, made, outcome)
            if (taken := response.promise.acceptance) is None:
                return response
            turn.result = None
            holder = await _enter(state, exchange, taken, holder)
    except PeerError as error:
        turn.result = turn.result or error
        raise
    turn.result = holder
    return await conclude(exchange, response, holder)


async def _enter(state: State, exchange: Exchange, taken: Acceptance, holder: Message | None) -> Message:
    """What the backend took goes to the journal; if a message holds the key already, its MDN alone."""
    if holder is None:
        return await state.accept(exchange, taken)
    if taken.message.mdn is None:
        return holder
    answer = partial(state.journal.answer, holder, taken.message.mdn, state.clock())
    return await trio.to_thread.run_sync(answer)


async def _as_the_first(exchange: Exchange, acceptance: Acceptance, fate: Fate) -> Response:
    """What became of the copy that came first is the answer to this one, too; its content may be another."""
    match fate:
        case Message():
            return await trio.to_thread.run_sync(exchange.duplicate, fate)
        case (made, outcome):
            response = await trio.to_thread.run_sync(exchange.delivered, acceptance, made, outcome)
            if response.promise.acceptance is None:
                return response
            raise BackendUnavailable("a copy that came at the same time was not taken")
    assert isinstance(fate, PeerError)
    raise (JournalUnavailable if isinstance(fate, CommitUnclear) else type(fate))(fate.detail)


async def _attempt(state: State, acceptance: Acceptance) -> tuple[Attempt, Outcome]:
    started, began = state.clock(), trio.current_time()
    key = idempotency_key(acceptance.message)
    delivery = replace(acceptance.deliveries[0], pinned=state.pins.get(key))
    kept = partial(open_kept, state.spool, acceptance.documents)
    tried = await attempt(state, acceptance.message, delivery, kept)
    state.pins.note(key, tried.pinned if reason_of(tried.outcome) else None)
    seconds, reason = trio.current_time() - began, reason_of(tried.outcome) or ""
    became = "refused" if reason else "delivered"  # nothing is kept of it: the partner sends again
    state.note_attempt(delivery, became=became, reason=reason, seconds=seconds)
    return Attempt(
        delivery_id=delivery.id,
        number=1,
        started_at=started,
        finished_at=started + seconds,
        status=tried.outcome.status if isinstance(tried.outcome, Answered) else None,
        detail=tried.detail,
        target=tried.target,
    ), tried.outcome
