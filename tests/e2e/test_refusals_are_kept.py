"""A refusal that is answered at once is on disk and in the chain before the answer, if we know who sent the message."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.backend import Backend
from tests.support.daemon import Daemon, Tree, authority, certificate, running
from tests.support.partner import disposition, layered, message, send
from tests.support.site import mtlsd, mtlsd_json

STRANGER = certificate(authority("Nobody's Root"), "stranger.example")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Daemon]:
    with running(Tree(tmp_path_factory.mktemp("refused"), backend.url)) as running_daemon:
        yield running_daemon


def refusals(tree: Tree) -> list[dict[str, str]]:
    found = mtlsd_json("journal", "list", "--state", "refused", "--config", tree.configuration)
    assert isinstance(found, list)
    return found


def test_it_is_listed_shown_and_verified(daemon: Daemon) -> None:
    tree = daemon.tree
    sent = message("<unsigned@acme.example>", layered("E"))
    answer = send(daemon, sent)
    assert disposition(answer, sent).startswith("processed/error")
    (row,) = [each for each in refusals(tree) if each["message_id"] == "<unsigned@acme.example>"]
    assert (row["partner"], row["reason"]) == ("acme", answer.get("Mtlsd-Reason"))
    assert row["id"] == answer.get("Mtlsd-Request-Id")
    shown = mtlsd_json("journal", "show", row["id"], "--config", tree.configuration)
    assert isinstance(shown, dict)
    assert shown["mdn"]["body"].encode("latin-1") == answer.body
    assert shown["deliveries"] == []
    assert shown["configuration"]
    assert mtlsd("journal", "verify", "--config", tree.configuration).exit_code == 0


def test_one_without_an_mdn_is_kept_too(daemon: Daemon) -> None:
    answer = send(daemon, message("<no-mdn@acme.example>", layered("E"), mdn=None))
    assert answer.status == 400
    (row,) = [each for each in refusals(daemon.tree) if each["message_id"] == "<no-mdn@acme.example>"]
    shown = mtlsd("journal", "show", row["id"], "--config", daemon.tree.configuration).stdout
    assert "no MDN: the message did not request one" in shown


def test_a_signature_that_verified_is_as_good_as_a_client_certificate(daemon: Daemon) -> None:
    """The first is accepted, the second has its id and other content: both are signed by ACME."""
    for number, payload in enumerate((b"UNB+1'", b"UNB+2'")):
        sent = message("<other@acme.example>", layered("sE", payload))
        answer = send(daemon, sent, STRANGER, host="drop.example.com")
        assert (disposition(answer, sent) == "processed") == (number == 0)
    assert [each["reason"] for each in refusals(daemon.tree) if each["message_id"] == "<other@acme.example>"] == [
        "as2_duplicate_other_content"
    ]


def test_a_stranger_leaves_a_line_in_the_log_and_nothing_in_the_journal(daemon: Daemon) -> None:
    sent = message("<stranger@acme.example>", layered("E"))
    answer = send(daemon, sent, STRANGER, host="drop.example.com")
    assert disposition(answer, sent).startswith("processed/error")
    line = daemon.wait_for("exchange_finished", request_id=answer.get("Mtlsd-Request-Id"))
    assert line["reason"] == answer.get("Mtlsd-Reason")
    assert not {"as2_from", "as2_to", "message_id"} & line.keys()  # nobody proved them
    assert "<stranger@acme.example>" not in {each["message_id"] for each in refusals(daemon.tree)}


TAMPERED = {
    "UPDATE refusals SET reason = 'as2_to_unknown'": "was altered",
    "UPDATE refusals SET mdn_body = x'00'": "has another MDN",
    "DELETE FROM refusals": "was removed",
}


def test_one_that_was_tampered_with_is_named(tmp_path: Path) -> None:
    with running(tree := Tree(tmp_path / "tree")) as daemon:
        refused = send(daemon, message("<tampered@acme.example>", layered("E"))).get("Mtlsd-Request-Id")
    journal, whole = tree.state / "journal.sqlite", tmp_path / "whole.sqlite"
    shutil.copy(journal, whole)
    assert mtlsd("journal", "verify", "--config", tree.configuration).exit_code == 0
    for statement, what in TAMPERED.items():
        with closing(sqlite3.connect(journal)) as db, db:
            assert db.execute(statement).rowcount == 1
        result = mtlsd("journal", "verify", "--config", tree.configuration)
        assert (result.exit_code, f"about {refused}, {what}" in result.stderr) == (1, True)
        shutil.copy(whole, journal)
