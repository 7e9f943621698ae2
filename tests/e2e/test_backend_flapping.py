"""A backend that goes up and down and answers badly in every way: each delivery is made in the end, under one key."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.backend import Delivered, _read
from tests.support.daemon import Tree, resident, running
from tests.support.partner import layered, message, send

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MIB = 1 << 20


class Flapping:
    """Each message meets one misbehaviour, by its Message-ID, and then is taken."""

    def __init__(self, ways: "dict[str, Way]") -> None:
        self._ways = dict(ways)
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.taken: list[Delivered] = []
        self.seen: list[Delivered] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/inbound"

    def trickle(self, connection: socket.socket, octets: Iterator[bytes]) -> None:
        """One after another, slowly, until the client leaves."""
        for each in octets:
            connection.sendall(each)
            if self._over.wait(0.2):
                return

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, EOFError):
            connection.settimeout(10)
            head = connection.recv(65536, socket.MSG_PEEK)
            message_id = head.split(b"Mtlsd-Message-Id: ")[1].split(b"\r\n")[0].decode()
            if way := self._ways.pop(message_id, None):
                way(self, connection)
                return
            self.taken.append(_whole(connection))
            connection.sendall(FINE)


Way = Callable[[Flapping, socket.socket], None]


def _whole(connection: socket.socket) -> Delivered:
    with connection.makefile("rb") as stream:
        return _read(stream)


def saying(answer: bytes) -> Way:
    """Read the request, say this, and close."""

    def way(flapping: Flapping, connection: socket.socket) -> None:
        flapping.seen.append(_whole(connection))
        connection.sendall(answer)

    return way


def close_at_once(flapping: Flapping, connection: socket.socket) -> None:
    """Down, as far as anybody can tell."""


def answer_unread(flapping: Flapping, connection: socket.socket) -> None:
    """Say yes to a document that is not here yet."""
    connection.recv(1000)
    connection.sendall(FINE)


def trickle_header(flapping: Flapping, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    flapping.trickle(connection, iter(lambda: b"x", b""))


def trickle_1xx(flapping: Flapping, connection: socket.socket) -> None:
    flapping.trickle(connection, iter(lambda: b"HTTP/1.1 102 Processing\r\n\r\n", b""))


def trickle_body(flapping: Flapping, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    flapping.trickle(connection, iter(lambda: b"x", b""))


def huge_answer(flapping: Flapping, connection: socket.socket) -> None:
    """4 GiB of an error page."""
    flapping.seen.append(_whole(connection))
    connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 4294967296\r\n\r\n")
    for _ in range(4096):
        connection.sendall(bytes(MIB))


WAYS: dict[str, Way] = {
    "close": close_at_once,
    "nothing": saying(b""),
    "200 and a body that ends early": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
    "half a header": saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "garbage": saying(bytes(range(256)) * 100),
    "a long header": saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MIB),
    "1xx only": saying(b"HTTP/1.1 100 Continue\r\n\r\n" * 10),
    "503": saying(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n"),
    "4 GiB": huge_answer,
    "200 unread": answer_unread,
    "a header that trickles": trickle_header,
    "1xx that trickle": trickle_1xx,
    "a body that trickles": trickle_body,
}


TAKEN = {  # ways to answer 200 to the whole request, whatever follows
    "200 and a body that ends early",
    "half a header",
    "a long header",
    "a header that trickles",
    "a body that trickles",
}


@contextmanager
def flapping(ways: dict[str, Way]) -> Iterator[Flapping]:
    backend = Flapping(ways)
    try:
        yield backend
    finally:
        backend.close()


def test_an_answer_without_a_status_is_no_answer_and_the_delivery_is_made_in_the_end(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 40_000  # 10 MB, more than the buffers of a socket hold
    ids = {name: f"<bad-{number}@acme.example>" for number, name in enumerate(WAYS)}
    ways = {ids[name]: way for name, way in WAYS.items()}
    again = [ids[name] for name in WAYS if name not in TAKEN]
    settings = "timeout_seconds = 1\nfailures_to_pause = 1000"
    with flapping(ways) as backend, running(Tree(tmp_path, backend.url, delivery=settings)) as daemon:
        send(daemon, message("<good@acme.example>", layered("sE", payload)))
        before = resident(daemon)
        for message_id, way in ways.items():
            send(daemon, message(message_id, layered("sE", payload if way is answer_unread else b"small")))
        for name in TAKEN:
            daemon.wait_for("delivery_finished", message_id=ids[name], state="delivered", attempt=1, status=200)
        for message_id in again:
            first = daemon.wait_for("delivery_finished", message_id=message_id)
            assert (first["state"], first["level"]) == ("pending", "warning"), message_id
            assert first["reason"].startswith("upstream_")
        for message_id in again:
            daemon.wait_for("delivery_finished", message_id=message_id, state="delivered", attempt=2)
        assert resident(daemon) - before < 64 * MIB
    taken = {each.get("Mtlsd-Message-Id"): each for each in backend.taken}
    assert len(backend.taken) == len(taken) == len(again) + 1
    for seen in backend.seen:
        if seen.get("Mtlsd-Message-Id") in again:
            assert seen.without_number() == taken[seen.get("Mtlsd-Message-Id")].without_number()


def test_a_redirect_is_a_refusal_and_is_not_followed(tmp_path: Path) -> None:
    redirect = saying(b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
    with flapping({"<redirect@acme.example>": redirect}) as backend:
        with running(Tree(tmp_path, backend.url)) as daemon:
            send(daemon, message("<redirect@acme.example>"))
            line = daemon.wait_for("delivery_finished", state="failed")
            assert (line["reason"], line["status"]) == ("upstream_rejected", 307)
        assert not backend.taken


def test_answers_that_trickle_hold_up_nobody_while_there_is_room(tmp_path: Path) -> None:
    slow = {f"<slow-{number}@acme.example>": trickle_header for number in range(7)}
    settings = "timeout_seconds = 3\nconcurrency = 8"
    with flapping({**slow}) as backend, running(Tree(tmp_path, backend.url, delivery=settings)) as daemon:
        for message_id in (*slow, "<quick@acme.example>"):
            send(daemon, message(message_id))
        line = daemon.wait_for("delivery_finished")
        assert (line["message_id"], line["state"]) == ("<quick@acme.example>", "delivered")
        daemon.kill()
