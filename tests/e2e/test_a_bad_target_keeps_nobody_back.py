"""A partner's receiver of MDNs that never ends its answers, or documents of one partner that no backend can read.

The others' documents reach the backend all the same.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support import messages
from tests.support.daemon import Tree, acme, globex, keys, running
from tests.support.messages import EDI, Sent
from tests.support.partner import disposition, message, send, with_fields

ATTEMPTS = 40  # more than `concurrency`


@contextmanager
def receiver(octet: bytes) -> Iterator[str]:
    """Takes any request, begins to answer, and goes on and on; the URL."""
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not ended.wait(0.3):
                    connection.sendall(octet)
            except OSError:
                return

    def serve() -> None:
        try:
            while True:
                threading.Thread(target=answer, args=listening.accept()[:1], daemon=True).start()
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mdn"
        ended.set()


@pytest.mark.parametrize("octet", [b"", b"a"], ids=["silent", "dripping"])
def test_a_receiver_of_mdns_that_never_ends_its_answer(tmp_path: Path, octet: bytes) -> None:
    with backends.running() as own, receiver(octet) as url:
        tree = Tree(tmp_path, own.url, delivery="timeout_seconds = 2")
        tree.add("acme", "ACME", acme(), f'mdn_urls = ["{url}"]')
        with running(tree) as daemon:
            for number in range(ATTEMPTS):
                sent = with_fields(message(f"<{number}@acme.example>"), Receipt_Delivery_Option=url)
                assert send(daemon, sent).status == 200
            victim = of_globex("<victim@globex.example>")
            assert disposition(send(daemon, victim, globex()), victim) == "processed"
            assert own.wait_for("<victim@globex.example>").body == EDI
            line = daemon.wait_for("delivery_finished", kind="mdn")
            assert (line["state"], line["detail"]) == ("delivered", "the answer did not end in time")  # it said 200


def test_a_backend_that_stumbles_over_the_documents_of_one_partner(tmp_path: Path) -> None:
    with backends.running() as own:
        own.status_of = lambda request: 500 if request.get("Mtlsd-Partner") == "acme" else 200
        with running(Tree(tmp_path, own.url, delivery="pause_seconds = 3600")) as daemon:
            for number in range(20):
                assert send(daemon, message(f"<{number}@acme.example>")).status == 200
            for number in range(8):
                daemon.wait_for("delivery_finished", message_id=f"<{number}@acme.example>", state="pending")
            victim = of_globex("<victim@globex.example>")
            assert disposition(send(daemon, victim, globex()), victim) == "processed"
            assert own.wait_for("<victim@globex.example>").body == EDI
            daemon.wait_for("delivery_finished", message_id="<19@acme.example>", state="pending")


def of_globex(message_id: str) -> Sent:
    sealed = messages.encrypt(messages.sign(messages.entity(EDI), keys("GLOBEX")), keys("EXAMPLE"))
    return messages.message(sealed, as2_from="GLOBEX", message_id=message_id)
