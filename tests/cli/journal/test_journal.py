"""`mtlsd journal`: what was received and what became of it, safe to read in a terminal."""

import contextlib
import io
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mtlsd.cli.journal.listing import REFUSED, STATES, Wanted, follow
from mtlsd.ids import new_id
from mtlsd.journal.documents import MAX_INLINE, Document, keep
from mtlsd.journal.model import DeliveryState, Lane, StoredMDN
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import MIGRATIONS, SQLiteJournal
from tests.support.daemon import Tree
from tests.support.examples import FULL, MDN, accept, attempt, delivery, mdn_delivery, message, refusal
from tests.support.site import as_somebody_else, mtlsd, mtlsd_json, on_a_terminal

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
    assert result.stdout.splitlines()[3].split()[-3:] == ["delivered", "-", "order.edi"]
    assert result.stdout.splitlines()[2].split()[-3:] == ["pending", "upstream_5xx", "order.edi"]


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


@pytest.fixture
def dated(tree: Tree) -> dict[str, str]:
    """Messages with ids as the daemon makes them: the names of three, by the hour of their day; one was refused."""
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
    names = {}
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    for number, hour in enumerate((8, 9, 10), 20):
        at = noon + (hour - 12) * 3600
        of = message(number, id=new_id(at - 20), received_at=at)  # its header took a while
        accept(journal, of, [])
        names[of.id] = str(hour)
    refused = refusal(30, id=new_id(noon), refused_at=noon)
    journal.promise(mdn_delivery(refused), refused)
    names[refused.id] = "refused"
    journal.close()
    return names


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--since", "2026-11-21"), ["10", "9", "8"]),
        (("--since", "2026-11-21T09:00"), ["10", "9"]),
        (("--since", "2026-11-21T09:00:01Z"), ["10"]),
        (("--since", "2026-11-21T10:00+01:00"), ["10", "9"]),
        (("--since", "2026-11-21T08:00", "--until", "2026-11-21T09:00"), ["8"]),
        (("--since", "2026-11-21", "--limit", 1), ["10"]),
        (("--since", "2026-11-21", "--partner", "globex"), []),
        (("--until", "1970-01-01"), []),
        (("--since", "1s"), []),
        (("--state", "refused"), ["refused"]),
        (("--reason", "as2_signature_bad"), ["refused"]),
        (("--reason", "as2_signature_bad", "--until", "2026-11-21"), []),
        (("--reason", "as2_signature_bad", "--state", "failed"), []),
        (("--reason", "upstream_5xx"), ["0002"]),
    ],
)
def test_it_lists_by_time_and_by_reason(
    tree: Tree, dated: dict[str, str], options: tuple[object, ...], found: list[str]
) -> None:
    assert [dated.get(each, each) for each in ids(tree, *options)] == found


@pytest.mark.parametrize("value", ["tomorrow", "last week", "3 fortnights ago", "7w", "-1h", "h", "2026-13-01", "1e9d"])
def test_what_is_no_time_is_said(tree: Tree, value: str) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, "--since", value)
    assert (result.exit_code, "is neither a time such as" in result.stderr) == (2, True)


def test_a_refusal_is_listed_with_its_reason(tree: Tree, dated: dict[str, str]) -> None:
    (row,) = mtlsd_json("journal", "list", "--config", tree.configuration, "--state", "refused")
    assert (row["state"], row["reason"], row["size"]) == ("refused", "as2_signature_bad", None)


