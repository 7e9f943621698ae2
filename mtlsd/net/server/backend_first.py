"""Backend first, then the promise: routes that answer only after the backend has taken the message.

The partner waits meanwhile. If copies of a message arrive while the backend is being asked, they wait for the same
result: a backend that stalls is asked once, however many copies there are. After a crash between the backend's answer
and the commit, the partner sends again, and the backend recognizes the message by its Idempotency-Key.
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
from mtlsd.net.services.cpu_shares import Share
from mtlsd.net.services.single_flight import SharedCall
from mtlsd.net.services.state import State
from mtlsd.relay.request import idempotency_key
from mtlsd.relay.retry import Answered, Outcome, reason_of

# The result for a message: it was accepted, the backend did not take it, or the journal failed.
Fate = Message | tuple[Attempt, Outcome] | PeerError


async def forward(state: State, exchange: Exchange, response: Response, share: Share) -> Response:
    """Return the answer of an exchange that asks the backend first.

    `response` is the response of `finish`; it promises the acceptance that is attempted. Raises BackendUnavailable if
    the backend did not take the message.
    """
    acceptance = response.promise.acceptance
    assert acceptance is not None
    message = acceptance.message
    most = state.snapshot.configuration.limits.max_forwarded_per_route
    key = (message.as2_from, message.as2_to, message.message_id)
    try:
        with state.forwarded.one((message.host, message.route), most):
            async with state.shared_calls.take(key) as call:
                if call.result is not None:
                    return await _as_the_first(exchange, acceptance, call.result, share)
                return await _ask(state, exchange, response, call, share)
    except CommitUnclear:
        raise  # the message may have been accepted
    except Exception:  # not on cancellation: the message may be committed, and the next start sweeps
        exchange.withdraw()
        raise


async def _ask(state: State, exchange: Exchange, response: Response, call: SharedCall[Fate], share: Share) -> Response:
    acceptance = response.promise.acceptance
    assert acceptance is not None
    message = acceptance.message
    try:
        holder = await trio.to_thread.run_sync(state.journal.find, message.as2_from, message.as2_to, message.message_id)
        if holder is None or await share.in_thread(partial(exchange.lacks_receipt, holder)):
            made, outcome = await _attempt(state, acceptance)
            call.result = made, outcome  # replaced below if the message is accepted
            response = await share.in_thread(partial(exchange.delivered, acceptance, made, outcome))
            if (taken := response.promise.acceptance) is None:
                return response
            call.result = None
            holder = await _enter(state, exchange, taken, holder)
    except PeerError as error:
        call.result = call.result or error
        raise
    call.result = holder
    return await conclude(exchange, response, holder, share)


async def _enter(state: State, exchange: Exchange, taken: Acceptance, holder: Message | None) -> Message:
    """Enter the message that the backend took into the journal; if a message holds the key already, only the MDN."""
    if holder is None:
        return await state.accept(exchange, taken)
    if taken.message.mdn is None:
        return holder
    answer = partial(state.journal.answer, holder, taken.message.mdn, state.clock())
    return await trio.to_thread.run_sync(answer)


async def _as_the_first(exchange: Exchange, acceptance: Acceptance, fate: Fate, share: Share) -> Response:
    """Answer this copy with the result of the first copy. The content of this copy may be different."""
    match fate:
        case Message():
            return await share.in_thread(partial(exchange.duplicate, fate))
        case (made, outcome):
            response = await share.in_thread(partial(exchange.delivered, acceptance, made, outcome))
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
    became = "refused" if reason else "delivered"  # nothing of the message is kept: the partner sends again
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
