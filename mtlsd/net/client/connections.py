"""Connections to servers that are kept for the next request, idle for IDLE_SECONDS at most.

A connection is taken only for the same server and the same TLS context, and so only with the same roots and the same
key pair. It is not taken if its socket is readable: then the server has closed it, or has sent octets that nobody asked
for, which a client would take for the next answer.
"""

import select
import ssl
from dataclasses import dataclass

import trio

from mtlsd.net.client.tls_stream import SecureStream

IDLE_SECONDS = 4  # less than the 5 seconds after which many servers close
MAX_IDLE = 32  # to one server
MAX_IDLE_IN_ALL = 256
CLOSE_SECONDS = 1

Stream = trio.SocketStream | SecureStream


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection leads, and by which context it was verified; None without TLS."""

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Idle:
    endpoint: Endpoint
    stream: Stream
    until: float  # of trio's clock


class IdleConnections:
    """The idle connections. None is kept unless `run` runs, which closes them in time."""

    def __init__(self) -> None:
        self._idle: list[_Idle] = []  # the oldest first
        self._runs = False
        self._kept_one = trio.Event()

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, endpoint: Endpoint) -> Stream | None:
        """The connection that was used last, if one can be used again. The caller closes it or keeps it again."""
        for each in [each for each in reversed(self._idle) if each.endpoint == endpoint]:
            self._idle.remove(each)
            if each.until > trio.current_time() and _is_silent(each.stream):
                return each.stream
            each.stream.socket.close()
        return None

    def keep(self, endpoint: Endpoint, stream: Stream) -> None:
        """Keep a connection whose last answer is complete, or close it if there are too many."""
        if not self._runs or sum(each.endpoint == endpoint for each in self._idle) >= MAX_IDLE:
            stream.socket.close()
            return
        self._idle.append(_Idle(endpoint, stream, trio.current_time() + IDLE_SECONDS))
        if len(self._idle) > MAX_IDLE_IN_ALL:
            self._idle.pop(0).stream.socket.close()
        self._kept_one.set()

    async def run(self) -> None:
        """Close what was idle for too long, until cancelled; then close all."""
        self._runs = True
        try:
            while True:
                self._kept_one = trio.Event()
                if not self._idle:
                    await self._kept_one.wait()
                await trio.sleep_until(self._idle[0].until if self._idle else 0)
                while self._idle and self._idle[0].until <= trio.current_time():
                    await _close(self._idle.pop(0).stream)
        finally:
            self._runs = False
            while self._idle:
                self._idle.pop().stream.socket.close()


async def _close(stream: Stream) -> None:
    with trio.move_on_after(CLOSE_SECONDS):
        await stream.aclose()


def _is_silent(stream: Stream) -> bool:
    """Whether the server has neither closed the connection nor sent anything more."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), select.POLLIN | select.POLLRDHUP)
    return not poll.poll(0) and not (isinstance(stream, SecureStream) and stream.has_unread)
