"""One client's connection as bytes and HTTP events: TLS outside, HTTP/1.1 inside. The exchanges are `connection`'s.

Act on what has arrived, write what is due, then await exactly one thing.
"""

from email.utils import formatdate

import h11
import trio

from mtlsd.errors import BadRequest, HeadersTooLarge, PeerError, TransferCodingUnsupported
from mtlsd.http import problems
from mtlsd.http.messages import Response
from mtlsd.http.problems import PRODUCT
from mtlsd.tls.contexts import ListenerContexts
from mtlsd.tls.engine import Closed, Engine, Examine, HandshakeCompleted, PlaintextReceived

RECEIVE = 64 * 1024  # octets from the socket at a time
MAX_DRAIN = 64 * 1024 * 1024  # octets of a refused body that are read, so that the answer is not lost to a reset
DRAIN_SECONDS = 30
DRAIN_IDLE_SECONDS = 5
LINE_ENDS = b"\r\n"
NO_CONTENT = 204  # has no Content-Length (RFC 9110, section 8.6)

HTTPEvent = h11.Request | h11.Data | h11.EndOfMessage | h11.ConnectionClosed


class Wire:
    """Raises PeerError for what a peer did, and trio's errors for a socket that broke."""

    def __init__(
        self, stream: trio.SocketStream, listener: ListenerContexts, max_header_bytes: int, examine: Examine
    ) -> None:
        self._stream = stream
        self._engine = Engine(listener, examine)
        self._max_header_bytes = max_header_bytes
        self._http = self._new_cycle()
        self._wants_no_body = False
        self._bytes_in = 0  # of plaintext, since they were last taken
        self._bytes_out = 0

    async def handshake(self) -> HandshakeCompleted:
        """Complete the TLS handshake; raises PeerError."""
        while True:
            try:
                event = self._engine.next_event()
            finally:
                await self._flush()  # an alert, too
            if event is not None:
                assert isinstance(event, HandshakeCompleted)
                return event
            self._engine.receive_data(await self._stream.receive_some(RECEIVE))

    @property
    def server_name(self) -> str | None:
        """What the client asked for, also where the handshake failed."""
        return self._engine.server_name

    async def next_event(self) -> HTTPEvent:
        """The next event of HTTP; raises BadRequest and its kin."""
        while (event := self._parse()) is None:
            await self.pull()
        return event

    def _parse(self) -> HTTPEvent | None:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise _translated(error) from error
        if event is h11.NEED_DATA:
            return None
        assert isinstance(event, HTTPEvent)
        if isinstance(event, h11.Request):
            self._wants_no_body = event.method == b"HEAD"  # whatever else is wrong with the request
        return event

    async def pull(self) -> None:
        """Give h11 one more piece of plaintext, or the end of it."""
        while True:
            match self._engine.next_event():
                case PlaintextReceived(data):
                    self._bytes_in += len(data)
                    if self.waits_for_request:
                        data = data.lstrip(LINE_ENDS)
                    if data:
                        return self._http.receive_data(data)
                    continue
                case Closed():
                    return self._http.receive_data(b"")
            await self._flush()
            self._engine.receive_data(await self._stream.receive_some(RECEIVE))

    def take_counts(self) -> tuple[int, int]:
        """Octets of plaintext received and sent since the last call."""
        counts = self._bytes_in, self._bytes_out
        self._bytes_in = self._bytes_out = 0
        return counts

    @property
    def waits_for_request(self) -> bool:
        """Whether nothing of the next request is here yet."""
        return self._http.their_state is h11.IDLE and not self._http.trailing_data[0]

    @property
    def can_go_on(self) -> bool:
        """Whether request and response are both complete, and neither side wants to close."""
        return bool(self._http.our_state is h11.DONE and self._http.their_state is h11.DONE)

    @property
    def body_is_read(self) -> bool:
        """Whether the request was received to its end."""
        return self._http.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    def next_cycle(self) -> None:
        """Go on to the next request. Some products end a body with line ends too many (RFC 9112, section 2.2)."""
        rest, ended = self._http.trailing_data
        self._http = self._new_cycle()
        self._wants_no_body = False
        if rest := rest.lstrip(LINE_ENDS):
            self._http.receive_data(rest)
        if ended:
            self._http.receive_data(b"")

    def _new_cycle(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=self._max_header_bytes)

    @property
    def waits_for_continue(self) -> bool:
        return bool(self._http.they_are_waiting_for_100_continue)

    async def send_continue(self) -> None:
        """Answer `Expect: 100-continue` (RFC 9110, section 10.1.1)."""
        await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")))

    async def send(self, response: Response, *, now: float, close: bool) -> None:
        """Write a whole response, without its body where the request was a HEAD."""
        start = h11.Response(
            status_code=response.status,
            headers=_fields(response, now, close=close),
            reason=problems.phrase(response.status).encode("ascii"),
        )
        pieces = [self._http.send(start)]
        if response.body and not self._wants_no_body:
            pieces.append(self._http.send(h11.Data(data=response.body)))
        pieces.append(self._http.send(h11.EndOfMessage()))
        await self._write(b"".join(filter(None, pieces)))

    async def send_in_the_clear(self, response: Response, *, now: float) -> None:
        """Write a response without TLS, to a client that speaks none."""
        lines = [f"HTTP/1.1 {response.status} {problems.phrase(response.status)}".encode("ascii")]
        lines += [name + b": " + value for name, value in _fields(response, now, close=True)]
        await self._stream.send_all(b"\r\n".join(lines) + b"\r\n\r\n" + response.body)

    async def close(self) -> None:
        """Say close_notify, then read on within bounds: a reset could overtake our last answer."""
        self._engine.close()
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

    async def _write(self, plaintext: bytes | None) -> None:
        self._bytes_out += len(plaintext or b"")
        self._engine.send(plaintext or b"")
        await self._flush()

    async def _flush(self) -> None:
        if data := self._engine.data_to_send():
            await self._stream.send_all(data)


def _fields(response: Response, now: float, *, close: bool) -> list[tuple[bytes, bytes]]:
    """The header of a response, in nginx's order; the fields of an MDN keep their own."""
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


def _translated(error: h11.RemoteProtocolError) -> PeerError:
    refusal = {431: HeadersTooLarge, 501: TransferCodingUnsupported}.get(error.error_status_hint, BadRequest)
    return refusal(str(error))
