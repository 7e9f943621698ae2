"""`mtlsd journal`: what was received and what became of it, safe to read in a terminal."""

from pathlib import Path

import pytest

from mtlsd.cli.journal import STATES
from mtlsd.journal import DeliveryState, SQLiteJournal, StoredMDN
from tests.cli.site import mtlsd, mtlsd_json
from tests.daemon import Tree
from tests.journal.examples import accept, attempt, delivery, message

EVIL = "\x1b[2J\x07evil\u202e"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Three messages: one delivered, one that failed once, one of another partner without a delivery."""
    tree = Tree(tmp_path)
    tree.state.mkdir()
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    for number in (1, 2):
        of = message(number)
        accept(journal, of, [delivery(of)])
    accept(journal, message(3, partner="globex", as2_from="GLOBEX", mdn=None), [])
    first, second = journal.claim("node", 2000.0, 60.0, 2)
    done = attempt(first, status=200)
    journal.record(done, "node", state=DeliveryState.DELIVERED, not_before=None, now=2001.0)
    failed = attempt(second, status=503, reason="upstream_5xx")
    journal.record(failed, "node", state=DeliveryState.PENDING, not_before=2060.0, now=2001.0)
    journal.close()
    return tree


def add(tree: Tree, **changes: object) -> None:
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    accept(journal, message(9, **changes), [])
    journal.close()


def ids(tree: Tree, *options: object) -> list[str]:
    listed = mtlsd_json("journal", "list", "--config", tree.configuration, *options)
    return [each["id"] for each in listed]


def test_the_newest_comes_first(tree: Tree) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ID", "0003", "0002", "0001"]
    assert "1970-01-01T00:16:41Z" in result.stdout
    assert result.stdout.splitlines()[3].endswith("delivered")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), ["0003", "0002", "0001"]),
        (("--limit", 1), ["0003"]),
        (("--before", "0002"), ["0001"]),
        (("--partner", "globex"), ["0003"]),
        (("--state", "pending"), ["0002"]),
        (("--state", "delivered", "--partner", "acme"), ["0001"]),
        (("--state", "failed"), []),
        (("--partner", "nobody"), []),
    ],
)
def test_it_lists_what_was_asked_for(tree: Tree, options: tuple[object, ...], found: list[str]) -> None:
    assert ids(tree, *options) == found


def test_a_full_page_says_where_the_next_one_begins(tree: Tree) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, "--limit", 2)
    assert result.stdout.splitlines()[-1] == "older ones: --before 0002"


def test_nothing_found_is_said(tree: Tree) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, "--state", "failed")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "no messages")


def test_the_states_are_those_of_a_delivery() -> None:
    assert tuple(DeliveryState) == STATES


@pytest.mark.parametrize("name", ["0002", "<2@acme.example>"])
def test_everything_about_a_message_is_shown(tree: Tree, name: str) -> None:
    result = mtlsd("journal", "show", name, "--config", tree.configuration)
    assert result.exit_code == 0
    for words in (
        "Message-ID      <2@acme.example>",
        "received        1970-01-01T00:16:42Z",
        "MIC             dGVzdA==, sha-256",
        f"signed by       {'ab' * 32}",
        "payload         messages/00/0001.payload",
        "  Subject   Ä",
        "delivery d0002 to http://127.0.0.1:9000/inbound: pending",
        "next attempt  1970-01-01T00:34:20Z",
        "  attempt 1  1970-01-01T00:00:01Z  503 upstream_5xx",
        "  Content-Type  multipart/report",
    ):
        assert words in result.stdout


def test_the_json_of_a_message_has_its_deliveries_and_its_mdn(tree: Tree) -> None:
    found = mtlsd_json("journal", "show", "0001", "--config", tree.configuration)
    assert (found["received_at"], found["size"]) == ("1970-01-01T00:16:41Z", 10_000)
    assert found["mdn"]["body"] == "\x00\r\n\xff"
    (made,) = found["deliveries"]
    assert (made["state"], made["attempts_made"], made["finished_at"]) == ("delivered", 1, "1970-01-01T00:33:21Z")
    assert made["attempts"][0]["status"] == 200
    assert made["attempts"][0]["finished_at"] == "1970-01-01T00:00:02Z"


def test_a_message_without_mdn_says_so(tree: Tree) -> None:
    assert "no MDN: none was asked for" in mtlsd("journal", "show", "0003", "--config", tree.configuration).stdout
    assert mtlsd_json("journal", "show", "0003", "--config", tree.configuration)["mdn"] is None


def test_an_unknown_id_is_a_failure(tree: Tree) -> None:
    result = mtlsd("journal", "show", "nobody", "--config", tree.configuration)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "no such message in the journal\n")


@pytest.mark.parametrize("command", [("list",), ("show", "0009"), ("list", "--json"), ("show", "0009", "--json")])
def test_no_control_character_of_a_peer_reaches_the_terminal(tree: Tree, command: tuple[str, ...]) -> None:
    mdn = StoredMDN(headers=(("X", EVIL),), body=EVIL.encode())
    headers = ((EVIL, EVIL),)
    texts = dict.fromkeys(("message_id", "subject", "filename", "as2_from", "as2_to", "content_type"), EVIL)
    add(tree, **texts, headers=headers, mdn=mdn)
    result = mtlsd("journal", *command, "--config", tree.configuration)
    assert result.exit_code == 0
    assert "evil" in result.output
    assert all(each.isprintable() for each in result.output.splitlines())


@pytest.mark.parametrize("command", [("list",), ("show", "0001")])
def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    tree = Tree(tmp_path)
    result = mtlsd("journal", *command, "--config", tree.configuration)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"there is no journal at {tree.state / 'journal.sqlite'}" in result.stderr
    assert not tree.state.exists()


def test_a_damaged_journal_is_said(tree: Tree) -> None:
    (tree.state / "journal.sqlite").write_bytes(b"not a database" * 1000)
    result = mtlsd("journal", "list", "--config", tree.configuration)
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


def test_a_bad_configuration_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("nonsense = 1\n")
    result = mtlsd("journal", "list", "--config", tmp_path / "x.toml")
    assert (result.exit_code, "x.toml:1: nonsense: " in result.stderr) == (78, True)
