"""The backend breaks a kept connection: each document is still delivered in its one attempt, and known by its key."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.backend import TIMEOUT, Delivered, _read
from tests.support.daemon import Tree, running
from tests.support.partner import message, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Keeping:
    """A backend that keeps its connections; it closes the first one at its second request, without an answer."""

    def __init__(self) -> None:
        self.seen: list[list[Delivered]] = []  # the requests of each connection
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/inbound"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                connection.settimeout(TIMEOUT)
                seen: list[Delivered] = []
                self.seen.append(seen)
                threading.Thread(target=self._serve, args=(connection, seen), daemon=True).start()

    def _serve(self, connection: socket.socket, seen: list[Delivered]) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError, EOFError):
            while True:
                seen.append(_read(stream))
                if seen is self.seen[0] and len(seen) > 1:
                    return
                connection.sendall(OK)


@contextmanager
def keeping() -> Iterator[Keeping]:
    backend = Keeping()
    try:
        yield backend
    finally:
        backend.close()


def test_a_document_on_a_broken_connection_is_sent_again_with_its_key(tmp_path: Path) -> None:
    with keeping() as backend, running(Tree(tmp_path, backend.url)) as daemon:
        for number in (1, 2):
            send(daemon, message(f"<kept-{number}@acme.example>"))
            finished = daemon.wait_for("delivery_finished", message_id=f"<kept-{number}@acme.example>")
            assert (finished["state"], finished["attempt"]) == ("delivered", 1)
    first, second = backend.seen
    assert [each.get("Mtlsd-Message-Id") for each in first] == ["<kept-1@acme.example>", "<kept-2@acme.example>"]
    assert second == first[1:]  # octet for octet, with the same Idempotency-Key
    assert second[0].get("Idempotency-Key")
