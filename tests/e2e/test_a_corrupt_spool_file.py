"""What is kept and was damaged, or altered: nothing of it is sent, the log says so, and no other is disturbed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support.daemon import Tree, acme, running
from tests.support.partner import disposition, kept, layered, message, send, with_fields
from tests.support.site import mtlsd

PAYLOAD = bytes(range(256)) * 800
OTHER = PAYLOAD[:-1] + b"!"  # of the same size


def cut(path: Path) -> None:
    path.write_bytes(PAYLOAD[:-1])


def grown(path: Path) -> None:
    path.write_bytes(PAYLOAD + b"more")


def altered(path: Path) -> None:
    path.write_bytes(OTHER)


def missing(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    """A link is not followed; so not even root reads it."""
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


@pytest.mark.parametrize("damage", [cut, grown, altered, missing, unreadable])
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


def change(tree: Tree, statement: str, *values: bytes) -> None:
    """What somebody does who can write the database, while the daemon runs."""
    with closing(sqlite3.connect(tree.state / "journal.sqlite")) as db, db:
        assert db.execute(statement, values).rowcount == 1


def change_document(tree: Tree, old: bytes, new: bytes) -> None:
    change(tree, "UPDATE documents SET data = ? WHERE data = ?", new, old)


def change_mdn(tree: Tree, old: bytes, new: bytes) -> None:
    change(tree, "UPDATE messages SET mdn_body = CAST(replace(mdn_body, ?, ?) AS BLOB)", old, new)


def test_a_document_in_the_database_that_was_altered_is_not_sent_until_it_is_mended(tmp_path: Path) -> None:
    with backends.running() as backend:
        backend.stop()
        tree = Tree(tmp_path / "tree", backend.url)
        with running(tree) as daemon:
            bad = message("<bad@acme.example>", layered("sE", b"UNB+100'"))
            assert disposition(send(daemon, bad), bad) == "processed"
            daemon.wait_for("delivery_finished", message_id="<bad@acme.example>")
            change_document(tree, b"UNB+100'", b"UNB+999'")
            backend.start()
            line = daemon.wait_for("delivery_finished", message_id="<bad@acme.example>", reason="internal_error")
            assert (line["level"], line["state"]) == ("warning", "pending")
            assert "in the database was altered: its SHA-256 is" in line["detail"]
            assert "mtlsd journal drop" in line["detail"]
            assert backend.count == 0
            change_document(tree, b"UNB+999'", b"UNB+100'")
            daemon.wait_for("delivery_finished", message_id="<bad@acme.example>", state="delivered")
            assert backend.wait_for("<bad@acme.example>").body == b"UNB+100'"


def test_an_altered_document_is_not_handed_out(tmp_path: Path) -> None:
    with backends.running() as backend, running(tree := Tree(tmp_path / "tree", backend.url)) as daemon:
        for name, body in (("small", b"UNB+100'"), ("large", PAYLOAD)):
            sent = message(f"<{name}@acme.example>", layered("sE", body, content_type="application/octet-stream"))
            assert disposition(send(daemon, sent), sent) == "processed"
        found = kept(tree, "<large@acme.example>")
        assert found
        altered(tree.state / "spool" / (found.message.payload or ""))
        change_document(tree, b"UNB+100'", b"UNB+999'")
        for name in ("small", "large"):
            result = mtlsd("journal", "payload", f"<{name}@acme.example>", "--config", tree.configuration)
            assert (result.exit_code, result.stdout_bytes) == (1, b"")
            assert "was altered: its SHA-256 is" in result.stderr


def test_an_mdn_in_the_database_that_was_altered_is_not_sent_again(tmp_path: Path) -> None:
    with backends.running() as backend, running(tree := Tree(tmp_path / "tree", backend.url)) as daemon:
        sent = message("<again@acme.example>")
        first = send(daemon, sent)
        assert disposition(first, sent) == "processed"
        change_mdn(tree, b"processed", b"discarded")
        assert send(daemon, sent).status == 503
        line = daemon.wait_for("exchange_finished", reason="journal_unavailable")
        assert "the MDN of" in line["detail"]
        assert "mtlsd journal verify" in line["detail"]
        change_mdn(tree, b"discarded", b"processed")
        assert send(daemon, sent).body == first.body


def test_an_altered_mdn_that_is_to_be_posted_is_not_posted(tmp_path: Path) -> None:
    with backends.running() as backend, backends.running() as receiver:
        receiver.stop()
        tree = Tree(tmp_path / "tree", backend.url)
        tree.add("acme", "ACME", acme(), f'mdn_urls = ["{receiver.origin}"]')
        with running(tree) as daemon:
            sent = with_fields(message("<posted@acme.example>"), Receipt_Delivery_Option=receiver.url)
            assert send(daemon, sent).status == 200
            daemon.wait_for("delivery_finished", kind="mdn", state="pending")
            change_mdn(tree, b"processed", b"discarded")
            receiver.start()
            line = daemon.wait_for("delivery_finished", kind="mdn", reason="internal_error")
            assert (line["state"], "the MDN of" in line["detail"]) == ("pending", True)
            assert receiver.count == 0
