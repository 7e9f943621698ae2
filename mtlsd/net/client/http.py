"""The client that delivers: one request, its body from a file, one answer. No redirects, no credentials.

A server that receives a partner's MDN is a stranger: everything that it sends is limited in octets and in time.

Some servers answer 200 and then send a header or a body that is not HTTP. They have taken the document, so for a
delivery the status line decides, if the whole request was written before (`status_decides`).

A server may close a kept connection at the moment when a request is sent on it (RFC 9112, section 9.3.1). If a kept
connection breaks before any octet of the answer, the request is sent once more, on a new connection.
"""

import re
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import h11
import trio
from trio import socket

from mtlsd.config.addresses import Backend
from mtlsd.errors import (
    FailureCause,
    UpstreamBadAnswer,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamTLS,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from mtlsd.net.client.connections import Endpoint, IdleConnections, Stream
from mtlsd.net.client.tls_stream import SecureStream

CHUNK = 256 * 1024  # octets of a body at a time
MAX_ANSWER = 1024 * 1024  # octets of an answer's body that are read; the client does not wait for the rest
FRAMING = 4  # times the body is what comes in all, at most, with the framing
MAX_RECEIVED = FRAMING * MAX_ANSWER  # octets in all
MAX_HEADER = 64 * 1024  # octets of an answer's header
MAX_INTERIM = 10  # answers 1xx before the final one
RECEIVE = 64 * 1024
HTTP = b"HTTP/"  # how an answer begins (RFC 9112, section 4)
LONGEST_STATUS = 64  # octets of a status line up to the status
STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? +([2-5]\d\d)[ \r\n]")

# X509_V_ERR_…, of OpenSSL's x509_vfy.h
_OTHER_NAME = {62, 64}  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
_UNKNOWN_ISSUER = {2, 18, 19, 20}  # UNABLE_TO_GET_ISSUER_CERT and its _LOCALLY, and the two of self-signed certificates
_NO_TLS = {"HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"}  # SSL_R_…


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the header fields (names in lower case), and the body up to MAX_ANSWER.

    `flaw` says why the rest of the answer could not be read, and is empty otherwise.
    """

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    flaw: str = ""

    def get(self, name: str) -> str | None:
        return next((value for each, value in self.fields if each == name), None)


@dataclass(slots=True)
class Recording:
    """The octets of one exchange inside TLS: the octets passed on for sending, and the octets received."""

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
    max_answer: int = MAX_ANSWER,
    status_decides: bool = False,
    connections: IdleConnections | None = None,
) -> Answer:
    """Send a request; raises UpstreamFailed. Of an answer's body, at least `max_answer` octets are read, if there are.

    `timeout`, in seconds, is for the connection with its TLS, for the server to take each piece of the body, and for
    its whole answer. `fields` have the framing. `connect_to` is another address than the URL's. `recording` gets every
    octet, also of a failed exchange. With `status_decides`, an answer counts even if only its status line can be read.
    With `connections`, the request may use a kept connection, and its own is kept; `body` may then be iterated twice.
    """
    endpoint = Endpoint(backend.scheme, backend.host, backend.port, context)
    request: _Request | None = None
    began = False  # the body, on a kept connection that broke

    async def exchange(stream: Stream) -> Answer:
        nonlocal request
        keeps = connections is not None
        request = _Request(stream, timeout, recording, max_answer, status_decides=status_decides, keeps=keeps)
        try:
            return await request.run(backend, method, fields, body)
        finally:
            await _keep_or_close(connections if request.is_reusable else None, endpoint, stream)

    try:
        if connections and (kept := connections.take(endpoint)):
            try:
                return await exchange(kept)
            except (OSError, trio.BrokenResourceError):
                assert request
                if request.first:
                    raise
                began = request.body_began
                request = None
        with trio.fail_after(timeout):
            stream = await _connect(backend, context, connect_to)
        return await exchange(stream)
    except trio.TooSlowError as error:
        what = "answer" if request else "connection"
        raise UpstreamTimeout(f"no {what} within {timeout:g} s", body_began=began or _began(request)) from error
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        cause = _cause(error, request.first if request else b"")
        raise _kind(error)(why(error), body_began=began or _began(request), cause=cause) from error


def _began(request: "_Request | None") -> bool:
    return request is not None and request.body_began


async def _keep_or_close(connections: IdleConnections | None, endpoint: Endpoint, stream: Stream) -> None:
    if connections is not None:
        connections.keep(endpoint, stream)
        return
    with trio.move_on_after(1):
        await stream.aclose()


async def _connect(backend: Backend, context: ssl.SSLContext | None, connect_to: tuple[str, int] | None) -> Stream:
    stream = await trio.open_tcp_stream(*(connect_to or (backend.host, backend.port)))
    if backend.scheme == "http":
        return stream
    secure = SecureStream(stream, context or ssl.create_default_context(), backend.host)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


class _Request:
    def __init__(
        self,
        stream: Stream,
        timeout: float,
        recording: Recording | None,
        max_answer: int,
        *,
        status_decides: bool,
        keeps: bool,
    ) -> None:
        self._stream = stream
        self._timeout = timeout
        self._recording = recording
        self._max_answer = max_answer
        self._status_decides = status_decides
        self._keeps = keeps
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER)
        self._received = 0  # octets
        self._is_sent = False
        self._head = b""  # the first octets since the last interim answer
        self._response: h11.Response | None = None
        self._body = bytearray()
        self.body_began = False
        self.first = b""  # the first octets of the answer, as many as `HTTP` has

    @property
    def is_reusable(self) -> bool:
        """Whether the request was sent and its answer read to the last octet, and another request may follow."""
        is_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return self._keeps and is_done and self._http.trailing_data == (b"", False)

    async def run(
        self, backend: Backend, method: str, fields: Iterable[tuple[str, str]], body: Iterable[bytes]
    ) -> Answer:
        with suppress(trio.BrokenResourceError):  # if a server refuses early and closes, its answer counts
            await self._send(backend, method, fields, body)
        try:
            with trio.fail_after(self._timeout):
                answer = await self._receive()
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, h11.RemoteProtocolError) as error:
            if (status := self._status()) is None:
                raise
            answer = self._answer(status, flaw=why(error))
        if self._http.our_state is h11.SEND_BODY and answer.status < 300:
            raise trio.BrokenResourceError(f"the server said {answer.status} before it had the whole document")
        return answer

    async def _send(
        self, backend: Backend, method: str, fields: Iterable[tuple[str, str]], body: Iterable[bytes]
    ) -> None:
        default_port = 443 if backend.scheme == "https" else 80
        name = f"[{backend.host}]" if ":" in backend.host else backend.host
        authority = name if backend.port == default_port else f"{name}:{backend.port}"
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        headers = [(b"Host", authority.encode("ascii")), *headers]
        if not self._keeps:
            headers.append((b"Connection", b"close"))
        await self._write(h11.Request(method=method, target=backend.target, headers=headers))
        self.body_began = True
        for data in body:
            await self._write(h11.Data(data=data))
        await self._write(h11.EndOfMessage())
        self._is_sent = True

    async def _write(self, event: h11.Event) -> None:
        octets = self._http.send(event) or b""
        if self._recording:
            self._recording.sent += octets
        with trio.fail_after(self._timeout):
            await self._stream.send_all(octets)

    async def _receive(self) -> Answer:
        """Raises h11.RemoteProtocolError if the data is not an answer, or does not end."""
        interim = 0
        while True:
            event = await self._next_event()
            if isinstance(event, h11.InformationalResponse):
                self._head = self._http.trailing_data[0][:LONGEST_STATUS]
                interim += 1
                if interim > MAX_INTERIM:
                    raise h11.RemoteProtocolError(f"more than {MAX_INTERIM} answers 1xx")
            elif isinstance(event, h11.Response):
                self._response = event
            elif isinstance(event, h11.Data):
                self._body += event.data
            if self._response and (isinstance(event, h11.EndOfMessage) or len(self._body) > self._max_answer):
                return self._answer(self._response.status_code)
            if isinstance(event, h11.ConnectionClosed):
                when = "inside its answer" if self._response else "before it answered"
                raise trio.BrokenResourceError(f"the server closed the connection {when}")

    async def _next_event(self) -> h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = bytes(await self._stream.receive_some(RECEIVE))
            self._received += len(data)
            self.first = (self.first + data)[: len(HTTP)]
            if self._response is None:
                self._head = (self._head + data)[:LONGEST_STATUS]
            if self._received > FRAMING * self._max_answer:
                limit = FRAMING * self._max_answer
                raise h11.RemoteProtocolError(f"an answer of more than {limit} octets with its framing")
            if self._recording:
                self._recording.received += data
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise trio.BrokenResourceError("the server closed the connection before it answered")
            self._http.receive_data(data)
        assert isinstance(event, h11.Event)  # one request per connection, so it never pauses
        return event

    def _status(self) -> int | None:
        """The status of an answer whose rest cannot be read, if the status decides."""
        if not (self._status_decides and self._is_sent):
            return None
        if self._response is not None:
            return self._response.status_code
        found = STATUS_LINE.match(self._head)
        return int(found[1]) if found else None

    def _answer(self, status: int, flaw: str = "") -> Answer:
        headers = self._response.headers if self._response else ()
        fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in headers)
        return Answer(status, fields, bytes(self._body), flaw)


# --- What went wrong ------------------------------------------------------------------------------------------


def _kind(error: Exception) -> type[UpstreamFailed]:
    match error:
        case ssl.SSLCertVerificationError():
            return UpstreamUntrusted
        case ssl.SSLError():
            return UpstreamTLS
        case h11.RemoteProtocolError():
            return UpstreamBadAnswer
    return UpstreamUnreachable


def why(error: Exception) -> str:
    """Why a connection failed, in words for operators."""
    return "; ".join(dict.fromkeys(map(_words, _behind(error))))


def _behind(error: Exception) -> Sequence[BaseException]:
    """The errors of a failed connection: one for each address that was tried."""
    cause = error.__cause__ or error
    return cause.exceptions if isinstance(cause, BaseExceptionGroup) else [cause]


def _cause(error: Exception, first: bytes) -> FailureCause | None:
    """Why the server did not answer; `first` has the first octets that it sent."""
    found = {_cause_of_one(each, first) for each in _behind(error)}
    return next((each for each in FailureCause if each in found), None)


def _cause_of_one(error: BaseException, first: bytes) -> FailureCause | None:
    match error:
        case ssl.SSLCertVerificationError():
            return _untrusted(error.verify_code)
        case ssl.SSLError() if error.reason in _NO_TLS:
            return FailureCause.NO_TLS
        case h11.RemoteProtocolError() if not HTTP.startswith(first):
            return FailureCause.NO_HTTP
        case socket.gaierror():
            return FailureCause.NO_ADDRESS
        case ConnectionRefusedError():
            return FailureCause.CONNECTION_REFUSED
    return None


def _untrusted(verify_code: int) -> FailureCause | None:
    if verify_code in _OTHER_NAME:
        return FailureCause.OTHER_NAME
    return FailureCause.UNKNOWN_ISSUER if verify_code in _UNKNOWN_ISSUER else None


def _words(cause: BaseException) -> str:
    match cause:
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not trusted: {cause.verify_message}"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():  # the latter with the Python of Debian 12
            return "the other side ended TLS without a word"
        case ssl.SSLError():
            return f"the TLS handshake failed: {(cause.reason or 'no reason given').replace('_', ' ').lower()}"
        case h11.RemoteProtocolError():
            return f"not HTTP as it should be: {cause}"
        case trio.BrokenResourceError() | trio.ClosedResourceError() if not cause.args:
            return "the other side broke the connection"
        case trio.TooSlowError():
            return "the answer did not end in time"
        case OSError():
            return cause.strerror or str(cause) or "the connection failed"
    return str(cause) or "the connection broke"
