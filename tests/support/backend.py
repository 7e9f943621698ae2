"""A backend, or a receiver of MDNs, that records what it gets, and misbehaves when it is told to.

One thread, standard library only.
"""

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

TIMEOUT = 15  # seconds; only a failing test waits so long
CLOSE, STALL = 0, -1  # instead of a status: close without an answer; never answer


@dataclass(frozen=True, slots=True)
class Delivered:
    """One request as the backend saw it; field names as they were spelled."""

    line: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    certificate: bytes | None = None  # the client's, in DER

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def without_number(self) -> "Delivered":
        """The request without the number of the attempt: every attempt is the same but for that."""
        return replace(self, fields=tuple(field for field in self.fields if field[0] != "Mtlsd-Attempt"))

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


Answered = tuple[Sequence[tuple[str, str]], bytes]  # header fields, and a body


class Backend:
    """Listens on an address of its own; can be stopped and started there again."""

    def __init__(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.requests: queue.Queue[Delivered] = queue.Queue()
        self.count = 0
        self.statuses: list[int] = []  # for the next requests; then what `status_of` says
        self.status_of: Callable[[Delivered], int] = lambda _: 200
        self.location: str | None = None  # where a redirect leads
        self.sloppy = b""  # what to answer, octet for octet, instead of a 200
        self.respond: Callable[[Delivered], Answered] | None = None  # what to answer instead of an empty 200
        self._tls = tls
        self._listening = _listen((address, 0))
        self.address: tuple[str, int] = self._listening.getsockname()[:2]
        self._stalled: list[socket.socket] = []
        self._unread: list[Delivered] = []
        self._serve()

    @property
    def url(self) -> str:
        return f"{self.origin}/inbound?from=mtlsd"

    @property
    def origin(self) -> str:
        host, port = self.address
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def wait(self) -> Delivered:
        """The next request, as soon as it is here."""
        return self.requests.get(timeout=TIMEOUT)

    def wait_for(self, message_id: str) -> Delivered:
        """The next request with this Message-ID; others are kept for later calls."""
        for request in self._unread:
            if request.get("Mtlsd-Message-Id") == message_id:
                self._unread.remove(request)
                return request
        while (request := self.wait()).get("Mtlsd-Message-Id") != message_id:
            self._unread.append(request)
        return request

    def stop(self) -> None:
        """Refuse connections from now on."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT)
        for connection in self._stalled:
            connection.close()
        self._stalled.clear()

    def start(self) -> None:
        """Listen on the same address again."""
        self._listening = _listen(self.address)
        self._serve()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._accept, args=(self._listening,), daemon=True)
        self._thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            try:
                connection.settimeout(TIMEOUT)
                connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
                self._answer(connection)
            except (OSError, EOFError):
                connection.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            request = _read(stream)
        if isinstance(connection, ssl.SSLSocket):
            request = replace(request, certificate=connection.getpeercert(binary_form=True))
        status = self.statuses.pop(0) if self.statuses else self.status_of(request)
        if status == 200 and self.sloppy:
            connection.sendall(self.sloppy)
        elif status > 0:
            fields, body = self.respond(request) if self.respond and status == 200 else ((), b"")
            where = (("Location", self.location),) if self.location else ()
            framing = (("Content-Length", str(len(body))), ("Connection", "close"))
            header = "".join(f"{name}: {value}\r\n" for name, value in (*where, *fields, *framing))
            connection.sendall(f"HTTP/1.1 {status} Whatever\r\n{header}\r\n".encode("latin-1") + body)
        self._stalled.append(connection) if status == STALL else connection.close()
        self.count += 1
        self.requests.put(request)


def _listen(address: tuple[str, int]) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(address)
    listening.listen(64)
    return listening


def _read(stream: BinaryIO) -> Delivered:
    lines = list(iter(lambda: stream.readline().decode("latin-1").rstrip("\r\n"), ""))
    if not lines:
        raise EOFError
    fields = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines[1:]))
    length = next((int(value) for name, value in fields if name.lower() == "content-length"), 0)
    body = stream.read(length)
    if len(body) < length or not fields:
        raise EOFError  # whoever sent it is gone
    return Delivered(lines[0], fields, body)


@contextmanager
def running(address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Backend]:
    backend = Backend(address, tls)
    try:
        yield backend
    finally:
        backend.stop()
