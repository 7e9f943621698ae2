"""The sample backends of the documentation: each stores a document once, and refuses one that was damaged."""

import base64
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.daemon import Tree, running
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, send

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
KEYS = ("A" * 43, "-" + "K" * 42, "--" + "a" * 41, "_" * 43)  # base64url can begin with a hyphen


@contextmanager
def python(folder: Path) -> Iterator[int]:
    command = [sys.executable, "-P", str(EXAMPLES / "receiver.py"), str(folder), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline().rpartition(":")[2])
        process.terminate()


@contextmanager
def shell(folder: Path) -> Iterator[int]:
    """What a systemd socket with Accept=yes does: one process for each connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                with listening.accept()[0] as connection:
                    subprocess.run(
                        ["/bin/sh", str(EXAMPLES / "receiver.sh"), str(folder)],
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        check=False,
                    )

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.fixture(params=[python, shell], ids=["python", "shell"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    folder = tmp_path / "documents"
    folder.mkdir()
    with request.param(folder) as port:
        yield port, folder


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("payload", [EDI, bytes(range(256)) * 2000], ids=["small", "large"])
def test_it_gets_what_a_partner_sends(tmp_path: Path, receiver: tuple[int, Path], payload: bytes) -> None:
    port, folder = receiver
    sent = message(message_id := "<sample@acme.example>", layered(payload=payload))
    with running(Tree(tmp_path / "site", f"http://127.0.0.1:{port}/in")) as daemon:
        assert disposition(send(daemon, sent), sent) == "processed"
        daemon.wait_for("delivery_finished", state="delivered")
        found = kept(daemon.tree, message_id)
    assert found
    assert list(stored(folder).values()) == [payload]


def post(port: int, body: bytes, **fields: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/in", body, {name.replace("_", "-"): value for name, value in fields.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("key", KEYS)
def test_it_stores_a_document_once_and_no_damaged_one(receiver: tuple[int, Path], key: str) -> None:
    port, folder = receiver
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(EDI).digest()).decode()}:"
    whole = {"Content_Digest": digest, "Idempotency_Key": key, "Mtlsd_Attempt": "1"}
    assert post(port, EDI[:-1], **whole) == (503, b"the body does not have the digest in Content-Digest")
    assert post(port, EDI, Content_Digest=digest) == (400, b"no Idempotency-Key")
    assert post(port, EDI, **(whole | {"Idempotency_Key": "../x"}))[0] == 400
    assert stored(folder) == {}
    for _ in range(2):
        assert post(port, EDI, **whole) == (204, b"")
    assert stored(folder) == {key: EDI}


def test_the_shell_answers_503_if_the_document_cannot_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, folder = tmp_path / "bin" / "sync", tmp_path / "documents"
    for each in (stub.parent, folder):
        each.mkdir()
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(EDI).digest()).decode()}:"
    with shell(folder) as port:
        status, words = post(port, EDI, Content_Digest=digest, Idempotency_Key=KEYS[0])
    assert (status, words) == (503, b"the document cannot be stored")
    assert stored(folder) == {}
