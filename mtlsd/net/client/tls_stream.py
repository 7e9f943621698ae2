"""TLS for a connection that we open. Unlike `trio.SSLStream`, it sends its alert before it raises, so that the peer's
log shows why we closed the connection.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import trio

RECEIVE = 64 * 1024

T = TypeVar("T")


class SecureStream:
    """The client's side, for one task at a time. Every method raises ssl.SSLError and the errors of the socket."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext, server_name: str) -> None:
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket below TLS."""
        return self._stream.socket

    @property
    def has_unread(self) -> bool:
        """Whether octets were received that `receive_some` has not returned."""
        return bool(self._incoming.pending or self._tls.pending())

    async def do_handshake(self) -> None:
        """Verify the server, and agree on keys."""
        await self._retry(self._tls.do_handshake)

    async def send_all(self, data: bytes) -> None:
        """Send all the data."""
        if data:
            await self._retry(partial(self._tls.write, data))

    async def receive_some(self, max_bytes: int) -> bytes:
        """Receive some octets; none at the end, which many HTTP servers do not announce (RFC 9112, section 9.8)."""
        try:
            return await self._retry(partial(self._tls.read, max_bytes))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def aclose(self) -> None:
        """Send close_notify, and do not wait for the peer's."""
        try:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            with suppress(trio.BrokenResourceError):
                await self._flush()
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _retry(self, step: Callable[[], T]) -> T:
        """Repeat the step with each piece of input until it needs no more."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._pull()
            except ssl.SSLError:
                with suppress(trio.BrokenResourceError):
                    await self._flush()  # the alert
                raise
            else:
                await self._flush()
                return done

    async def _pull(self) -> None:
        if data := await self._stream.receive_some(RECEIVE):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._stream.send_all(data)
