"""The client that delivers to backends: one request, its body from a file, one answer. No redirects, no credentials."""

import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import h11
import trio

from mtlsd.config import Backend
from mtlsd.errors import UpstreamTimeout, UpstreamUnreachable

CHUNK = 256 * 1024  # octets of a body at a time
MAX_ANSWER = 1024 * 1024  # octets of an answer's body that are read; the rest is not waited for
RECEIVE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the header fields (names in lower case), and the body up to MAX_ANSWER."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for each, value in self.fields if each == name), None)


@dataclass(slots=True)
class Recording:
    """The octets of one exchange, as they are inside TLS: those handed over for sending, and those that came."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


async def send(
    backend: Backend,
    method: str,
    fields: Iterable[tuple[str, str]],
    body: Iterable[bytes],
    *,
    timeout: float,
    context: ssl.SSLContext | None = None,
    connect_to: tuple[str, int] | None = None,
    recording: Recording | None = None,
) -> Answer:
    """Send a request; raises UpstreamUnreachable or UpstreamTimeout.

    `timeout`, in seconds, is for each wait while the document is sent, which may take its time, and then for the whole
    answer: one that trickles ends, too. `fields` have the framing. `connect_to` is another address than the URL's.
    `recording` gets every octet, also of a failed exchange.
    """
    request: _Request | None = None
    try:
        stream = await _connect(backend, timeout, context, connect_to)
        request = _Request(stream, timeout, recording)
        try:
            return await request.run(backend, method, fields, body)
        finally:
            with trio.move_on_after(1):
                await stream.aclose()
    except trio.TooSlowError as error:
        raise UpstreamTimeout(f"no answer within {timeout:g} s", body_began=_began(request)) from error
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError, ssl.SSLError) as error:
        raise UpstreamUnreachable(why(error), body_began=_began(request)) from error


def _began(request: "_Request | None") -> bool:
    return request is not None and request.body_began


async def _connect(
    backend: Backend, timeout: float, context: ssl.SSLContext | None, connect_to: tuple[str, int] | None
) -> "trio.SocketStream | trio.SSLStream[trio.SocketStream]":
    with trio.fail_after(timeout):
        stream = await trio.open_tcp_stream(*(connect_to or (backend.host, backend.port)))
        if backend.scheme == "http":
            return stream
        context = context or ssl.create_default_context()
        secure = trio.SSLStream(stream, context, server_hostname=backend.host, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure


class _Request:
    def __init__(
        self,
        stream: "trio.SocketStream | trio.SSLStream[trio.SocketStream]",
        timeout: float,
        recording: Recording | None,
    ) -> None:
        self._stream = stream
        self._timeout = timeout
        self._recording = recording
        self._http = h11.Connection(h11.CLIENT)
        self.body_began = False

    async def run(
        self, backend: Backend, method: str, fields: Iterable[tuple[str, str]], body: Iterable[bytes]
    ) -> Answer:
        with suppress(trio.BrokenResourceError):  # a backend may refuse early and close: then its answer counts
            await self._send(backend, method, fields, body)
        with trio.fail_after(self._timeout):
            answer = await self._receive()
        if self._http.our_state is h11.SEND_BODY and answer.status < 300:
            raise trio.BrokenResourceError(f"the backend said {answer.status} before it had the whole document")
        return answer

    async def _send(
        self, backend: Backend, method: str, fields: Iterable[tuple[str, str]], body: Iterable[bytes]
    ) -> None:
        default_port = 443 if backend.scheme == "https" else 80
        name = f"[{backend.host}]" if ":" in backend.host else backend.host
        authority = name if backend.port == default_port else f"{name}:{backend.port}"
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        headers = [(b"Host", authority.encode("ascii")), *headers, (b"Connection", b"close")]
        await self._write(h11.Request(method=method, target=backend.target, headers=headers))
        self.body_began = True
        for data in body:
            await self._write(h11.Data(data=data))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        octets = self._http.send(event) or b""
        if self._recording:
            self._recording.sent += octets
        with trio.fail_after(self._timeout):
            await self._stream.send_all(octets)

    async def _receive(self) -> Answer:
        response: h11.Response | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = bytes(await self._stream.receive_some(RECEIVE))
                if self._recording:
                    self._recording.received += data
                if not data and response is None:
                    raise trio.BrokenResourceError("the backend closed the connection before it answered")
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            if response and (isinstance(event, h11.EndOfMessage) or len(body) > MAX_ANSWER):
                fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in response.headers)
                return Answer(response.status_code, fields, bytes(body))
            if isinstance(event, h11.ConnectionClosed):
                raise trio.BrokenResourceError("the backend closed the connection inside its answer")


def why(error: Exception) -> str:
    """What a failed connection says of itself."""
    cause = error.__cause__ or error
    causes = cause.exceptions if isinstance(cause, BaseExceptionGroup) else [cause]
    return "; ".join(dict.fromkeys(str(cause) or type(cause).__name__ for cause in causes))
