"""The listener of the test partner: it receives one asynchronous MDN, and answers every other request politely.

It takes one request per connection, and limits everything that a stranger controls: connections, octets, seconds,
notes. A stranger may know the Message-ID and send a forged MDN: the forged MDN neither ends the wait nor keeps out
the real MDN.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Self

import trio

from mtlsd.config.addresses import Address
from mtlsd.errors import BodyTooLarge, MethodNotAllowed, PeerError
from mtlsd.net.client.http import Answer, why
from mtlsd.net.server.listeners import listener_on, open_socket
from mtlsd.net.server.one_request import Conversation, RequestConnection, RequestLimits

MAX_CONNECTIONS = 32  # open at the same time
MAX_FROM_ONE = 8  # of these, from one address, so that there is room for others
MAX_NOTES = 20
BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class PostedMDN:
    """A received POST: its header (names in lower case), its body, its sender, and all its octets inside TLS."""

    fields: tuple[tuple[str, str], ...]
    body: bytes
    client: str  # its address
    certificate: bytes | None  # of the client, in DER, if it verifies against our roots
    octets: bytes


@dataclass(frozen=True, slots=True)
class Reception:
    """The HTTP status for a POST, and why it is not the expected MDN; None if it is.

    A POST with a `rank` may still be the expected MDN; the POST with the highest rank is kept as a fallback.
    """

    status: int
    note: str | None = None
    rank: int = 0


@dataclass(frozen=True, slots=True)
class ListenerNote:
    """A connection that did not bring the MDN: its source, its content, and whether it failed in the TLS handshake."""

    client: str
    text: str
    in_handshake: bool = False

    def __str__(self) -> str:
        return f"{self.client}: {self.text}"


Receive = Callable[[PostedMDN], Reception]


class MDNListener:
    """Listens on `address` from its creation on; over TLS if it has a `context`.

    `receive` judges each POST of at most `max_body` octets.
    """

    def __init__(self, address: Address, context: ssl.SSLContext | None, max_body: int) -> None:
        """Bind and listen; raises OSError."""
        self._socket = open_socket(address)
        self.address = Address(address.host, self._socket.getsockname()[1])
        self._context = context
        self._limits = RequestLimits(max_body, header_seconds=5, rest_seconds=30, answer_seconds=inf, close_seconds=1)
        self._found: PostedMDN | None = None
        self._best: tuple[PostedMDN, int, ListenerNote] | None = None  # with its rank
        self._notes: list[ListenerNote] = []
        self._arrived = trio.Event()
        self._connections: list[RequestConnection] = []  # the oldest first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._socket.close()

    @property
    def posted(self) -> PostedMDN | None:
        """The expected MDN; if none arrived, the best of the POSTs that may be the expected MDN."""
        return self._found or (self._best[0] if self._best else None)

    @property
    def notes(self) -> tuple[ListenerNote, ...]:
        """Notes about everything received other than `posted`."""
        own = self._best[2] if self._best and not self._found else None
        return tuple(each for each in self._notes if each != own)

    async def serve(self, receive: Receive) -> None:
        """Accept connections until cancelled."""

        async def handler(stream: trio.SocketStream) -> None:
            await self._connected(stream, receive)

        await trio.serve_listeners(handler, [listener_on(self._socket)])

    async def wait(self) -> None:
        """Wait until the MDN has arrived and has been answered."""
        await self._arrived.wait()

    async def _connected(self, stream: trio.SocketStream, receive: Receive) -> None:
        connection = RequestConnection.opened(self._limits)
        try:
            with connection.scope:
                connection.client = stream.socket.getpeername()[0]
                if self._has_room_for(connection):
                    await self._admitted(stream, connection, receive)
            if connection.scope.cancelled_caught or connection.crowded_out:
                self._note(ListenerNote(connection.client, connection.why_ended()))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            self._note(ListenerNote(connection.client, f"the connection broke: {why(error)}"))
        finally:
            self._leave(connection)
            await trio.aclose_forcefully(stream)

    def _has_room_for(self, newest: RequestConnection) -> bool:
        """Note the connection. If there are too many, close the one that has been silent longest.

        A client that sends an MDN is silent only for a moment, so silent strangers cannot keep the MDN out.
        """
        alike = [each for each in self._connections if each.client == newest.client]
        crowd = alike if len(alike) >= MAX_FROM_ONE else self._connections
        self._connections.append(newest)
        if len(alike) < MAX_FROM_ONE and len(self._connections) <= MAX_CONNECTIONS:
            return True
        oldest = next((each for each in crowd if each.silent), newest)
        oldest.crowded_out = True
        oldest.scope.cancel()
        self._leave(oldest)
        return oldest is not newest

    def _leave(self, connection: RequestConnection) -> None:
        with suppress(ValueError):  # already removed, to make room
            self._connections.remove(connection)

    async def _admitted(self, stream: trio.SocketStream, connection: RequestConnection, receive: Receive) -> None:
        if self._context is None:
            await self._converse(Conversation(stream, connection), None, receive)
            return
        secure = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
        try:
            await secure.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            self._note(ListenerNote(connection.client, f"the TLS handshake broke: {why(error)}", in_handshake=True))
            return
        certificate = secure.getpeercert(binary_form=True)
        await self._converse(Conversation(secure, connection), certificate, receive)

    async def _converse(self, conversation: Conversation, certificate: bytes | None, receive: Receive) -> None:
        client = conversation.connection.client
        try:
            posted = await _posted(conversation, certificate)
        except PeerError as error:
            self._note(ListenerNote(client, _why_refused(error)))
            await conversation.answer(error.http_status or BAD_REQUEST)
        else:
            await self._answer(conversation, posted, receive(posted) if posted else Reception(200))
        await conversation.close()

    async def _answer(self, conversation: Conversation, posted: PostedMDN | None, reception: Reception) -> None:
        is_ours = posted is not None and reception.note is None
        if is_ours:
            self._found = self._found or posted
        elif posted:
            note = ListenerNote(posted.client, reception.note or "")
            self._keep(posted, reception.rank, note)
            self._note(note)
        try:
            await conversation.answer(reception.status)
        finally:
            if is_ours:
                self._arrived.set()

    def _keep(self, posted: PostedMDN, rank: int, note: ListenerNote) -> None:
        if rank > (self._best[1] if self._best else 0):
            self._best = posted, rank, note

    def _note(self, note: ListenerNote) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append(note)


async def _posted(conversation: Conversation, certificate: bytes | None) -> PostedMDN | None:
    """Return the POST, or None for a HEAD, which some products send as a probe. Raises PeerError."""
    header = await conversation.receive_header()
    if header is None:
        raise trio.BrokenResourceError("closed without a request")
    if header.method not in (b"POST", b"HEAD"):
        raise MethodNotAllowed(f"a {header.method.decode('ascii')}, where an MDN is a POST")
    body = await conversation.receive_body()
    if header.method == b"HEAD":
        return None
    fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in header.headers)
    return PostedMDN(fields, body, conversation.connection.client, certificate, conversation.octets)


def _why_refused(error: PeerError) -> str:
    match error:
        case MethodNotAllowed():
            return str(error)
        case BodyTooLarge():
            return f"{error}, which no MDN has"
    return f"not HTTP as it should be: {error}"


async def send_and_listen(
    send: Callable[[], Awaitable[Answer]],
    listener: MDNListener,
    receive: Receive,
    *,
    promised: Callable[[Answer], bool],
    timeout: float,
) -> Answer:
    """Send while the listener listens. If the answer promises an MDN, wait at most `timeout` seconds for the MDN.

    The MDN may arrive before the answer. It is in `listener.posted`. Raises the errors of `send`.
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
    """The error itself, if a nursery has wrapped a single error in a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