@pytest.fixture
def named(tree: Tree) -> Tree:
    """Messages with file names and subjects of their own, and a refusal."""
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    accept(journal, message(41, filename="Invoice-41.EDI", subject="Rechnung 41"), [])
    accept(journal, message(42, filename="invoice-42.edi", subject="100% of invoices"), [])
    accept(journal, message(43, filename="big_file.edi", subject=None), [])
    journal.accept([], [refusal(44)])
    journal.close()
    return tree


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--search", "INVOICE-"), ["0042", "0041"]),
        (("--search", "rechnung"), ["0041"]),
        (("--search", "<43@ACME"), ["0043"]),
        (("--search", "44@acme"), ["r0044"]),
        (("--search", "44@acme", "--state", "delivered"), []),
        (("--search", "file"), []),
        (("--search", "file", "--since", "1970-01-01"), ["0043"]),
        (("--search", "00% of", "--since", "1970-01-01"), ["0042"]),
        (("--search", "%", "--since", "1970-01-01"), ["0042"]),
        (("--search", "4@acme", "--since", "1970-01-01"), ["r0044"]),
        (("--filename", "invoice-*.edi"), ["0042", "0041"]),
        (("--filename", "invoice-?1.edi"), ["0041"]),
        (("--filename", "invoice"), []),
        (("--filename", "big?file.edi"), ["0043"]),
        (("--filename", "*4?.edi", "--since", "1970-01-01"), ["0042", "0041"]),
        (("--filename", "order*", "--partner", "globex"), ["0003"]),
        (("--filename", "order*", "--state", "pending"), ["0002"]),
        (("--filename", "order*", "--search", "<1@", "--reason", "upstream_5xx"), []),
        (("--filename", "order*", "--search", "2@", "--reason", "upstream_5xx"), ["0002"]),
    ],
)
def test_messages_are_found_by_their_texts(named: Tree, options: tuple[str, ...], found: list[str]) -> None:
    assert ids(named, *options) == found


def test_a_text_that_no_message_begins_with_needs_a_time(named: Tree) -> None:
    result = mtlsd("journal", "list", "--config", named.configuration, "--search", "file")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "no messages")
    assert "nothing begins with 'file'; to find the text anywhere, add --since" in result.stderr


def test_a_pattern_that_begins_with_a_wildcard_needs_a_time(named: Tree) -> None:
    result = mtlsd("journal", "list", "--config", named.configuration, "--filename", "*.edi")
    assert (result.exit_code, "begins with a wildcard" in result.stderr, "add --since" in result.stderr) == (
        2,
        True,
        True,
    )


def test_a_message_is_shown_by_its_file_name_if_no_other_has_the_name(named: Tree) -> None:
    shown = mtlsd("journal", "show", "INVOICE-42.edi", "--config", named.configuration)
    assert (shown.exit_code, "id              0042\n" in shown.stdout) == (0, True)
    several = mtlsd("journal", "show", "order.edi", "--config", named.configuration)
    assert (several.exit_code, several.stdout) == (1, "")
    assert several.stderr.startswith("3 messages have this file name: use one of these ids\n  0003  of globex, GLOBEX ")
    assert mtlsd("journal", "show", "order*", "--config", named.configuration).exit_code == 1


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_a_table_is_as_wide_as_the_terminal(tree: Tree, columns: int) -> None:
    add(tree, message_id=f"<{'x' * 300}@acme.example>", filename=f"{'y' * 200}.edi")
    code, written = on_a_terminal("journal", "list", "--config", tree.configuration, columns=columns)
    assert code == 0
    lines = [line for line in written.splitlines() if not line.startswith("left out")]
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines] == ["ID", "0009", "0003", "0002", "0001"]
    assert ("left out, because the terminal is too narrow: " in written) == (columns < 140)
    whole = mtlsd("journal", "list", "--config", tree.configuration).stdout
    assert ("x" * 300 in whole, "y" * 200 in whole) == (True, True)


class Enough(Exception):
    """Ends what would go on for ever."""


def followed(
    tree: Tree, wanted: Wanted, *steps: Callable[[SQLiteJournal], object], **bounds: int
) -> list[tuple[str, str | None]]:
    """What is written while, between the looks, these steps happen: ids and states."""
    path = tree.state / "journal.sqlite"
    to_come = iter(steps)

    def wait() -> None:
        step = next(to_come, None)
        if step is None:
            raise Enough
        with closing(SQLiteJournal(path)) as journal:
            step(journal)

    written = io.StringIO()
    with contextlib.redirect_stdout(written), pytest.raises(Enough):
        follow(lambda: closing(SQLiteJournal(path, read_only=True)), wanted, as_json=True, wait=wait, **bounds)
    rows = [json.loads(line) for line in written.getvalue().splitlines()]
    return [(row["id"], row["state"]) for row in rows]


