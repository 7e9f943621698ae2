"""Before an answer is sent, what it promises is brought to the disk."""

from dataclasses import replace

import trio

from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.http.messages import Response
from mtlsd.journal.model import NO_PROMISE, Message, Promise
from mtlsd.net.services.state import State


async def keep(state: State, promise: Promise) -> None:
    """Make a refusal and an MDN to come durable; raises JournalUnavailable or SpoolFull."""
    assert promise.acceptance is None, "`conclude` has the answer to an acceptance"
    if promise.delivery is not None:
        await trio.to_thread.run_sync(state.journal.promise, promise.delivery, promise.refusal)
        state.due.set()
    elif promise.refusal is not None:
        await state.committer.refuse(promise.refusal)


async def conclude(exchange: Exchange, response: Response, holder: Message) -> Response:
    """The answer, once the message that holds the key is on disk: this response, unless that is an earlier message."""
    if exchange.is_first(holder):
        return replace(response, promise=NO_PROMISE)
    return await trio.to_thread.run_sync(exchange.duplicate, holder)
