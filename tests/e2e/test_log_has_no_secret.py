"""No payload, no key and no passphrase is ever in the log, whatever happens; and no client can forge a line of it."""

import base64
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support import messages
from tests.support.client import opened, request
from tests.support.daemon import Tree, acme, keys, running
from tests.support.partner import layered, message, send, with_fields
from tests.support.site import mtlsd

SECRET = b"UNH+1+ORDERS:D:96A:UN+the-secret-price-of-everything'"


def test_whatever_happens(tmp_path_factory: pytest.TempPathFactory) -> None:
    with backends.running() as backend:
        backend.statuses = [200, 400, 500, backends.CLOSE]
        tree = Tree(tmp_path_factory.mktemp("secret"), backend.url)
        stray = tree.certs / "partners" / "acme" / "tls" / "stray.pem"
        stray.write_bytes(acme().key_pem)
        with running(tree) as daemon:
            for number, entity in enumerate(_entities()):
                send(daemon, message(f"<secret-{number}@acme.example>", entity))
            send(daemon, with_fields(message("<secret-a@acme.example>"), Authorization="Bearer very-secret-token"))
            with opened(daemon.address, acme()) as client:
                client.send(b"POST /as2 HTTP/1.1\r\n" + SECRET + b"\r\n\r\n")
                assert client.answer().status == 400
            with opened(daemon.address, acme()) as client:
                client.request(request("POST", body=SECRET))
        log = "\n".join(map(str, daemon.log))
    for word in _secrets(tree):
        assert word not in log
    assert "secret-0@acme.example" in log


def test_the_query_of_a_backend_stays_between_us_and_it(tmp_path: Path) -> None:
    """It goes out with the request, and nowhere else: not into the log, nor into what the command line shows."""
    with backends.running() as one, backends.running() as two:
        one.stop()
        tree = Tree(tmp_path, "BACKENDS", delivery="failures_to_pause = 1")
        listed = ", ".join(f'"{each.origin}/in?api_key=hush"' for each in (one, two))
        tree.configuration.write_text(tree.configuration.read_text().replace('"BACKENDS"', f"[{listed}]"))
        with running(tree) as daemon:
            send(daemon, message("<query@acme.example>"))
            assert two.wait().line == "POST /in?api_key=hush HTTP/1.1"
            line = daemon.wait_for("delivery_finished", state="delivered")
            daemon.wait_for("backend_paused", backend=f"{one.origin}/in")
        assert line["target"] == f"{two.origin}/in"
        assert "hush" not in "\n".join(map(str, daemon.log))
        said = [
            mtlsd(*words, "--config", tree.configuration)
            for shown in (("journal", "show", "<query@acme.example>"), ("journal", "list"), ("check",))
            for words in (shown, (*shown, "--json"))
        ]
    assert [(each.exit_code, "hush" in each.output) for each in said] == [(0, False)] * 6
    assert f"{two.origin}/in" in said[0].stdout
    assert "has a query: do not keep a secret in this file" in said[4].stdout


def _entities() -> "list[bytes]":
    good = layered("sE", SECRET)
    return [
        good,
        layered("csE", SECRET),
        layered("scE", SECRET),
        layered("s", SECRET),
        layered("", SECRET),
        layered("sE", SECRET, sender=keys("STRANGER")),
        layered("sE", SECRET, recipient=keys("ANOTHER")),
        messages.encrypt(layered("s", SECRET).replace(b"price", b"prize"), keys("EXAMPLE")),
        messages.encrypt(SECRET, keys("EXAMPLE")),
        good[:-50],
    ]


def _secrets(tree: Tree) -> "list[str]":
    pems = [path.read_text() for path in tree.certs.rglob("key.pem")]
    lines = [line for pem in pems for line in pem.splitlines() if line and "-----" not in line]
    words = ["secret-price", "secret-prize", "very-secret-token", "PRIVATE KEY-----"]
    return words + lines + [base64.b64encode(SECRET)[:40].decode()]


@pytest.mark.parametrize("name", ["Message-ID", "Subject", "User-Agent", "AS2-From"])
def test_no_client_forges_a_line(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    forged = '"}\\n{"event": "forged", "level": "info"}  \x85 \u2028'.encode().decode("latin-1")
    with running(Tree(tmp_path_factory.mktemp("forged"))) as daemon:
        sent = with_fields(message("<forged@acme.example>"), **{name: f"<{forged}>"})
        with opened(daemon.address, acme()) as client:
            client.request(request("POST", f"/as2?{'%0a' * 3}", sent.fields, sent.body))
    assert {line["event"] for line in daemon.log} <= {
        "started",
        "checkpoint_signed",
        "exchange_finished",
        "delivery_finished",
        "stopping",
        "stopped",
    }
