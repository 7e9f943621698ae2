"""One HTTP request at the test partner's listener, read from a connection and answered."""

from contextlib import suppress
from dataclasses import dataclass

import h11
import trio

MAX_HEADER = 16 * 1024  # octets
HEADER_SECONDS = 5  # until the header of the request is there, with the TLS handshake
CONNECTION_SECONDS = 30  # from then on
CLOSE_SECONDS = 1
RECEIVE = 64 * 1024

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@dataclass(frozen=True, slots=True)
class PostedMDN:
    """A POST that came: its header (names in lower case), its body, who sent it, and all its octets inside TLS."""

    fields: tuple[tuple[str, str], ...]
    body: bytes
    client: str  # the address
    certificate: bytes | None  # that the client showed and our roots vouch for, in DER
    octets: bytes


class Refused(Exception):
    """What came is no request that we take: the status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(slots=True, eq=False)
class RequestConnection:
    """A connection while it lasts. It is silent until the header of its request has come."""

    client: str
    scope: trio.CancelScope
    silent: bool = True
    crowded_out: bool = False

    def heard(self) -> None:
        self.silent = False
        self.scope.deadline = trio.current_time() + CONNECTION_SECONDS

    def why_ended(self) -> str:
        if self.crowded_out:
            return "too many connections at a time"
        return f"no request within {HEADER_SECONDS} s" if self.silent else f"not done within {CONNECTION_SECONDS} s"


class Conversation:
    """One request on a stream, and its answer."""

    def __init__(self, stream: Stream, connection: RequestConnection, certificate: bytes | None, max_body: int) -> None:
        self.client = connection.client
        self._heard = connection.heard
        self._stream = stream
        self._certificate = certificate
        self._max_body = max_body
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        self._octets = bytearray()

    async def receive(self) -> PostedMDN | None:
        """The POST, or None for a HEAD, by which some products probe. Raises Refused."""
        request, body = None, bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                request = event
                self._heard()
                _check_method(request)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._max_body:
                    raise Refused(413, f"a body of more than {self._max_body} octets, which no MDN has")
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                return self._posted(request, bytes(body)) if request.method == b"POST" else None
            else:
                raise trio.BrokenResourceError("closed without a request")

    async def _next_event(self) -> h11.Event:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
                data = bytes(await self._stream.receive_some(RECEIVE))
                self._octets += data
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, f"not HTTP as it should be: {error}") from error
        assert isinstance(event, h11.Event)  # one request a connection, so it never pauses
        return event

    def _posted(self, request: h11.Request, body: bytes) -> PostedMDN:
        fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers)
        octets = bytes(self._octets).removesuffix(self._http.trailing_data[0])
        return PostedMDN(fields, body, self.client, self._certificate, octets)

    async def answer(self, status: int) -> None:
        """Answer without a body, and close."""
        header = [("Content-Length", "0"), ("Connection", "close")]
        await self._send(h11.Response(status_code=status, headers=header))
        await self._send(h11.EndOfMessage())
        with trio.move_on_after(CLOSE_SECONDS), suppress(trio.BrokenResourceError):
            await self._stream.aclose()

    async def _send(self, event: h11.Event) -> None:
        if octets := self._http.send(event):
            await self._stream.send_all(octets)


def _check_method(request: h11.Request) -> None:
    if request.method not in (b"POST", b"HEAD"):
        raise Refused(405, f"a {request.method.decode('ascii')}, where an MDN is a POST")
