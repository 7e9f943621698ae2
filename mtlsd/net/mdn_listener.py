"""The listener of the test partner: it takes one asynchronous MDN, and is polite to whatever else comes.

One request a connection, and limits on all that a stranger controls: connections, octets, seconds, notes.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import h11
import trio

from mtlsd.config import Address
from mtlsd.net.client import Answer, why
from mtlsd.net.listeners import listener_on, open_socket

MAX_CONNECTIONS = 8  # at a time; more are closed at once
MAX_HEADER = 16 * 1024  # octets
MAX_NOTES = 20
CONNECTION_SECONDS = 30
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


@dataclass(frozen=True, slots=True)
class Reception:
    """The HTTP status for what came, and why it is not what is waited for; None where it is."""

    status: int
    note: str | None = None


class _Refused(Exception):
    """What came is no request that we take: the status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class MDNListener:
    """Listens from the moment it is made, on `address`; with a `context`, over TLS.

    `receive` says what a POST of at most `max_body` octets is worth. `notes` say what came and was not waited for.
    """

    def __init__(self, address: Address, context: ssl.SSLContext | None, max_body: int) -> None:
        """Bind and listen; raises OSError."""
        self._socket = open_socket(address)
        self.address = Address(address.host, self._socket.getsockname()[1])
        self.notes: list[str] = []
        self.found: PostedMDN | None = None
        self._context = context
        self._max_body = max_body
        self._arrived = trio.Event()
        self._connections = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._socket.close()

    async def serve(self, receive: Callable[[PostedMDN], Reception]) -> None:
        """Take connections, until this is cancelled."""

        async def handler(stream: trio.SocketStream) -> None:
            await self._connected(stream, receive)

        await trio.serve_listeners(handler, [listener_on(self._socket)])

    async def wait(self) -> None:
        """Wait until `found` is there, and is answered."""
        await self._arrived.wait()

    async def _connected(self, stream: trio.SocketStream, receive: Callable[[PostedMDN], Reception]) -> None:
        client = "somebody"
        self._connections += 1
        try:
            with trio.move_on_after(CONNECTION_SECONDS) as scope:
                client = stream.socket.getpeername()[0]
                await self._admitted(stream, client, receive)
            if scope.cancelled_caught:
                self._note(client, f"not done within {CONNECTION_SECONDS} s")
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            self._note(client, f"the connection broke: {why(error)}")
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _admitted(
        self, stream: trio.SocketStream, client: str, receive: Callable[[PostedMDN], Reception]
    ) -> None:
        if self._connections > MAX_CONNECTIONS:
            self._note(client, "too many connections at a time")
            return
        if self._context is None:
            await self._converse(_Conversation(stream, client, None, self._max_body), receive)
            return
        secure = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
        await secure.do_handshake()
        certificate = secure.getpeercert(binary_form=True)
        await self._converse(_Conversation(secure, client, certificate, self._max_body), receive)

    async def _converse(self, conversation: "_Conversation", receive: Callable[[PostedMDN], Reception]) -> None:
        try:
            posted = await conversation.receive()
        except _Refused as refused:
            self._note(conversation.client, str(refused))
            await conversation.answer(refused.status)
            return
        if posted is None:
            await conversation.answer(200)
            return
        reception = receive(posted)
        if reception.note is not None:
            self._note(conversation.client, reception.note)
            await conversation.answer(reception.status)
            return
        self.found = self.found or posted
        try:
            await conversation.answer(reception.status)
        finally:
            self._arrived.set()

    def _note(self, client: str, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(f"{client}: {text}")


class _Conversation:
    """One request on a stream, and its answer."""

    def __init__(self, stream: Stream, client: str, certificate: bytes | None, max_body: int) -> None:
        self.client = client
        self._stream = stream
        self._certificate = certificate
        self._max_body = max_body
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        self._octets = bytearray()

    async def receive(self) -> PostedMDN | None:
        """The POST, or None for a HEAD, by which some products probe. Raises _Refused."""
        request, body = None, bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                request = event
                _check_method(request)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._max_body:
                    raise _Refused(413, f"a body of more than {self._max_body} octets, which no MDN has")
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
            raise _Refused(error.error_status_hint, f"not HTTP as it should be: {error}") from error
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
        raise _Refused(405, f"a {request.method.decode('ascii')}, where an MDN is a POST")


async def send_and_listen(
    send: Callable[[], Awaitable[Answer]],
    listener: MDNListener,
    receive: Callable[[PostedMDN], Reception],
    *,
    promised: Callable[[Answer], bool],
    timeout: float,
) -> Answer:
    """Send while the listener listens; where the answer promises an MDN, wait for it, at most `timeout` seconds.

    The MDN may come before the answer does. It is in `listener.found`. Raises what `send` raises.
    """
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, receive)
            answer = await send()
            if promised(answer):
                with trio.move_on_after(timeout):
                    await listener.wait()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _only(group) from None
    return answer


def _only(error: BaseException) -> BaseException:
    """The error itself, where a nursery has wrapped one in a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
