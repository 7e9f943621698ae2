"""The listeners: one per address. New listeners open before the old ones close, so a reload never leaves a gap."""

import errno
import socket
from collections.abc import Iterable
from datetime import UTC, datetime

import trio

from mtlsd import log
from mtlsd.config.addresses import Address
from mtlsd.errors import ConfigurationError, Problem, TooManyConnections
from mtlsd.net.server.connection import Connection
from mtlsd.net.server.exchange_log import log_refused_connection
from mtlsd.net.services.state import State

BACKLOG = 1024


class Listeners:
    """Accepts connections on the addresses of the snapshot in force, and serves each connection in its own task."""

    def __init__(self, state: State, nursery: trio.Nursery) -> None:
        self._state = state
        self._nursery = nursery
        self._open: dict[Address, trio.CancelScope] = {}

    def bind(self, addresses: Iterable[Address]) -> dict[Address, trio.SocketListener]:
        """Open the addresses that are not open yet. If one fails, opens none and raises ConfigurationError."""
        opened: dict[Address, trio.SocketListener] = {}
        problems = []
        for address in set(addresses) - self._open.keys():
            try:
                opened[address] = listener_on(open_socket(address))
            except OSError as error:
                problems.append(Problem(self._state.snapshot.configuration.file, why_not(address, error)))
        if problems:
            for listener in opened.values():
                listener.socket.close()
            raise ConfigurationError(tuple(problems))
        return opened

    def serve(self, opened: dict[Address, trio.SocketListener], keep: Iterable[Address]) -> None:
        """Accept on these listeners, and stop accepting on every address that is not in `keep`."""
        for address, listener in opened.items():
            scope = self._open[address] = trio.CancelScope()
            self._nursery.start_soon(self._accept, address, listener, scope)
        for address in self._open.keys() - set(keep):
            self._open.pop(address).cancel()

    def close(self) -> None:
        """Stop accepting; open connections continue."""
        self.serve({}, keep=())

    async def _accept(self, address: Address, listener: trio.SocketListener, scope: trio.CancelScope) -> None:
        async def serve(stream: trio.SocketStream) -> None:
            await self._serve(address, stream)

        with scope:
            await trio.serve_listeners(serve, [listener], handler_nursery=self._nursery)

    async def _serve(self, address: Address, stream: trio.SocketStream) -> None:
        async with stream:
            contexts = self._state.snapshot.listeners.get(address)
            try:
                client = stream.socket.getpeername()[0]
                self._state.admit(client)
            except OSError:
                return  # the client is gone already
            except TooManyConnections as refusal:
                log_refused_connection(self._state, client, refusal)
                return
            try:
                if contexts is not None:
                    now = datetime.fromtimestamp(self._state.clock(), UTC)
                    await Connection(self._state, contexts.at(now), stream, client).serve()
            except Exception:
                self._state.log.exception(log.INTERNAL_ERROR, client=client)
            finally:
                self._state.release(client)


def open_socket(address: Address) -> socket.socket:
    """Bind and listen; raises OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address.host, address.port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def listener_on(listening: socket.socket) -> trio.SocketListener:
    """A listener of trio for this socket."""
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def why_not(address: Address, error: OSError, key: str = "listen") -> str:
    """Why listening on the address fails, and what to do; `key` is where the address is configured."""
    advice = {
        errno.EADDRINUSE: f"another program listens there: stop it, or change `{key}`",
        errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: see scripts/mtlsd.service",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }.get(error.errno or 0, error.strerror or str(error))
    return f"cannot listen on {address}: {advice}"
