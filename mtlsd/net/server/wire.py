"""One client's connection as bytes and HTTP events: TLS outside, HTTP/1.1 inside. `connection` serves the exchanges.

Act on what has arrived, in a turn of the client's share; write what is due; then await exactly one thing.
"""

from email.utils import formatdate

import trio

from mtlsd.http import problems
from mtlsd.http.engine import HTTPEngine, HTTPEvent
from mtlsd.http.messages import Response
from mtlsd.http.problems import PRODUCT
from mtlsd.net.services.cpu_shares import Share
from mtlsd.tls.contexts import ListenerContexts
from mtlsd.tls.engine import Closed, Engine, Examine, HandshakeCompleted, PlaintextReceived, ReadCertificate

RECEIVE = 64 * 1024  # octets from the socket at a time
MAX_DRAIN = 64 * 1024 * 1024  # octets of a refused body that are read, so that the answer is not lost to a reset
DRAIN_SECONDS = 30
DRAIN_IDLE_SECONDS = 5
RECORDS = 60  # of TLS that are read in one turn, if they complete nothing
NO_CONTENT = 204  # has no Content-Length (RFC 9110, section 8.6)


class Wire:
    """A client's connection. Raises PeerError for errors of the peer, and trio's errors for a broken socket."""

    def __init__(
        self,
        stream: trio.SocketStream,
        listener: ListenerContexts,
        max_header_bytes: int,
        examine: Examine,
        read: ReadCertificate,
        share: Share,
    ) -> None:
        self._stream = stream
        self._tls = Engine(listener, examine, read)
        self._http = HTTPEngine(max_header_bytes)
        self._share = share
        self._bytes_in = 0  # of plaintext, since `take_counts`
        self._bytes_out = 0
        self.records = 0  # of TLS that brought plaintext
        self._has_more = False  # whether a turn ended before all that arrived was read

    async def handshake(self) -> HandshakeCompleted:
        """Complete the TLS handshake; raises PeerError."""
        while True:
            try:
                async with self._share.turn():
                    event = self._tls.next_event()
            finally:
                await self._flush()  # also an alert
            if event is not None:
                assert isinstance(event, HandshakeCompleted)
                return event
            self._tls.receive_data(await self._stream.receive_some(RECEIVE))

    @property
    def server_name(self) -> str | None:
        """The server name that the client requested, even if the handshake failed."""
        return self._tls.server_name

    async def next_event(self) -> HTTPEvent:
        """Return the next event of HTTP; raises BadRequest and similar errors."""
        while True:
            async with self._share.turn():
                event = self.poll()
            if event is not None:
                return event
            await self.receive()

    def poll(self) -> HTTPEvent | None:
        """Return the next event of HTTP in what has arrived, or None; raises BadRequest and similar errors."""
        before = self.records
        while (event := self._http.next_event()) is None:
            if self.records - before >= RECORDS:
                self._has_more = True
                return None
            if not self._pass_on():
                return None
        return event

    async def wait_for_request(self) -> None:
        """Wait until a request begins, or the client closes the connection."""
        while True:
            async with self._share.turn():
                if self._pass_on():
                    return
            await self.receive()

    async def receive(self) -> None:
        """Wait for octets from the client, unless some are left that arrived before."""
        if self._has_more:
            self._has_more = False
            await trio.lowlevel.checkpoint()
            return
        await self._flush()
        self._tls.receive_data(await self._stream.receive_some(RECEIVE))

    def _pass_on(self) -> bool:
        """Pass one more piece of plaintext, or its end, to HTTP; return whether there was one."""
        for _ in range(RECORDS):
            match self._tls.next_event():
                case PlaintextReceived(data):
                    self.records += 1
                    self._bytes_in += len(data)
                    if data and self._http.receive_data(data):
                        return True
                case Closed():
                    self._http.receive_data(b"")
                    return True
                case _:
                    return False
        self._has_more = True
        return False

    @property
    def bytes_in(self) -> int:
        """The octets of plaintext received since `take_counts`."""
        return self._bytes_in

    def take_counts(self) -> tuple[int, int]:
        """Return the octets of plaintext received and sent since the last call."""
        counts = self._bytes_in, self._bytes_out
        self._bytes_in = self._bytes_out = 0
        return counts

    @property
    def waits_for_request(self) -> bool:
        """Whether nothing of the next request has arrived yet."""
        return self._http.waits_for_request

    @property
    def can_go_on(self) -> bool:
        """Whether request and response are both complete, and neither side wants to close."""
        return self._http.can_go_on

    @property
    def body_is_read(self) -> bool:
        """Whether the request was received to its end."""
        return self._http.body_is_read

    def next_cycle(self) -> None:
        """Prepare for the next request."""
        self._http.next_cycle()

    @property
    def waits_for_continue(self) -> bool:
        return self._http.waits_for_continue

    async def send_continue(self) -> None:
        """Answer `Expect: 100-continue` (RFC 9110, section 10.1.1)."""
        await self._write(self._http.proceed())

    async def send(self, response: Response, *, now: float, close: bool) -> None:
        """Write a whole response, without its body if the request was a HEAD."""
        fields = _fields(response, now, close=close)
        reason = problems.phrase(response.status)
        await self._write(self._http.respond(response.status, fields, response.body, reason))

    async def send_in_the_clear(self, response: Response, *, now: float) -> None:
        """Write a response without TLS, to a client that does not use TLS."""
        lines = [f"HTTP/1.1 {response.status} {problems.phrase(response.status)}".encode("ascii")]
        lines += [name + b": " + value for name, value in _fields(response, now, close=True)]
        await self._stream.send_all(b"\r\n".join(lines) + b"\r\n\r\n" + response.body)

    async def close(self) -> None:
        """Send close_notify, then continue to read within limits: a reset could overtake our last answer."""
        self._tls.close()
        await self._flush()
        await self._stream.send_eof()
        drained = 0
        with trio.move_on_after(DRAIN_SECONDS):
            while drained < MAX_DRAIN:
                with trio.fail_after(DRAIN_IDLE_SECONDS):
                    data = await self._stream.receive_some(RECEIVE)
                drained += len(data)
                if not data:
                    return

    async def _write(self, plaintext: bytes) -> None:
        self._bytes_out += len(plaintext)
        self._tls.send(plaintext)
        await self._flush()

    async def _flush(self) -> None:
        if data := self._tls.data_to_send():
            await self._stream.send_all(data)


def _fields(response: Response, now: float, *, close: bool) -> list[tuple[bytes, bytes]]:
    """The header of a response, in nginx's order; the fields of an MDN keep their own order."""
    content_type = [field for field in response.fields if field[0].lower() == "content-type"]
    others = [field for field in response.fields if field[0].lower() not in ("content-type", "date")]
    fields = [
        ("Server", PRODUCT),
        ("Date", formatdate(now, usegmt=True)),
        *content_type,
        *([("Content-Length", str(len(response.body)))] if response.status != NO_CONTENT else []),
        *([("Connection", "close")] if close else []),
        *others,
    ]
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
