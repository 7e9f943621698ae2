"""The admin address: /healthz, /readyz and /metrics, over plain HTTP on loopback.

One request a connection, and limits on all that whoever connects controls: connections, octets, seconds. That is some
lines over h11, which is here anyway; a web framework and its server would bring six packages for three answers.
"""

from contextlib import suppress
from pathlib import Path

import h11
import trio

from mtlsd import log, metrics
from mtlsd.config.model import Address
from mtlsd.errors import BadRequest, ConfigurationError, HeadersTooLarge, PeerError, Problem
from mtlsd.handlers.admin import health as probes
from mtlsd.http import problems
from mtlsd.http.messages import Request, Response, read_request
from mtlsd.net.admin.health import Health
from mtlsd.net.server.listeners import listener_on, open_socket, why_not
from mtlsd.net.services.state import State

MAX_CONNECTIONS = 16  # at a time; more are closed at once
MAX_HEADER = 16 * 1024  # octets
REQUEST_SECONDS = 10
ANSWER_SECONDS = 10
CLOSE_SECONDS = 1
RECEIVE = 16 * 1024


def bind(file: Path, address: Address) -> trio.SocketListener:
    """Open the address; raises ConfigurationError."""
    try:
        return listener_on(open_socket(address))
    except OSError as error:
        problem = Problem(file, why_not(address, error, key="admin"), key="server.admin")
        raise ConfigurationError((problem,)) from error


class Admin:
    """Serves the admin address until it is cancelled."""

    def __init__(self, state: State, health: Health) -> None:
        self._state = state
        self._health = health
        self._open = 0

    async def serve(self, listener: trio.SocketListener) -> None:
        """Accept for ever."""
        await trio.serve_listeners(self.answer, [listener])

    async def answer(self, stream: trio.SocketStream) -> None:
        """One connection, from its request to its end; raises nothing."""
        async with stream:
            if self._open >= MAX_CONNECTIONS:
                return
            self._open += 1
            try:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                    await self._converse(stream)
            except Exception:
                self._state.log.exception(log.INTERNAL_ERROR, doing="admin")
            finally:
                self._open -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        wire = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        with_body = True
        try:
            with trio.fail_after(REQUEST_SECONDS):
                event = await _receive(stream, wire)
            if event is None:
                return
            with_body = event.method != b"HEAD"
            response = await self._respond(read_request(event))
        except PeerError as error:
            response = probes.refusal(error)
        with trio.fail_after(ANSWER_SECONDS):
            await stream.send_all(_octets(wire, response, with_body))
            await stream.send_eof()
        with trio.move_on_after(CLOSE_SECONDS):  # a reset, for what we did not read, could overtake our answer
            while await stream.receive_some(RECEIVE):
                pass

    async def _respond(self, request: Request) -> Response:
        if refusal := probes.refuse(request):
            return refusal
        match request.path:
            case "/healthz":
                return probes.healthz(self._health.facts())
            case "/readyz":
                return probes.readyz(self._health.facts())
            case "/metrics":
                return Response(200, (("Content-Type", metrics.CONTENT_TYPE),), await self._health.measure())
        return probes.unknown()


async def _receive(stream: trio.SocketStream, wire: h11.Connection) -> h11.Request | None:
    """The header of the request, or None where the client left; raises PeerError."""
    try:
        while (event := wire.next_event()) is h11.NEED_DATA:
            wire.receive_data(await stream.receive_some(RECEIVE))
    except h11.RemoteProtocolError as error:
        raise (HeadersTooLarge if error.error_status_hint == 431 else BadRequest)(str(error)) from error
    return event if isinstance(event, h11.Request) else None


def _octets(wire: h11.Connection, response: Response, with_body: bool) -> bytes:
    fields = [
        *response.fields,
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
    ]
    start = h11.Response(status_code=response.status, headers=fields, reason=problems.phrase(response.status))
    data = h11.Data(data=response.body if with_body else b"")
    return b"".join(wire.send(event) or b"" for event in (start, data, h11.EndOfMessage()))