def arrive(*numbers: int) -> Callable[[SQLiteJournal], object]:
    return lambda journal: [accept(journal, message(number), [delivery(message(number))]) for number in numbers]


def deliver(journal: SQLiteJournal) -> None:
    (claimed,) = journal.claim("node", 1e6, 60.0, 1)
    journal.record(attempt(claimed), "node", state=DeliveryState.DELIVERED, not_before=None, now=1e6)


def test_following_writes_the_newest_and_then_what_is_new_or_changes(tree: Tree) -> None:
    assert followed(tree, Wanted(2), arrive(4), lambda _: None, deliver, arrive(5, 6)) == [
        ("0002", "pending"),
        ("0003", None),
        ("0004", "pending"),
        ("0004", "delivered"),
        ("0005", "pending"),
        ("0006", "pending"),
    ]


def test_following_one_state_writes_what_comes_into_it(tree: Tree) -> None:
    assert followed(tree, Wanted(9, state="delivered"), deliver, arrive(4)) == [
        ("0001", "delivered"),
        ("0002", "delivered"),
    ]


def test_following_misses_nothing_of_a_crowd(tree: Tree) -> None:
    crowd = range(10, 40)
    assert followed(tree, Wanted(1), arrive(*crowd), arrive(50), page=4) == [
        ("0003", None),
        *((f"{number:04}", "pending") for number in crowd),
        ("0050", "pending"),
    ]


def test_following_remembers_only_so_much(tree: Tree) -> None:
    written = followed(tree, Wanted(1), *(arrive(number) for number in range(10, 30)), page=4, remember=6)
    assert [row for row, _ in written] == ["0003", *(f"{number:04}" for number in range(10, 30))]


