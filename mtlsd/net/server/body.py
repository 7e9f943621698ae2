"""Receives the body of a request, in turns of its sender's share, with a deadline for every wait for the client."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import h11
import trio

from mtlsd.config.model import Limits
from mtlsd.errors import BodyTooFragmented, BodyTooLarge, JournalUnavailable, PeerError, RequestTimeout, SpoolFull
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.well_known.selftest import SelfTest
from mtlsd.http.messages import Response
from mtlsd.net.server.wire import Wire
from mtlsd.net.services.cpu_shares import TURN_SECONDS, Share
from mtlsd.net.services.state import State

SMALL = 16 * 1024  # octets of a proven partner that are read on the event loop
PIECE = 128 * 1024  # octets that a thread reads at a time
MIN_MEAN = 16  # octets of a chunk or of a TLS record, once `TOLERATED` octets have arrived
TOLERATED = 64 * 1024


@contextmanager
def deadline(seconds: float, late: type[PeerError], detail: str = "") -> Iterator[trio.CancelScope]:
    """Raises `late` if the block takes longer; the scope's deadline may be moved."""
    with trio.move_on_after(seconds) as scope:
        yield scope
    if scope.cancelled_caught:
        raise late(detail or f"not complete within {seconds} s")


async def receive_body(
    state: State, wire: Wire, limits: Limits, exchange: Exchange | SelfTest, share: Share
) -> Response:
    """Pass the whole body to an exchange, and return its response; raises PeerError."""
    try:
        exchange.begin(share.pause)
        if wire.waits_for_continue:
            with deadline(limits.write_seconds, RequestTimeout):
                await wire.send_continue()
        await _Body(state, wire, limits, exchange, share).receive()
        if not (exchange.is_small and share.is_proven):
            return await share.in_thread(exchange.finish)
        async with share.turn():
            return exchange.finish()
    except BaseException as error:
        if isinstance(error, SpoolFull | JournalUnavailable | trio.Cancelled):
            exchange.excuse()
        exchange.abort()
        raise


class _Body:
    """A body that is being received. Whatever may take long is read in a thread, as is everything of a stranger."""

    def __init__(self, state: State, wire: Wire, limits: Limits, exchange: Exchange | SelfTest, share: Share) -> None:
        self._state = state
        self._wire = wire
        self._limits = limits
        self._exchange = exchange
        self._share = share
        self._held: list[bytes] = []  # for the thread
        self._held_size = 0
        self._size = 0
        self._chunks = 0
        self._records_before, self._bytes_before = wire.records, wire.bytes_in
        self._waited = 0.0  # seconds, for the client alone

    async def receive(self) -> None:
        """Receive the body; raises BodyTooLarge, BodyTooFragmented, SpoolFull, or RequestTimeout if it is slow."""
        while not await self._receive_some():
            pass

    async def _receive_some(self) -> bool:
        """Take what has arrived, or wait for more; return whether the body is complete."""
        async with self._share.turn():
            event = self._take()
        is_complete = event is not None and not isinstance(event, h11.Data)
        if self._held_size >= PIECE or (is_complete and self._held):
            await self._read_in_thread()
        elif event is None:
            await self._wait_for_client()
        return is_complete

    async def _wait_for_client(self) -> None:
        """Wait for more octets. Only this counts against the client, and not our own work for it or for others."""
        rate = self._limits.min_body_bytes_per_second
        allowed = self._limits.body_grace_seconds + self._size / rate - self._waited
        began = trio.current_time()
        with deadline(max(allowed, 0), RequestTimeout, f"slower than {rate} octets a second"):
            await self._wire.receive()
        self._waited += trio.current_time() - began

    def _take(self) -> h11.Data | h11.EndOfMessage | h11.ConnectionClosed | h11.Request | None:
        """Take what has arrived, as much as a turn and a thread's piece allow; return the last event."""
        until = trio.current_time() + TURN_SECONDS
        event = self._wire.poll()
        while isinstance(event, h11.Data):
            self._take_data(bytes(event.data), starts_chunk=event.chunk_start)
            if self._held_size >= PIECE or trio.current_time() > until:
                return event
            event = self._wire.poll()
        return event

    def _take_data(self, data: bytes, *, starts_chunk: bool) -> None:
        self._size += len(data)
        self._chunks += starts_chunk
        if self._size > self._limits.max_body_bytes:
            raise BodyTooLarge(f"more than {self._limits.max_body_bytes} octets")
        self._check_fragments()
        if self._share.is_proven and self._size <= SMALL and self._exchange.is_small:
            self._exchange.receive_data(data)
        else:
            self._held.append(data)
            self._held_size += len(data)

    def _check_fragments(self) -> None:
        if self._size >= TOLERATED and self._size < (self._chunks - 1) * MIN_MEAN:  # the last may be incomplete
            raise BodyTooFragmented(f"{self._size} octets in {self._chunks} chunks")
        records, octets = self._wire.records - self._records_before, self._wire.bytes_in - self._bytes_before
        if octets >= TOLERATED and octets < records * MIN_MEAN:
            raise BodyTooFragmented(f"{octets} octets in {records} TLS records")

    async def _read_in_thread(self) -> None:
        data = b"".join(self._held)
        self._held, self._held_size = [], 0
        self._state.require_room(None)  # other processes also write to the disk
        await self._share.in_thread(partial(self._exchange.receive_data, data))
