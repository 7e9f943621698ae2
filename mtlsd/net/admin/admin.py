"""The admin address: /healthz, /readyz and /metrics, over plain HTTP on loopback.

It takes one request per connection, and limits everything that a client controls: connections, octets, seconds. A web
framework and its server would add six packages for three answers.
"""

from contextlib import suppress
from pathlib import Path

import trio

from mtlsd import log, metrics
from mtlsd.config.addresses import Address
from mtlsd.errors import ConfigurationError, PeerError, Problem
from mtlsd.handlers.admin import health as probes
from mtlsd.http import problems
from mtlsd.http.messages import Request, Response, read_request
from mtlsd.net.admin.health import Health
from mtlsd.net.server.listeners import listener_on, open_socket, why_not
from mtlsd.net.server.one_request import Conversation, RequestConnection, RequestLimits
from mtlsd.net.services.state import State

MAX_CONNECTIONS = 16  # open at the same time
LIMITS = RequestLimits(header_seconds=10, answer_seconds=10, close_seconds=1)
ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


def bind(file: Path, address: Address) -> trio.SocketListener:
    """Open the address; raises ConfigurationError."""
    try:
        return listener_on(open_socket(address))
    except OSError as error:
        problem = Problem(file, why_not(address, error, key="admin"), key="server.admin")
        raise ConfigurationError((problem,)) from error


class Admin:
    """Serves the admin address until cancelled."""

    def __init__(self, state: State, health: Health) -> None:
        self._state = state
        self._health = health
        self._open: list[RequestConnection] = []  # the oldest first

    async def serve(self, listener: trio.SocketListener) -> None:
        """Accept connections until cancelled."""
        await trio.serve_listeners(self.answer, [listener])

    async def answer(self, stream: trio.SocketStream) -> None:
        """Serve one connection, from its request to its end; raises nothing."""
        connection = RequestConnection.opened(LIMITS)
        async with stream:
            self._make_room()
            self._open.append(connection)
            try:
                with connection.scope, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._converse(Conversation(stream, connection))
            except Exception:
                self._state.log.exception(log.INTERNAL_ERROR, doing="admin")
            finally:
                self._leave(connection)

    def _make_room(self) -> None:
        """Close a connection if too many are open.

        The one that has been silent longest goes first, then the oldest that was answered, then the oldest: a client
        that asks for our health is silent and answered only for a moment, so others cannot keep it out.
        """
        if len(self._open) < MAX_CONNECTIONS:
            return
        silent = [each for each in self._open if each.silent]
        answered = [each for each in self._open if each.answered]
        oldest = (silent or answered or self._open)[0]
        oldest.scope.cancel()
        self._leave(oldest)

    def _leave(self, connection: RequestConnection) -> None:
        with suppress(ValueError):  # already removed, to make room
            self._open.remove(connection)

    async def _converse(self, conversation: Conversation) -> None:
        try:
            header = await conversation.receive_header()
            if header is None:
                return
            response = await self._respond(read_request(header))
        except PeerError as error:
            response = probes.refusal(error)
        fields = (*response.fields, *ALWAYS)
        await conversation.answer(response.status, fields, response.body, problems.phrase(response.status))
        await conversation.close()

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
