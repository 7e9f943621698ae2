"""`mtlsd journal replay` of many messages and of delivered ones, and `mtlsd journal mdn`."""

from contextlib import closing
from pathlib import Path

import pytest

from mtlsd.ids import new_id
from mtlsd.journal.model import DeliveryState, Lane, Reason
from mtlsd.journal.proof.digests import mdn_octets
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.relay.request import idempotency_key
from tests.support.daemon import Tree
from tests.support.examples import MDN, accept, attempt, delivery, mdn_delivery, message, refusal
from tests.support.site import mtlsd, mtlsd_json, on_a_terminal

DELIVERED, FAILED, PENDING = DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING
LANE = Lane("acme", ordered=True)
LATER = 4e9  # seconds of the epoch: everything is due
IDS = [new_id(1000.0 + number) for number in range(6)]
MESSAGES = [message(number, id=id_) for number, id_ in enumerate(IDS)]


def opened(tree: Tree) -> closing[SQLiteJournal]:
    return closing(SQLiteJournal(tree.state / "journal.sqlite"))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Three messages that failed, one of them of another partner; one that was delivered; one that waits behind it."""
    tree = Tree(tmp_path)
    tree.state.mkdir()
    with opened(tree) as journal:
        for number, state in enumerate((FAILED, FAILED, FAILED, DELIVERED)):
            of = message(number, id=IDS[number], partner="globex" if number == 2 else "acme")
            lane = LANE if state is DELIVERED else Lane("")
            accept(journal, of, [delivery(of, id=f"{of.id}-1", lane=lane)])
            (claimed,) = journal.claim("node", 2000.0, 60.0, 1)
            reason = None if state is DELIVERED else "upstream_rejected"
            journal.record(attempt(claimed, reason=reason), "node", state=state, not_before=None, now=2001.0)
        accept(journal, MESSAGES[4], [delivery(MESSAGES[4], id=f"{IDS[4]}-1", lane=LANE)])
    return tree


def run(tree: Tree, *arguments: object) -> tuple[int, str, str]:
    result = mtlsd("journal", *arguments, "--config", tree.configuration)
    return result.exit_code, result.stdout, result.stderr


def states(tree: Tree) -> list[str]:
    """The state of the newest delivery of each message."""
    with opened(tree) as journal:
        return [str(each.state) for each in journal.messages(limit=9)][::-1]


def verified(tree: Tree) -> bool:
    (tree.state / "spool").mkdir(exist_ok=True)
    return mtlsd_json("journal", "verify", "--no-documents", "--config", tree.configuration)["broken"] is None


# --- Once more --------------------------------------------------------------------------------------------------------


def test_a_delivered_message_is_delivered_once_more_at_the_end_of_its_queue(tree: Tree) -> None:
    code, out, err = run(tree, "replay", IDS[3], "--again")
    assert (code, err) == (0, "")
    assert f"the same Idempotency-Key as before, {idempotency_key(MESSAGES[3])}" in out
    with opened(tree) as journal:
        made = journal.deliveries(IDS[3])
        assert [(each.state, each.lane, each.kind) for each in made] == [
            (DELIVERED, LANE, "backend"),
            (PENDING, LANE, "backend"),
        ]
        assert made[0].targets == made[1].targets
        assert [each.delivery.id for each in journal.claim("n", LATER, 60.0, 9)] == [f"{IDS[4]}-1"]
        ahead = journal.ahead(made[1])
        assert ahead
        assert ahead.id == f"{IDS[4]}-1"
    assert (len(states(tree)), states(tree)[3], verified(tree)) == (5, "pending", True)


def test_a_message_is_listed_once_with_the_state_of_its_newest_delivery(tree: Tree) -> None:
    assert run(tree, "replay", IDS[3], "--again")[0] == 0
    listed = {
        state: mtlsd_json("journal", "list", "--state", state, "--config", tree.configuration)
        for state in ("delivered", "pending")
    }
    assert [each["id"] for each in listed["delivered"]] == []
    assert [each["id"] for each in listed["pending"]] == [IDS[4], IDS[3]]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "nothing to do: the delivery to http://127.0.0.1:9000/inbound is failed\n"),
        (4, "nothing to do: the delivery to http://127.0.0.1:9000/inbound is pending\n"),
    ],
)
def test_only_a_delivered_message_is_delivered_once_more(tree: Tree, number: int, words: str) -> None:
    assert run(tree, "replay", IDS[number], "--again") == (1, "", words)


def test_a_message_that_is_already_to_be_delivered_once_more_is_refused(tree: Tree) -> None:
    assert run(tree, "replay", IDS[3], "--again")[0] == 0
    code, _, err = run(tree, "replay", IDS[3], "--again")
    assert (code, "is delivered; the delivery to http://127.0.0.1:9000/inbound is pending" in err) == (1, True)


@pytest.mark.parametrize("many", [False, True])
def test_a_message_whose_contents_were_deleted_is_not_delivered_once_more(tree: Tree, many: bool) -> None:
    with opened(tree) as journal:
        journal.proof.prune([IDS[3]], Reason("root", "retention", 3000.0))
    what = ("--state", "delivered", "--yes") if many else (IDS[3],)
    code, _, err = run(tree, "replay", *what, "--again")
    assert (code, "were deleted" in err, "only its record and MDN are stored" in err) == (1, True, True)
    assert states(tree)[3] == "delivered"


# --- Many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--state", "failed"), [0, 1, 2]),
        (("--state", "failed", "--partner", "acme"), [0, 1]),
        (("--state", "failed", "--since", "1970-01-01T00:16:41"), [1, 2]),
        (("--state", "failed", "--until", "1970-01-01T00:16:41"), [0]),
        (("--state", "failed", "--reason", "upstream_rejected", "--partner", "globex"), [2]),
        (("--state", "pending"), [4]),
        (("--state", "delivered", "--again"), [3]),
    ],
)
def test_many_messages_are_replayed(tree: Tree, options: tuple[str, ...], found: list[int]) -> None:
    before = states(tree)
    said = mtlsd_json("journal", "replay", *options, "--yes", "--config", tree.configuration)
    assert [each["message"] for each in said["due"]] == [IDS[number] for number in found]
    assert {each["idempotency_key"] for each in said["due"]} == {idempotency_key(MESSAGES[number]) for number in found}
    assert (said["skipped"], {each["state"] for each in said["due"]}) == ([], {"pending"})
    assert states(tree) == ["pending" if at in found else state for at, state in enumerate(before)]
    assert verified(tree)


def test_many_are_not_replayed_unless_somebody_confirms(tree: Tree) -> None:
    before = states(tree)
    code, out, err = run(tree, "replay", "--state", "failed")
    assert (code, out) == (1, "")
    assert err == "3 messages are failed, and nothing is done: stdin is not a terminal, so confirm with --yes\n"
    refused = on_a_terminal("journal", "replay", "--state", "failed", "--config", tree.configuration, typed="n\n")
    assert (refused[0], "3 messages are failed. Deliver them again? [y/N]" in refused[1]) == (1, True)
    assert states(tree) == before
    agreed = on_a_terminal("journal", "replay", "--state", "failed", "--config", tree.configuration, typed="y\n")
    assert (agreed[0], "3 deliveries are due; the daemon attempts them" in agreed[1]) == (0, True)
    assert "replaying" not in agreed[1]  # a progress bar is for what takes longer
    assert states(tree)[:3] == ["pending"] * 3


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "give an ID, or select messages with --state"),
        (("--partner", "acme"), 2, "give an ID, or select messages with --state"),
        ((IDS[0], "--partner", "acme"), 2, "give either an ID, or --state"),
        (("--state", "delivered"), 2, "--state delivered and --again belong together"),
        (("--state", "failed", "--again"), 2, "--state delivered and --again belong together"),
        (("--state", "failed", "--since", "today"), 1, "nothing to do: no message is selected"),
    ],
)
def test_a_selection_that_means_nothing_is_refused(tree: Tree, options: tuple[str, ...], code: int, words: str) -> None:
    before = states(tree)
    done = run(tree, "replay", *options, "--yes")
    assert (done[0], words in done[2]) == (code, True), done
    assert states(tree) == before


def test_json_says_what_is_due_or_dropped(tree: Tree) -> None:
    due = mtlsd_json("journal", "replay", IDS[0], "--config", tree.configuration)
    assert [(each["id"], each["state"]) for each in due["due"]] == [(f"{IDS[0]}-1", "pending")]
    dropped = mtlsd_json("journal", "drop", IDS[0], "--config", tree.configuration)
    assert [(each["id"], each["state"]) for each in dropped["dropped"]] == [(f"{IDS[0]}-1", "dropped")]


# --- The MDN ----------------------------------------------------------------------------------------------------------


def test_an_mdn_is_written_as_it_was_sent(tree: Tree) -> None:
    result = mtlsd("journal", "mdn", IDS[0], "--config", tree.configuration)
    assert (result.exit_code, result.stdout_bytes) == (0, mdn_octets(MDN))
    output = tree.root / "receipt.mdn"
    assert run(tree, "mdn", IDS[0], "--output", output) == (0, "", "")
    assert (output.read_bytes(), output.stat().st_mode & 0o777) == (mdn_octets(MDN), 0o600)
    assert run(tree, "mdn", IDS[0], "--output", output)[0] == 1


def test_an_mdn_on_a_terminal_has_no_control_characters(tree: Tree) -> None:
    code, written = on_a_terminal("journal", "mdn", IDS[0], "--config", tree.configuration)
    assert (code, "AS2-To: ACME" in written, "\0" in written, "\\x00" in written) == (0, True, False, True)


def test_an_altered_or_missing_mdn_is_said(tree: Tree) -> None:
    with opened(tree) as journal:
        accept(journal, message(5, id=IDS[5], mdn=None), [])
        journal.port.write(lambda db: db._db.execute("UPDATE messages SET mdn_body = ? WHERE id = ?", (b"x", IDS[0])))  # type: ignore[attr-defined]
    assert "no MDN: the message did not request one" in run(tree, "mdn", IDS[5])[2]
    code, out, err = run(tree, "mdn", IDS[0])
    assert (code, out, "was altered: run mtlsd journal verify" in err) == (1, "", True)


@pytest.mark.parametrize("refused", [False, True])
def test_an_asynchronous_mdn_is_sent_again(tree: Tree, refused: bool) -> None:
    about = refusal(9) if refused else message(5, id=IDS[5])
    sent = mdn_delivery(about, id=f"{IDS[5]}-mdn")
    with opened(tree) as journal:
        if refused:
            journal.promise(sent, refusal(9))
        else:
            accept(journal, message(5, id=IDS[5]), [sent])
    code, _, err = run(tree, "mdn", about.id, "--resend")
    assert (code, err) == (1, "the MDN is not sent yet, its delivery is pending: use mtlsd journal replay\n")
    with opened(tree) as journal:
        claimed = next(each for each in journal.claim("n", LATER, 60.0, 9) if each.delivery.id == sent.id)
        journal.record(attempt(claimed), "n", state=DELIVERED, not_before=None, now=LATER)
    said = mtlsd_json("journal", "mdn", about.id, "--resend", "--config", tree.configuration)
    with opened(tree) as journal:
        first, second = journal.deliveries(about.id)
    assert (second.id, second.state, second.targets) == (said["id"], PENDING, first.targets)
    assert (said["state"], said["target"]) == ("pending", "https://acme.example/mdn")
    assert verified(tree)


def test_a_synchronous_mdn_cannot_be_sent_again(tree: Tree) -> None:
    code, _, err = run(tree, "mdn", IDS[0], "--resend")
    assert (code, "the MDN was the HTTP response, so there is no URL" in err) == (1, True)


@pytest.mark.parametrize("options", [("--resend", "--output", "x"), ("--json",)])
def test_options_of_an_mdn_that_exclude_each_other_are_refused(tree: Tree, options: tuple[str, ...]) -> None:
    assert run(tree, "mdn", IDS[0], *options)[0] == 2
