"""The server's side of HTTP/1.1 without a socket: plaintext in, events out, over h11, which reads and writes the wire.

Partners' connections, the admin address and the listener of `mtlsd send` read their requests with it.
"""

import re
from collections.abc import Iterable

import h11

from mtlsd.errors import BadRequest, HeadersTooLarge, PeerError, TransferCodingUnsupported
from mtlsd.text import cut

LINE_ENDS = b"\r\n"

_MESSAGE_ID = re.compile(rb"\nmessage-id:((?:[^\n]*\n[ \t])*[^\n]*)", re.IGNORECASE)
_END_OF_HEADER = re.compile(rb"\n\r?\n")

HTTPEvent = h11.Request | h11.Data | h11.EndOfMessage | h11.ConnectionClosed


class HTTPEngine:
    """The requests of one connection, one after another. Whoever reads a body limits it; the header is limited here."""

    def __init__(self, max_header: int) -> None:
        """`max_header` is in octets."""
        self._max_header = max_header
        self._start()

    def _start(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._max_header)
        self._wants_no_body = False
        self._header = bytearray()

    def receive_data(self, data: bytes) -> bool:
        """Take plaintext, or its end, which is empty; whether there is more to read now.

        Some products end a body with too many line ends, which do not begin the next request (RFC 9112, section 2.2).
        """
        if data and self.waits_for_request and not (data := data.lstrip(LINE_ENDS)):
            return False
        if self._h11.their_state is h11.IDLE:
            self._header += data
        self._h11.receive_data(data)
        return True

    def next_event(self) -> HTTPEvent | None:
        """The next event, or None until there is more plaintext; raises BadRequest and its kin."""
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise _translated(error) from error
        if event is h11.NEED_DATA:
            return None
        assert isinstance(event, HTTPEvent)  # nobody asks behind the end of a request
        if isinstance(event, h11.Request):
            self._wants_no_body = event.method == b"HEAD"  # whatever else is wrong with the request
            self._check_header()
        return event

    def _check_header(self) -> None:
        """Refuse a fold inside a Message-ID: h11 makes a blank of it, and other readers make nothing of it."""
        header, self._header = self._header, bytearray()
        end = _END_OF_HEADER.search(header)
        values = _MESSAGE_ID.findall(header, 0, end.start() + 1 if end else 0)
        if any(b"\n" in value.strip() for value in values):
            raise BadRequest("a fold inside Message-ID")

    @property
    def rest(self) -> bytes:
        """What was received behind the request."""
        return bytes(self._h11.trailing_data[0])

    @property
    def waits_for_request(self) -> bool:
        """Whether nothing of the next request is here yet."""
        return self._h11.their_state is h11.IDLE and not self._h11.trailing_data[0]

    @property
    def waits_for_continue(self) -> bool:
        return bool(self._h11.they_are_waiting_for_100_continue)

    @property
    def body_is_read(self) -> bool:
        """Whether the request was received to its end."""
        return self._h11.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    @property
    def can_go_on(self) -> bool:
        """Whether request and response are both complete, and neither side wants to close."""
        return bool(self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE)

    def next_cycle(self) -> None:
        """Go on to the next request."""
        rest, ended = self._h11.trailing_data
        self._start()
        if rest:
            self.receive_data(rest)
        if ended:
            self.receive_data(b"")

    def proceed(self) -> bytes:
        """The answer to `Expect: 100-continue` (RFC 9110, section 10.1.1)."""
        return self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")) or b""

    def respond(self, status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes, reason: str = "") -> bytes:
        """A whole response, without its body if the request was a HEAD."""
        start = h11.Response(status_code=status, headers=[*fields], reason=reason.encode("ascii"))
        pieces = [self._h11.send(start)]
        if body and not self._wants_no_body:
            pieces.append(self._h11.send(h11.Data(data=body)))
        pieces.append(self._h11.send(h11.EndOfMessage()))
        return b"".join(filter(None, pieces))


def _translated(error: h11.RemoteProtocolError) -> PeerError:
    refusal = {431: HeadersTooLarge, 501: TransferCodingUnsupported}.get(error.error_status_hint, BadRequest)
    return refusal(cut(str(error)))
