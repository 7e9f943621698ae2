"""A document that the disk has damaged: its delivery says so and is tried again, and no other is disturbed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon import Tree, running
from tests.e2e.partner import disposition, kept, layered, message, send
from tests.net import backend as backends

PAYLOAD = bytes(range(256)) * 800


def cut(path: Path) -> None:
    path.write_bytes(PAYLOAD[:-1])


def grown(path: Path) -> None:
    path.write_bytes(PAYLOAD + b"more")


def missing(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    """A link is not followed; so not even root reads it."""
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


@pytest.mark.parametrize("damage", [cut, grown, missing, unreadable])
def test_a_damaged_document_is_not_sent_until_it_is_mended(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    with backends.running() as backend:
        backend.stop()
        tree = Tree(tmp_path / "tree", backend.url)
        bad = message("<bad@acme.example>", layered("sE", PAYLOAD, content_type="application/octet-stream"))
        good = message("<good@acme.example>")
        with running(tree) as daemon:
            assert disposition(send(daemon, bad), bad) == "processed"
            assert disposition(send(daemon, good), good) == "processed"
            daemon.wait_for("delivery_finished", message_id="<bad@acme.example>")
            found = kept(tree, "<bad@acme.example>")
            assert found
            path = tree.state / "spool" / (found.message.payload or "")
            damage(path)
            backend.start()
            daemon.wait_for("delivery_finished", message_id="<good@acme.example>", state="delivered")
            line = daemon.wait_for("delivery_finished", message_id="<bad@acme.example>", reason="internal_error")
            assert (line["level"], line["state"]) == ("warning", "pending")
            assert path.name in line["detail"]
            assert backend.count == 1, "the backend saw nothing of it"
            path.unlink(missing_ok=True)
            path.write_bytes(PAYLOAD)  # from a backup
            daemon.wait_for("delivery_finished", message_id="<bad@acme.example>", state="delivered")
            assert backend.wait_for("<bad@acme.example>").body == PAYLOAD
