"""Whatever is altered, removed or inserted in the journal of a real daemon, `mtlsd journal verify` names it."""

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from mtlsd.journal.documents import MAX_INLINE
from mtlsd.journal.proof.chain import Entry, Head, Note, follow
from mtlsd.journal.proof.verify import chain_entries
from mtlsd.journal.sql.sqlite import SQLiteJournal
from tests.support import messages
from tests.support.backend import Backend
from tests.support.daemon import Tree, keys, running
from tests.support.partner import layered, message, send, with_fields
from tests.support.site import mtlsd, mtlsd_json, on_a_terminal

LARGE = b"UNB+UNOA:1'" * (MAX_INLINE // 8)
IDS = [f"<{name}@acme.example>" for name in ("small", "large", "plain", "opaque", "later")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Tree:
    """What a daemon left that took five messages, delivered them, reloaded once, and was stopped."""
    tree = Tree(tmp_path_factory.mktemp("finished"), backend.url)
    tree.configure('[proof]\ncheckpoints = "elsewhere"\n')
    entity = messages.entity(b"opaque", "application/EDIFACT")
    signed = messages.signed_data_by_openssl(entity, keys("ACME"), "sha256", "-nodetach")
    opaque = messages.encrypt(messages.smime("signed-data", signed), keys("EXAMPLE"))
    bodies = [None, layered(payload=LARGE), layered("sE"), opaque, None]
    with running(tree) as daemon:
        for number, body in enumerate(bodies):
            if number == 4:
                (tree.certs / "partners" / "acme" / "partner.toml").write_text('as2_id = "ACME"\nasync_ack = 202\n')
                daemon.reload()
            assert send(daemon, message(IDS[number], body)).status == 200
            daemon.wait_for("delivery_finished", message_id=IDS[number], state="delivered")
    return tree


@pytest.fixture
def tree(finished: Tree, tmp_path: Path) -> Tree:
    """A copy of it, for one test to spoil."""
    shutil.copytree(finished.root, tmp_path / "copy")
    copy = Tree.__new__(Tree)
    copy.__dict__.update(finished.__dict__ | {"root": tmp_path / "copy"})
    return copy


def verify(tree: Tree, *options: object) -> tuple[int, str]:
    result = mtlsd("journal", "verify", "--config", tree.configuration, *options)
    return result.exit_code, result.stdout + result.stderr


def spoil(tree: Tree, *statements: str) -> None:
    with closing(sqlite3.connect(tree.state / "journal.sqlite")) as db, db:
        for statement in statements:
            db.execute(statement.replace("FIRST", FIRST))


def test_an_untouched_journal_is_whole(tree: Tree) -> None:
    code, said = verify(tree)
    assert code == 0, said
    assert re.match(r"node [0-9a-f]{32}: 12 entries; 2 checkpoints, the last one covers entry 12\n", said)
    assert said.endswith("5 messages and refusals are unchanged\n")


def test_it_is_verified_while_the_daemon_runs(tree: Tree) -> None:
    with running(tree) as daemon:
        assert send(daemon, message("<running@acme.example>")).status == 200
        assert verify(tree)[0] == 0
        assert verify(tree, "--no-documents")[0] == 0


def test_a_terminal_gets_a_progress_bar(tree: Tree) -> None:
    code, said = on_a_terminal("journal", "verify", "--config", tree.configuration)
    assert code == 0
    assert "verifying" in said


FIRST = "(SELECT id FROM messages ORDER BY id LIMIT 1)"

# what is done, and what is said then; the second entry is the first message's
TAMPERED: dict[str, tuple[tuple[str, ...], str]] = {
    "an entry altered": (("UPDATE entries SET at = at + 1 WHERE number = 5",), "entry 5 .* was altered"),
    "an entry removed": (("DELETE FROM entries WHERE number = 5",), "entry 5 .* was removed"),
    "several entries removed": (("DELETE FROM entries WHERE number IN (5, 6)",), "entry 5 .* or one of those up to 6"),
    "the first entry removed": (("DELETE FROM entries WHERE number = 1",), "entry 1 .* was removed"),
    "the end cut off": (
        ("DELETE FROM entries WHERE number > 9",),
        "entry 10 .* was removed, with all entries up to 12",
    ),
    "all entries removed": (("DELETE FROM entries",), "entry 1 .* was removed, with all entries up to 12"),
    "an entry inserted": (
        ("INSERT INTO entries SELECT 99, node, 13, at, kind, subject, facts, previous, digest FROM entries LIMIT 1",),
        "entry 13 .* was altered",
    ),
    "two entries exchanged": (
        (
            "UPDATE entries SET number = 99 WHERE number = 4",
            "UPDATE entries SET number = 4 WHERE number = 7",
            "UPDATE entries SET number = 7 WHERE number = 99",
        ),
        "entry 4 .* was altered",
    ),
    "a message altered": (("UPDATE messages SET mic = 'AAAA' WHERE id = FIRST",), "entry 2 .* was altered: its row"),
    "a Message-ID altered": (
        ("UPDATE messages SET message_id = '<x@y>' WHERE id = FIRST",),
        "entry 2 .* was altered: its row",
    ),
    "an MDN altered": (("UPDATE messages SET mdn_body = x'00' WHERE id = FIRST",), "entry 2 .* has another MDN"),
    "a message removed": (
        (
            "DELETE FROM attempts",
            "DELETE FROM deliveries",
            "DELETE FROM messages WHERE id = FIRST",
        ),
        "entry 2 .* was removed: the chain has an entry for it",
    ),
    "a delivery altered": (("UPDATE deliveries SET target = 'http://192.0.2.1/'",), "entry 2 .* that was altered"),
    "a delivery removed": (
        ("DELETE FROM attempts", "DELETE FROM deliveries"),
        "entry 2 .* has lost its delivery",
    ),
    "a delivery undone": (
        ("UPDATE deliveries SET state = 'failed'",),
        "entry 2 .* is failed, but was entered as delivered",
    ),
    "an attempt altered": (("UPDATE attempts SET status = 204",), "entry 2 .* has attempts up to 1 at "),
    "an attempt's target altered": (
        ("UPDATE attempts SET target = 'http://b/'",),
        "entry 2 .* has attempts up to 1 at ",
    ),
    "an attempt inserted": (
        ("INSERT INTO attempts SELECT delivery_id, 2, 1.0, 2.0, 200, NULL, '', NULL FROM attempts",),
        "entry 2 .* has an attempt after number 1 at .* that was inserted",
    ),
    "an end altered": (("UPDATE deliveries SET finished_at = 1",), "entry 2 .* that ended at another time"),
    "a certificate removed": (("DELETE FROM certificates",), "entry 2 .* has lost the certificate of its signer"),
    "a certificate replaced": (
        ("UPDATE certificates SET der = x'00'",),
        "a row, about [0-9a-f]{64}, is the certificate of a signer that was replaced",
    ),
    "a document altered": (
        ("UPDATE documents SET data = x'00' WHERE name = (SELECT payload FROM messages WHERE id = FIRST)",),
        "entry 2 .* has another payload",
    ),
    "a signed copy removed": (
        ("DELETE FROM documents WHERE name = (SELECT signed FROM messages WHERE id = FIRST)",),
        "entry 2 .* has lost its signed",
    ),
    "contents gone without a word": (
        ("UPDATE messages SET contents = 0", "DELETE FROM documents"),
        "entry 2 .* was altered: it has 0 octets of contents",
    ),
    "a message inserted": (
        (
            "CREATE TEMP TABLE forged AS SELECT * FROM messages LIMIT 1",
            "UPDATE forged SET id = '00', message_id = '<forged@acme.example>'",
            "INSERT INTO messages SELECT * FROM forged",
        ),
        "a row, about 00, was inserted: no chain has an entry for it",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_done_is_named(tree: Tree, name: str) -> None:
    statements, words = TAMPERED[name]
    spoil(tree, *statements)
    code, said = verify(tree)
    assert code == 1
    assert re.search(words, said), said
    assert "Keep the state directory unchanged" in said


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), Path.unlink])
def test_a_file_in_the_spool_is_named(tree: Tree, change: Callable[[Path], object]) -> None:
    (path, *_) = sorted(tree.state.glob("spool/messages/*/*.payload"))
    change(path)
    code, said = verify(tree)
    assert code == 1
    assert re.search(rf"entry 4 .* about {path.name.partition('.')[0]}, .*payload .*{path.name}", said), said


def node_of(tree: Tree) -> str:
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        (node,) = journal.proof.nodes()
    return node


def write_anew(tree: Tree, change: Callable[[Entry], Note]) -> None:
    """Write all entries once more, with digests that fit."""
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        entries = list(chain_entries(journal, node_of(tree)))
    forged = list(follow(Head(), node_of(tree), map(change, entries)))
    with closing(sqlite3.connect(tree.state / "journal.sqlite")) as db, db:
        db.execute("DELETE FROM entries")
        rows = [(e.number, e.node, e.number, e.at, e.kind, e.subject, e.facts, e.previous, e.digest) for e in forged]
        db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def test_a_history_that_was_written_anew_shows_by_its_checkpoint(tree: Tree) -> None:
    """Whoever can write the journal can make every digest anew; what was signed elsewhere stays."""
    write_anew(tree, lambda entry: Note(entry.kind, entry.subject, entry.at, {"forged": True}))
    code, said = verify(tree)
    assert code == 1
    assert "entry 1 of node" in said
    assert "the signed checkpoint has another digest" in said


def test_a_checkpoint_that_somebody_else_signed_is_named(tree: Tree) -> None:
    (path,) = (tree.root / "elsewhere").glob("*.jsonl")
    path.write_text(path.read_text().replace('"number": 12', '"number": 11'))
    code, said = verify(tree)
    assert code == 1
    assert re.search(r"entry 11 .* has a checkpoint, in line 2 of .*\.jsonl, that the node did not sign", said), said


LOST: dict[str, tuple[Callable[[Path], object], str]] = {
    "a line removed": (
        lambda path: path.write_bytes(path.read_bytes().splitlines(keepends=True)[1]),
        "entry 1 .* has lost a checkpoint: expected number 1, found 2",
    ),
    "a line made garbage": (
        lambda path: path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b"garbage\n"),
        "has lost a checkpoint: line 2 of .* cannot be read",
    ),
    "the file removed": (Path.unlink, "elsewhere has no checkpoint of its entries, which begin at"),
    "the directory removed": (
        lambda path: shutil.rmtree(path.parent),
        "elsewhere has no checkpoint of its entries, which begin at .*: anyone",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_checkpoints_that_were_lost_are_named(tree: Tree, name: str) -> None:
    change, words = LOST[name]
    (path,) = (tree.root / "elsewhere").glob("*.jsonl")
    if "no checkpoint" in words:
        age(tree)
    change(path)
    code, said = verify(tree)
    assert code == 1
    assert re.search(words, said), said


def test_a_public_key_that_is_missing_is_named(tree: Tree) -> None:
    (path,) = (tree.root / "elsewhere").glob("*.pem")
    path.unlink()
    code, said = verify(tree)
    words = f"Error: {path} cannot be read: No such file or directory. Put the public key of the node there\n"
    assert (code, said) == (1, words)


def age(tree: Tree) -> None:
    """Let all entries be a day old."""
    write_anew(tree, lambda entry: Note(entry.kind, entry.subject, entry.at - 86400, json.loads(entry.facts)))


def test_a_directory_without_checkpoints_is_not_taken_for_theirs(tree: Tree) -> None:
    (tree.root / "empty").mkdir()
    code, said = verify(tree, "--checkpoints", tree.root / "empty")
    assert (code, "no checkpoint yet" in said) == (0, True)  # they are too young to be signed
    age(tree)
    code, said = verify(tree, "--checkpoints", tree.root / "empty")
    assert (code, "empty has no checkpoint of its entries" in said) == (1, True)


def append(tree: Tree, node: str, *notes: Note) -> None:
    """Do as somebody does who can write the database, and nothing else."""
    with closing(SQLiteJournal(tree.state / "journal.sqlite", node=node)) as journal:
        journal.proof.enter(notes)


def test_what_an_invented_node_entered_is_not_believed(tree: Tree) -> None:
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        ids = [each.message.id for each in journal.messages(limit=9)]
    spoil(tree, "DELETE FROM attempts", "DELETE FROM deliveries", "DELETE FROM messages")
    append(tree, "00" * 16, *(Note("erased", each, 1.0, {"by": "root", "why": "contract ended"}) for each in ids))
    code, said = verify(tree)
    assert code == 1
    words = rf"node {'00' * 16}: .* has no checkpoint of its entries, which begin at 1970-.*: anyone with"
    assert re.search(words, said), said
    assert "5 erased by root: contract ended\n" in said


def test_what_no_signature_covers_is_counted(tree: Tree) -> None:
    append(tree, node_of(tree), Note("configuration", "v", 1.0), Note("dropped", "v", 1.0))
    code, said = verify(tree)
    assert (code, "covers entry 12; the 2 later entries are not signed yet\n" in said) == (0, True)
    assert "1 dropped\n" in said
    assert "no signature covers 2 entries since 1970-01-01T00:00:01Z: a checkpoint is overdue" in said


def test_a_copy_of_the_checkpoints_elsewhere_counts(tree: Tree) -> None:
    shutil.copytree(tree.root / "elsewhere", tree.root / "copy")
    shutil.rmtree(tree.root / "elsewhere")
    spoil(tree, "DELETE FROM entries WHERE number = 12")
    assert verify(tree)[0] == 1  # the delivery has no entry any longer
    code, said = verify(tree, "--checkpoints", tree.root / "copy")
    assert code == 1
    assert "entry 12 of node" in said


def test_a_running_daemon_says_that_its_chain_was_cut(tree: Tree) -> None:
    spoil(tree, "DELETE FROM entries WHERE number > 9")
    with running(tree) as daemon:
        assert daemon.wait_for("chain_broken")["number"] == 12
        assert send(daemon, message("<cut@acme.example>")).status == 200


# --- Proof ----------------------------------------------------------------------------------------------------


def prove(tree: Tree, message_id: str) -> Path:
    folder = tree.root / "proof"
    result = mtlsd("journal", "prove", "--config", tree.configuration, message_id, "--output", folder)
    assert result.exit_code == 0, result.stderr
    return folder


def follow_instructions(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands of the page, as the page says."""
    text = (folder / "INSTRUCTIONS.txt").read_text()
    command = re.search(r"^  (sh .*)$", text, re.MULTILINE)
    assert command
    return subprocess.run(["sh", "-euc", command[1]], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("message_id", IDS)
def test_a_stranger_can_check_the_proof_with_openssl(tree: Tree, message_id: str) -> None:
    folder = prove(tree, message_id)
    done = follow_instructions(folder)
    assert done.returncode == 0, done.stderr
    files = sorted(each.name for each in folder.iterdir())
    assert {"record.json", "signed-data.der", "signer.pem", "mdn", "entries.jsonl", "checkpoint.sig"} <= set(files)
    assert ("signed-entity" in files) == (message_id != "<opaque@acme.example>")


def test_header_fields_of_the_partner_vouch_for_no_other_document(tmp_path: Path, backend: Backend) -> None:
    """A record has header fields as pairs, like the digests: what the partner sends there must not count as one."""
    tree = Tree(tmp_path, backend.url)
    tree.configure("")
    (tree.certs / "partners" / "acme" / "partner.toml").write_text('as2_id = "ACME"\nrequire = ["sign"]\n')
    with running(tree) as daemon:
        assert send(daemon, message("<other@acme.example>", layered("s", payload=b"another order"))).status == 200
        other = prove(tree, "<other@acme.example>")
        digests = {
            "signed": sha256((other / "signed-entity").read_bytes()).hexdigest(),
            "p7s": sha256((other / "signed-data.der").read_bytes()).hexdigest(),
        }
        sent = with_fields(message("<first@acme.example>", layered("s")), **digests, digests="[[")
        assert send(daemon, sent).status == 200
    other = other.rename(tree.root / "other")
    folder = prove(tree, "<first@acme.example>")
    assert follow_instructions(folder).returncode == 0
    for name in ("signed-entity", "signed-data.der"):
        shutil.copy(other / name, folder / name)
    assert follow_instructions(folder).returncode != 0


def test_a_proof_compares_the_mic_with_the_mdn_and_with_what_was_signed(tree: Tree) -> None:
    text = (prove(tree, IDS[0]) / "INSTRUCTIONS.txt").read_text()
    assert "The MIC that the MDN returned is the MIC in the record." in text
    assert "The MIC in the record is the digest of the signed content." in text


EVIDENCE = {  # the files of a proof, and what the first step shows that fails if the file was changed
    "record.json": "The record is the one",
    "signed-entity": "The signed entity is the one",
    "signed-data.der": "The SignedData is the one that arrived",
    "signer.pem": "The certificate is the one that verified the signature",
    "mdn": "The MDN is the one",
    "mdn-entity": "The MDN is signed",
    "mdn-signed-data.der": "The SignedData of the MDN",
    "entries.jsonl": "",  # depends on the entry
    "checkpoint.json": "",
    "checkpoint.sig": "The checkpoint is signed",
    "node.pem": "",
}


def test_a_proof_names_each_step_that_succeeds(tree: Tree) -> None:
    done = follow_instructions(prove(tree, IDS[0]))
    assert done.stdout.startswith("ok: step 1. The record is the one whose digest was entered in the chain.\n")
    assert re.search(r"^All \d+ steps succeeded\.$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", EVIDENCE)
def test_one_octet_that_was_changed_makes_the_proof_fail(tree: Tree, name: str) -> None:
    path = prove(tree, IDS[0]) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = follow_instructions(path.parent)
    assert done.returncode != 0
    (failed,) = re.findall(r"^FAILED: step \d+\. (.*)", done.stderr, re.MULTILINE)
    assert EVIDENCE[name] in failed


@pytest.mark.parametrize("settings", ['keep = "digests"', 'keep = "content"'])
def test_a_proof_says_what_is_not_in_it_and_mends_line_ends(tmp_path: Path, backend: Backend, settings: str) -> None:
    tree = Tree(tmp_path, backend.url)
    tree.configure(f"[proof]\n{settings}\n")
    (tree.certs / "partners" / "acme" / "partner.toml").write_text('as2_id = "ACME"\nrequire = ["sign"]\n')
    inner = messages.entity(b"line\r\nline\r\n", "text/plain", Content_Transfer_Encoding="7bit")
    signed = messages.sign(inner, keys("ACME"))
    changed = signed.replace(inner, inner.replace(b"\r\n", b"\n"))  # as something on the way does it
    sent = message("<lf@acme.example>", changed)
    with running(tree) as daemon:
        assert send(daemon, sent).status == 200
        assert daemon.wait_for("exchange_finished", message_id="<lf@acme.example>")["form"] == "full-crlf"
    folder = prove(tree, "<lf@acme.example>")
    done = follow_instructions(folder)
    assert done.returncode == 0, done.stderr
    kept = settings == 'keep = "content"'
    assert (folder / "signed-entity-crlf").exists() == kept
    assert ("Only the digests of the signature were stored" in (folder / "INSTRUCTIONS.txt").read_text()) == (not kept)
    assert verify(tree)[0] == 0


def test_a_proof_waits_for_no_checkpoint_and_the_daemon_signs_on(tree: Tree) -> None:
    with running(tree) as daemon:
        assert send(daemon, message("<early@acme.example>")).status == 200
        follow_instructions(prove(tree, "<early@acme.example>"))
        (path,) = (tree.root / "elsewhere").glob("*.jsonl")
        signed = len(path.read_bytes().splitlines())
        assert send(daemon, message("<late@acme.example>")).status == 200
        assert verify(tree)[0] == 0
    assert len(path.read_bytes().splitlines()) == signed + 1
    assert verify(tree)[0] == 0


def unsign(tree: Tree) -> Path:
    """Take the last checkpoint away, as if the daemon had not come to sign it."""
    (path,) = (tree.root / "elsewhere").glob("*.jsonl")
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    return path


def copied(tree: Tree) -> tuple[object, ...]:
    unsign(tree)
    return ("--checkpoints", tree.root / "elsewhere")


def without_the_key(tree: Tree) -> tuple[object, ...]:
    unsign(tree)
    (tree.state / "node.key").unlink()
    return ()


def with_an_unreadable_key(tree: Tree) -> tuple[object, ...]:
    unsign(tree)
    (tree.state / "node.key").write_text("no key")
    return ()


def without_any_checkpoint(tree: Tree) -> tuple[object, ...]:
    unsign(tree).unlink()
    return ()


def with_a_broken_chain(tree: Tree) -> tuple[object, ...]:
    unsign(tree)
    spoil(tree, "DELETE FROM entries WHERE number = 8")
    return ()


@pytest.mark.parametrize(
    ("arrange", "words"),
    [
        (copied, "try again then"),
        (without_the_key, "run this on the machine of node"),
        (with_an_unreadable_key, "run this as root or as the user of mtlsd"),
        (without_any_checkpoint, "has signed nothing in"),
        (with_a_broken_chain, "none can be signed: entry 8 was removed"),
    ],
)
def test_what_cannot_be_signed_now_is_not_proved(
    tree: Tree, arrange: Callable[[Tree], tuple[object, ...]], words: str
) -> None:
    folder, options = tree.root / "proof", arrange(tree)
    before = sorted(each.read_bytes() for each in (tree.root / "elsewhere").iterdir())
    result = mtlsd("journal", "prove", "--config", tree.configuration, IDS[0], "--output", folder, *options)
    assert (result.exit_code, folder.exists()) == (1, False)
    assert "the daemon signs one at the interval checkpoint_seconds" in result.stderr
    assert words in result.stderr
    assert sorted(each.read_bytes() for each in (tree.root / "elsewhere").iterdir()) == before


def test_the_node_key_is_for_its_owner_alone(tree: Tree) -> None:
    assert (tree.state / "node.key").stat().st_mode & 0o777 == 0o600


# --- What is let go -------------------------------------------------------------------------------------------


def test_what_was_pruned_is_whole_without_its_contents(tree: Tree) -> None:
    tree.configure('[proof]\ncheckpoints = "elsewhere"\n[retention]\nmax_bytes = 1\n')
    before = mtlsd("journal", "prune", "--config", tree.configuration, "--dry-run")
    assert before.stdout.startswith("acme: 5 messages, ")
    assert mtlsd("journal", "prune", "--config", tree.configuration).exit_code == 0
    assert list(tree.state.glob("spool/messages/*/*")) == []
    assert verify(tree)[0] == 0
    gone = mtlsd("journal", "payload", "--config", tree.configuration, IDS[1], "--output", tree.root / "gone")
    assert (gone.exit_code, "were deleted" in gone.stderr) == (1, True)
    with running(tree) as daemon:
        first = send(daemon, again := message(IDS[0]))
        assert daemon.wait_for("exchange_finished", message_id=IDS[0])["duplicate_of"]
        assert send(daemon, again).body == first.body


def test_what_was_erased_leaves_its_tombstones(tree: Tree) -> None:
    folder = tree.root / "export"
    exported = mtlsd("privacy", "export", "--config", tree.configuration, "--partner", "acme", "--output", folder)
    assert exported.exit_code == 0, exported.stderr
    assert len(list(folder.glob("*/payload"))) == 5
    erased = mtlsd("privacy", "erase", "--config", tree.configuration, "--partner", "acme", "--yes")
    assert (erased.exit_code, erased.stdout) == (0, "5 messages and refusals of acme are erased\n")
    assert mtlsd_json("journal", "list", "--config", tree.configuration) == []
    assert verify(tree)[0] == 0
    stored = b"".join(each.read_bytes() for each in tree.state.rglob("*") if each.is_file())
    assert [word for word in (b"small@acme.example", LARGE[:99], b"order.edi") if word in stored] == []


def test_nothing_is_erased_that_is_still_to_be_delivered(tree: Tree) -> None:
    spoil(tree, "UPDATE deliveries SET state = 'pending', finished_at = NULL")
    erased = mtlsd("privacy", "erase", "--config", tree.configuration, "--partner", "acme", "--yes")
    assert erased.exit_code == 1
    assert "5 deliveries of acme are not delivered" in erased.stderr
    assert "give them up with mtlsd journal drop" in erased.stderr


def test_who_is_not_known_is_not_said_to_be_erased(tree: Tree) -> None:
    erased = mtlsd("privacy", "erase", "--config", tree.configuration, "--partner", "nosuch", "--yes")
    assert (erased.exit_code, erased.stdout) == (1, "")
    assert erased.stderr.startswith("nothing is erased: unknown partner 'nosuch'")