def _take_interrupts() -> None:
    """Whoever runs the tests in the background has them ignore the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_following_in_text_is_a_line_each_and_ends_with_an_interrupt(tree: Tree) -> None:
    command = [sys.executable, "-m", "mtlsd", "journal", "list", "--follow", "--config", str(tree.configuration)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=_take_interrupts) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert (process.wait(20), process.stderr.read()) == (0, "")
    assert [line.split()[0] for line in lines] == ["0001", "0002", "0003"]
    assert lines[0].split() == [
        *(
            "0001",
            "1970-01-01T00:16:41Z",
            "acme",
            "ACME",
            "EXAMPLE",
            "<1@acme.example>",
            "10000",
            "delivered",
            "-",
            "order.edi",
        ),
    ]


def test_a_full_page_says_where_the_next_one_begins(tree: Tree) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, "--limit", 2)
    assert result.stdout.splitlines()[-1] == "for older messages: --before 0002"


def test_nothing_found_is_said(tree: Tree) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, "--state", "failed")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "no messages")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("upstream_5x", "unknown reason 'upstream_5x'; did you mean upstream_5xx"),
        ("QQQ", "unknown reason 'QQQ'. The reasons are "),
        ("upstream_5x", "? The reasons are "),
        ("QQQ", ", upstream_5xx, "),
    ],
)
def test_a_reason_that_nobody_gives_is_a_mistake(tree: Tree, value: str, words: str) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, "--reason", value)
    assert (result.exit_code, result.stdout, words in result.stderr) == (2, "", True), result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--partner", "acm"), "unknown partner 'acm': not in "),
        (("--partner", "acm"), "not in the journal; did you mean acme?\n"),
        (("--partner", "globex", "--state", "failed"), ""),  # in the journal alone
        (("--before", "!nothing"), "--before !nothing: the journal has no record with this id\n"),
        (("--before", "0001"), ""),
    ],
)
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_nothing_found_has_a_hint(tree: Tree, options: tuple[str, ...], words: str, as_json: tuple[str, ...]) -> None:
    result = mtlsd("journal", "list", "--config", tree.configuration, *options, *as_json)
    assert (result.exit_code, words in result.stderr, bool(result.stderr)) == (0, True, bool(words)), result.stderr


def test_the_states_are_those_of_a_delivery() -> None:
    assert (*DeliveryState, REFUSED) == STATES


@pytest.mark.parametrize("name", ["0002", "<2@acme.example>"])
def test_everything_about_a_message_is_shown(tree: Tree, name: str) -> None:
    result = mtlsd("journal", "show", name, "--config", tree.configuration)
    assert result.exit_code == 0
    for words in (
        "Message-ID      <2@acme.example>",
        "received        1970-01-01T00:16:42Z",
        "MIC             dGVzdA==, sha-256",
        f"signed by       {FULL.signer_sha256}",
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
    assert (
        "no MDN: the message did not request one"
        in mtlsd("journal", "show", "0003", "--config", tree.configuration).stdout
    )
    assert mtlsd_json("journal", "show", "0003", "--config", tree.configuration)["mdn"] is None


def test_base64_is_shown_only_if_it_is_asked_for(tree: Tree) -> None:
    lines = [f"{'A' * 62}{number:02}" for number in range(50)]
    body = "\r\n".join(["Thank you: processed.", "", *lines, "--boundary--"])
    add(tree, client_certificates=(b"\x30" * 900,), mdn=StoredMDN(headers=MDN.headers, body=body.encode()))
    short = mtlsd("journal", "show", "0009", "--config", tree.configuration).stdout
    assert "  Thank you: processed.\n\n  (50 lines of base64: --full shows them)\n  --boundary--\n" in short
    assert f"  :client-cert  :MDAw{'MDAw' * 10}"[:40] in short
    assert " (1202 characters: --full shows them)\n" in short
    assert max(map(len, short.splitlines())) < 160
    full = mtlsd("journal", "show", "0009", "--full", "--config", tree.configuration).stdout
    assert all(f"  {line}\n" in full for line in lines)
    assert "MDAw" * 300 in full
    found = mtlsd_json("journal", "show", "0009", "--config", tree.configuration)
    assert found["mdn"]["body"] == body


def test_a_refusal_is_shown_and_its_mdn_is_retried(tree: Tree) -> None:
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    journal.promise(mdn_delivery(refusal(9)), refusal(9))
    refused = next(each for each in journal.claim("node", 9000.0, 60.0, 9) if each.about == refusal(9))
    given_up = attempt(refused, status=404, reason="upstream_rejected")
    journal.record(given_up, "node", state=DeliveryState.FAILED, not_before=None, now=9001.0)
    journal.close()
    result = mtlsd("journal", "show", "<9@acme.example>", "--config", tree.configuration)
    for words in (
        "refused     1970-01-01T00:16:49Z",
        "reason      as2_signature_bad",
        "delivery mr0009 to https://acme.example/mdn: failed",
        "  kind   mdn",
        "404 upstream_rejected",
        "  Content-Type  multipart/report",
    ):
        assert words in result.stdout
    found = mtlsd_json("journal", "show", "<9@acme.example>", "--config", tree.configuration)
    assert (found["refused_at"], found["deliveries"][0]["kind"]) == ("1970-01-01T00:16:49Z", "mdn")
    retried = mtlsd("journal", "replay", "<9@acme.example>", "--config", tree.configuration)
    assert (retried.exit_code, "mr0009" in retried.stdout) == (0, True)


def test_an_unknown_id_is_a_failure(tree: Tree) -> None:
    result = mtlsd("journal", "show", "nobody", "--config", tree.configuration)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "the journal has no such message\n")


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


@pytest.mark.parametrize(
    "command", [("list",), ("show", "0001"), ("replay", "0001"), ("drop", "0001"), ("payload", "0001"), ("mdn", "0001")]
)
def test_a_journal_that_is_for_others_is_said(open_folder: Path, command: tuple[str, ...]) -> None:
    (open_folder / "x.toml").write_text('[[virtualhost]]\nname = "a.example"\nlisten = "127.0.0.1:1"\n')
    state = open_folder / "state"
    state.mkdir()
    state.chmod(0)
    with as_somebody_else():
        result = mtlsd("journal", *command, "--config", open_folder / "x.toml")
    state.chmod(0o700)
    advice = "cannot be read: Permission denied: run this as root or as the user of mtlsd"
    assert (result.exit_code, result.stderr) == (1, f"Error: the journal at {state / 'journal.sqlite'} {advice}\n")


def test_a_state_that_is_no_directory_is_said(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.state.write_bytes(b"a file")
    result = mtlsd("journal", "list", "--config", tree.configuration)
    assert (result.exit_code, "cannot be read: Not a directory" in result.stderr) == (1, True)


def test_a_journal_of_another_version_is_said_and_left_alone(tree: Tree) -> None:
    path = tree.state / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 0")
    before = path.read_bytes()
    result = mtlsd("journal", "list", "--config", tree.configuration)
    assert (result.exit_code, "the journal has version 0" in result.stderr) == (1, True)
    assert path.read_bytes() == before


def test_a_damaged_journal_is_said(tree: Tree) -> None:
    (tree.state / "journal.sqlite").write_bytes(b"not a database" * 1000)
    result = mtlsd("journal", "list", "--config", tree.configuration)
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


def test_a_bad_configuration_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("nonsense = 1\n")
    result = mtlsd("journal", "list", "--config", tmp_path / "x.toml")
    assert (result.exit_code, "x.toml:1: nonsense: " in result.stderr) == (78, True)


# --- Migrate --------------------------------------------------------------------------------------------------


def migrate(tree: Tree) -> tuple[int, str]:
    result = mtlsd("journal", "migrate", "--config", tree.configuration)
    return result.exit_code, result.output


def test_a_journal_of_our_version_needs_no_migration(tree: Tree) -> None:
    path = tree.state / "journal.sqlite"
    assert migrate(tree) == (0, f"the journal at {path} already has version {len(MIGRATIONS)}\n")
    assert ids(tree) == ["0003", "0002", "0001"]


def test_a_journal_without_a_version_is_migrated(tree: Tree) -> None:
    path = tree.state / "journal.sqlite"
    path.write_bytes(b"")
    assert migrate(tree) == (0, f"the journal at {path} now has version {len(MIGRATIONS)}; it was empty\n")
    assert ids(tree) == []


def test_a_journal_of_a_newer_version_is_not_migrated(tree: Tree) -> None:
    with closing(sqlite3.connect(tree.state / "journal.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    code, words = migrate(tree)
    assert (code, "version 99, from a newer mtlsd" in words) == (1, True)


def test_a_journal_that_is_not_there_is_not_made_by_a_migration(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    code, words = migrate(tree)
    assert (code, "there is no journal at" in words, tree.state.exists()) == (1, True, False)


def test_a_database_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    tree = Tree(tmp_path, server='journal = "postgresql://mtlsd@127.0.0.1:9/mtlsd"')
    code, words = migrate(tree)
    assert (code, "the journal at postgresql://mtlsd@127.0.0.1:9/mtlsd cannot be " in words) == (1, True)


# --- Retry ----------------------------------------------------------------------------------------------------


def fail(tree: Tree, *, now: float = 3000.0) -> None:
    """Let the delivery of the second message fail for good."""
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    (claimed,) = journal.claim("node", now, 60.0, 1)
    journal.record(attempt(claimed, status=400), "node", state=DeliveryState.FAILED, not_before=None, now=now)
    journal.close()


@pytest.mark.parametrize("name", ["0002", "<2@acme.example>"])
def test_a_failed_delivery_is_made_due_again(tree: Tree, name: str) -> None:
    fail(tree)
    result = mtlsd("journal", "replay", name, "--config", tree.configuration)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("delivery d0002 to http://127.0.0.1:9000/inbound is due; ")
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    (claimed,) = journal.claim("node", 4e9, 60.0, 1)
    journal.close()
    assert (claimed.delivery.id, claimed.delivery.attempts) == ("d0002", 3)


@pytest.mark.parametrize("options", [(), ("--any-backend",)])
def test_a_delivery_that_waits_is_made_due_and_unpinned(tree: Tree, options: tuple[str, ...]) -> None:
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        (claimed,) = journal.claim("node", 3000.0, 60.0, 1)
        tried = attempt(claimed, reason="upstream_timeout")
        pending, late = DeliveryState.PENDING, 9e9
        journal.record(tried, "node", state=pending, not_before=late, now=3001.0, pinned="http://b/")
    assert "pinned to     http://b/\n" in mtlsd("journal", "show", "0002", "--config", tree.configuration).stdout
    assert mtlsd("journal", "replay", "0002", "--config", tree.configuration, *options).exit_code == 0
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        (claimed,) = journal.claim("node", 4e9, 60.0, 1)
    assert (claimed.delivery.id, claimed.delivery.pinned) == ("d0002", None if options else "http://b/")


def test_what_waits_behind_another_says_for_what(tree: Tree) -> None:
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        for number in (11, 12):
            of = message(number)
            accept(journal, of, [delivery(of, lane=Lane("acme", ordered=True))])
        (claimed,) = journal.claim("node", 2000.0, 60.0, 1)
        failed = attempt(claimed, status=400, target="http://127.0.0.1:9001/b")
        journal.record(failed, "node", state=DeliveryState.FAILED, not_before=None, now=2001.0)
    first, second = (mtlsd("journal", "show", each, "--config", tree.configuration).stdout for each in ("0011", "0012"))
    assert "  waits for  delivery d0011 of 0011, which is failed\n" in second
    assert ("next attempt" in first, "next attempt" in second) == (False, False)
    assert "  attempt 1  1970-01-01T00:00:01Z  to http://127.0.0.1:9001/b  400\n" in first
    assert (
        mtlsd_json("journal", "show", "0012", "--config", tree.configuration)["deliveries"][0]["waits_for"] == "d0011"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0001", "nothing to do: the delivery to http://127.0.0.1:9000/inbound is delivered\n"),
        ("0003", "nothing to do: the message has no delivery\n"),
        ("nobody", "the journal has no such message\n"),
    ],
)
def test_what_has_not_failed_is_not_retried(tree: Tree, name: str, words: str) -> None:
    result = mtlsd("journal", "replay", name, "--config", tree.configuration)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", words)


def test_a_delivery_that_waits_or_has_failed_is_dropped_for_good(tree: Tree) -> None:
    fail(tree)
    dropped, again = (mtlsd("journal", "drop", "0002", "--config", tree.configuration) for _ in range(2))
    assert (dropped.exit_code, dropped.stdout) == (0, "delivery d0002 to http://127.0.0.1:9000/inbound is dropped\n")
    assert (again.exit_code, "is dropped" in again.stderr) == (1, True)
    replayed = mtlsd("journal", "replay", "0002", "--config", tree.configuration)
    assert (replayed.exit_code, replayed.stdout) == (1, "")


# --- One Message-ID for several messages ----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "replay", "drop", "payload", "prove", "mdn"])
def test_a_message_id_that_several_have_is_refused_and_their_ids_are_listed(tree: Tree, command: str) -> None:
    add(tree, message_id="<2@acme.example>", partner="beta", as2_from="BETA")
    (tree.state / "spool").mkdir()
    options = ("--output", tree.root / "out") if command in ("payload", "prove") else ()
    result = mtlsd("journal", command, "<2@acme.example>", "--config", tree.configuration, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "2 messages have this Message-ID: use one of these ids\n  0009  of beta, BETA to " in result.stderr
    assert "  0002  of acme, ACME to EXAMPLE: accepted at 1970-" in result.stderr
    assert ids(tree, "--state", "pending") == ["0002"]
    assert mtlsd("journal", "show", "0002", "--config", tree.configuration).exit_code == 0


def test_what_was_refused_at_first_is_known_by_the_message_that_was_accepted(tree: Tree) -> None:
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        journal.accept([], [refusal(2), refusal(5), replace(refusal(5), id="r0006"), refusal(3)])
    shown = [mtlsd("journal", "show", f"<{each}@acme.example>", "--config", tree.configuration) for each in (2, 5, 3)]
    assert [each.exit_code for each in shown] == [0, 1, 1]
    assert "r0006  of acme, ACME to EXAMPLE: refused, as2_signature_bad, at " in shown[1].stderr
    assert "  r0003  of acme" in shown[2].stderr  # the accepted one is of globex


# --- Payload --------------------------------------------------------------------------------------------------

SIZES = [39, MAX_INLINE + 1]  # in the journal, and in the spool
EDI = b"UNB+\x00\xff\r\n"


def document(size: int) -> bytes:
    return (EDI * size)[:size]


@pytest.fixture(params=SIZES)
def kept(tree: Tree, request: pytest.FixtureRequest) -> bytes:
    """A document as the daemon keeps it, of message 9."""
    spool = Spool(tree.state / "spool")
    data = document(request.param)
    received = Document(spool)
    received.write(data)
    kept = keep(spool, "0009", {"payload": received})
    journal = SQLiteJournal(tree.state / "journal.sqlite")
    accept(
        journal,
        message(9, payload=kept.names["payload"], size=len(data), digests=tuple(kept.digests.items())),
        [],
        kept.inline,
    )
    journal.close()
    return data


def test_a_document_is_written_to_stdout(tree: Tree, kept: bytes) -> None:
    result = mtlsd("journal", "payload", "<9@acme.example>", "--config", tree.configuration)
    assert (result.exit_code, result.stdout_bytes) == (0, kept)


def test_a_document_is_written_to_a_new_file_that_is_ours_alone(tree: Tree, kept: bytes) -> None:
    output = tree.root / "order.edi"
    result = mtlsd("journal", "payload", "0009", "--config", tree.configuration, "--output", output)
    assert (result.exit_code, result.output) == (0, "")
    assert (output.read_bytes(), output.stat().st_mode & 0o777) == (kept, 0o600)


def test_a_file_is_never_overwritten(tree: Tree, kept: bytes) -> None:
    output = tree.root / "order.edi"
    output.write_bytes(b"mine")
    result = mtlsd("journal", "payload", "0009", "--config", tree.configuration, "--output", output)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {output} already exists, and is never overwritten: give another path\n",
    )
    assert output.read_bytes() == b"mine"


def test_a_file_that_cannot_be_made_is_said(tree: Tree, kept: bytes) -> None:
    output = tree.root / "nowhere" / "order.edi"
    result = mtlsd("journal", "payload", "0009", "--config", tree.configuration, "--output", output)
    assert (result.exit_code, "cannot be written: No such file" in result.stderr) == (1, True)


def test_no_document_reaches_a_terminal(tree: Tree, kept: bytes) -> None:
    code, written = on_a_terminal("journal", "payload", "0009", "--config", tree.configuration)
    assert (code, "is not written to a terminal" in written, "UNB" in written) == (1, True, False)


def test_a_document_that_is_lost_is_said(tree: Tree) -> None:
    Spool(tree.state / "spool")
    result = mtlsd("journal", "payload", "0001", "--config", tree.configuration)
    missing = tree.state / "spool" / "messages" / "00" / "0001.payload"
    assert (result.exit_code, result.stderr) == (1, f"Error: {missing} cannot be read: No such file or directory\n")


def test_a_missing_spool_is_not_made(tree: Tree) -> None:
    result = mtlsd("journal", "payload", "0001", "--config", tree.configuration)
    assert (result.exit_code, result.stderr) == (1, f"there is no spool at {tree.state / 'spool'}\n")
    assert not (tree.state / "spool").exists()


def test_it_is_shown_where_a_document_is(tree: Tree, kept: bytes) -> None:
    shown = mtlsd("journal", "show", "0009", "--config", tree.configuration).stdout
    inline = len(kept) <= MAX_INLINE
    assert ("payload         in the journal (39 bytes)\n" in shown) == inline
    assert ("payload         messages/" in shown) != inline
