"""Writes everything that an answer promises to disk before the answer is sent."""

from dataclasses import replace
from functools import partial

import trio

from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.http.messages import Response
from mtlsd.journal.model import NO_PROMISE, Message, Promise
from mtlsd.net.services.cpu_shares import Share
from mtlsd.net.services.state import State


async def keep(state: State, promise: Promise) -> None:
    """Make a refusal or a pending asynchronous MDN durable; raises JournalUnavailable or SpoolFull."""
    assert promise.acceptance is None, "`conclude` has the answer to an acceptance"
    if promise.delivery is not None:
        await trio.to_thread.run_sync(state.journal.promise, promise.delivery, promise.refusal)
        state.due.set()
    elif promise.refusal is not None:
        await state.committer.refuse(promise.refusal)


async def conclude(exchange: Exchange, response: Response, holder: Message, share: Share) -> Response:
    """Return the answer once `holder`, the message that holds the key, is on disk.

    The answer is `response`, or the answer to a duplicate if an earlier message holds the key.
    """
    if exchange.is_first(holder):
        return replace(response, promise=NO_PROMISE)
    return await share.in_thread(partial(exchange.duplicate, holder))
