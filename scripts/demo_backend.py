"""A demo backend: an HTTP server that stores every request, detects no duplicates, and can be stopped and restarted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One received request."""

    headers: dict[str, str]
    body: bytes


class Backend:
    """Listens on a port that the system chooses, and on the same port after each `start`."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._received: list[Received] = []
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/inbound"

    @property
    def received(self) -> tuple[Received, ...]:
        """All requests so far, across all starts and stops."""
        with self._changed:
            return tuple(self._received)

    def start(self) -> None:
        """Listen, and store each request."""
        assert self._server is None
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Close the port: new connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_for(self, count: int, seconds: float) -> bool:
        """Whether there are at least `count` requests within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._received) >= count, seconds)

    def with_key(self, key: str) -> int:
        """The number of requests with this Idempotency-Key."""
        return sum(each.headers.get("idempotency-key") == key for each in self.received)

    def _keep(self, received: Received) -> None:
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        keep = self._keep

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name that http.server calls
                body = self.rfile.read(int(self.headers["Content-Length"]))
                keep(Received({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as http.server has it
                """The scenario prints the requests itself."""

        return Handler


@contextmanager
def running() -> Iterator[Backend]:
    """A running backend, stopped at the end."""
    backend = Backend()
    try:
        yield backend
    finally:
        backend.stop()
