"""Passes on the body of a request as it arrives, and sets the deadline of every wait for a client."""

from collections.abc import Iterator
from contextlib import contextmanager

import h11
import trio

from mtlsd.config.model import Limits
from mtlsd.errors import BodyTooLarge, PeerError, RequestTimeout
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.well_known.selftest import SelfTest
from mtlsd.http.messages import Response
from mtlsd.net.server.wire import Wire
from mtlsd.net.services.state import State

TURN_SECONDS = 0.01  # how long one body may occupy the loop if its octets have already arrived


@contextmanager
def deadline(seconds: float, late: type[PeerError], detail: str = "") -> Iterator[trio.CancelScope]:
    """Raises `late` if the block takes longer; the scope's deadline may be moved."""
    with trio.move_on_after(seconds) as scope:
        yield scope
    if scope.cancelled_caught:
        raise late(detail or f"not complete within {seconds} s")


async def receive_body(state: State, wire: Wire, limits: Limits, exchange: Exchange | SelfTest) -> Response:
    """Pass the whole body to an exchange, and return its response; raises PeerError."""
    try:
        if wire.waits_for_continue:
            await wire.send_continue()
        await _feed(state, wire, limits, exchange)
        return exchange.finish() if exchange.is_small else await trio.to_thread.run_sync(exchange.finish)
    except BaseException:
        exchange.abort()
        raise


async def _feed(state: State, wire: Wire, limits: Limits, exchange: Exchange | SelfTest) -> None:
    """Pass on the body as it arrives; raises BodyTooLarge, SpoolFull, or RequestTimeout if the client is slow."""
    size, started = 0, trio.current_time()
    turn_ends = started + TURN_SECONDS
    pace = f"slower than {limits.min_body_bytes_per_second} octets a second"
    with deadline(limits.body_grace_seconds, RequestTimeout, pace) as scope:
        while isinstance(event := await wire.next_event(), h11.Data):
            size += len(event.data)
            if size > limits.max_body_bytes:
                raise BodyTooLarge(f"more than {limits.max_body_bytes} octets")
            exchange.receive_data(bytes(event.data))
            scope.deadline = started + limits.body_grace_seconds + size / limits.min_body_bytes_per_second
            if trio.current_time() > turn_ends:
                await trio.lowlevel.checkpoint()
                state.require_room(None)  # other processes also write to the disk
                turn_ends = trio.current_time() + TURN_SECONDS
