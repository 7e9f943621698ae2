"""One request a connection, and limits on all that a client controls: the admin address, the listener of `mtlsd send`.

Partners' connections, which go on and speak TLS in our own way, are `wire`'s; HTTP is read by the same engine.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Self

import h11
import trio

from mtlsd.errors import BodyTooLarge, HeadersTooLarge
from mtlsd.http.engine import HTTPEngine, HTTPEvent

MAX_HEADER = 16 * 1024  # octets
MAX_FIELDS = 100
RECEIVE = 64 * 1024

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one client may take of us: octets, and seconds."""

    max_body: int = 0
    header_seconds: float = 10  # until the header of the request is there, with the TLS handshake
    rest_seconds: float = inf  # from then on
    answer_seconds: float = 10  # for writing the answer
    close_seconds: float = 1


@dataclass(slots=True, eq=False)
class RequestConnection:
    """A connection while it lasts. It is silent until the header of its request has come."""

    limits: RequestLimits
    scope: trio.CancelScope  # of all that is done for it
    client: str = "somebody"
    silent: bool = True
    crowded_out: bool = False

    @classmethod
    def opened(cls, limits: RequestLimits) -> Self:
        """A connection that begins now."""
        return cls(limits, trio.CancelScope(deadline=trio.current_time() + limits.header_seconds))

    def heard(self) -> None:
        """The header of the request is here."""
        self.silent = False
        self.scope.deadline = trio.current_time() + self.limits.rest_seconds

    def answering(self) -> None:
        """The answer is being written."""
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + self.limits.answer_seconds)

    def why_ended(self) -> str:
        if self.crowded_out:
            return "too many connections at a time"
        if self.silent:
            return f"no request within {self.limits.header_seconds} s"
        return f"not done within {self.limits.rest_seconds} s"


class Conversation:
    """One request on a stream, and its answer. Raises PeerError for what is no request, or too much of one."""

    def __init__(self, stream: Stream, connection: RequestConnection) -> None:
        self.connection = connection
        self._stream = stream
        self._http = HTTPEngine(MAX_HEADER)
        self._received = bytearray()

    @property
    def octets(self) -> bytes:
        """The octets of the request so far, inside TLS."""
        return bytes(self._received).removesuffix(self._http.rest)

    async def receive_header(self) -> h11.Request | None:
        """The header, or None if the client left without one."""
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        self.connection.heard()
        if len(event.headers) > MAX_FIELDS or len(self.octets) > MAX_HEADER:  # h11 limits only what is incomplete
            raise HeadersTooLarge(f"{len(event.headers)} header fields in {len(self.octets)} octets")
        return event

    async def receive_body(self) -> bytes:
        """The body, behind the header."""
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self.connection.limits.max_body:
                raise BodyTooLarge(f"a body of more than {self.connection.limits.max_body} octets")
        return bytes(body)

    async def answer(
        self, status: int, fields: Iterable[tuple[str, str]] = (), body: bytes = b"", reason: str = ""
    ) -> None:
        """Answer; the connection is of no use afterwards but to be closed."""
        self.connection.answering()
        header = (*fields, ("Content-Length", str(len(body))), ("Connection", "close"))
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in header]
        await self._stream.send_all(self._http.respond(status, encoded, body, reason))

    async def close(self) -> None:
        """Give the client time to read the answer: a reset, for what we did not read, could overtake it."""
        with trio.move_on_after(self.connection.limits.close_seconds), suppress(trio.BrokenResourceError):
            if isinstance(self._stream, trio.SSLStream):
                await self._stream.aclose()
            else:
                await self._stream.send_eof()
                while await self._stream.receive_some(RECEIVE):
                    pass

    async def _next_event(self) -> HTTPEvent:
        while (event := self._http.next_event()) is None:
            if self._http.waits_for_continue:
                await self._stream.send_all(self._http.proceed())
            data = bytes(await self._stream.receive_some(RECEIVE))
            self._received += data
            self._http.receive_data(data)
        return event
