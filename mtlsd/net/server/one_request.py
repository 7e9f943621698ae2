"""One request per connection, with limits on everything that a client controls.

The admin address and the listener of `mtlsd send` use it. `wire` serves partners' connections, which last for several
requests and handle TLS differently; both read HTTP with the same engine.
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
    """Limits for one client, in octets and in seconds."""

    max_body: int = 0
    header_seconds: float = 10  # until the header of the request has arrived, including the TLS handshake
    rest_seconds: float = inf  # from then on
    answer_seconds: float = 10  # for writing the answer
    close_seconds: float = 1


@dataclass(slots=True, eq=False)
class RequestConnection:
    """An open connection. It counts as silent until the header of its request has arrived."""

    limits: RequestLimits
    scope: trio.CancelScope  # of all work for the connection
    client: str = "somebody"
    silent: bool = True
    answered: bool = False  # or being answered
    crowded_out: bool = False

    @classmethod
    def opened(cls, limits: RequestLimits) -> Self:
        """Create the record of a connection that begins now."""
        return cls(limits, trio.CancelScope(deadline=trio.current_time() + limits.header_seconds))

    def heard(self) -> None:
        """Note that the header of the request has arrived."""
        self.silent = False
        self.scope.deadline = trio.current_time() + self.limits.rest_seconds

    def answering(self) -> None:
        """Note that the answer is being written."""
        self.answered = True
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + self.limits.answer_seconds)

    def why_ended(self) -> str:
        if self.crowded_out:
            return "too many connections at a time"
        if self.silent:
            return f"no request within {self.limits.header_seconds} s"
        return f"not done within {self.limits.rest_seconds} s"


class Conversation:
    """One request on a stream, and its answer. Raises PeerError if the input is not a request, or is too large."""

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
        """Return the header, or None if the client left without sending one."""
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        self.connection.heard()
        if len(event.headers) > MAX_FIELDS or len(self.octets) > MAX_HEADER:  # h11 limits only incomplete headers
            raise HeadersTooLarge(f"{len(event.headers)} header fields in {len(self.octets)} octets")
        return event

    async def receive_body(self) -> bytes:
        """Return the body that follows the header."""
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self.connection.limits.max_body:
                raise BodyTooLarge(f"a body of more than {self.connection.limits.max_body} octets")
        return bytes(body)

    async def answer(
        self, status: int, fields: Iterable[tuple[str, str]] = (), body: bytes = b"", reason: str = ""
    ) -> None:
        """Answer; afterwards the connection can only be closed."""
        self.connection.answering()
        header = (*fields, ("Content-Length", str(len(body))), ("Connection", "close"))
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in header]
        await self._stream.send_all(self._http.respond(status, encoded, body, reason))

    async def close(self) -> None:
        """Give the client time to read the answer: a reset, caused by unread data, could overtake the answer."""
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
