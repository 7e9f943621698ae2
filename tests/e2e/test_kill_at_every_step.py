"""Whatever step a crash cuts off: what was acknowledged is durable, and what is durable reaches the backend as one.

The first run counts the steps of a scenario; then it runs once for each, in a fresh state directory, and dies there.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import pytest

from mtlsd.journal.documents import open_document
from mtlsd.journal.model import DeliveryKind, DeliveryState, ListedMessage
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from tests.support import backend as backends
from tests.support.backend import Backend, Delivered
from tests.support.client import Answer
from tests.support.daemon import Daemon, Tree, acme, running
from tests.support.forked import starting
from tests.support.partner import disposition, layered, message, send, with_fields
from tests.support.steps import Plan, Step, When, read

SAMPLE = 5  # steps of a scenario in the short form
BEFORE = "<before@acme.example>"  # a message of earlier days: a journal is rarely empty


@dataclass(frozen=True, slots=True)
class Scenario:
    """A message, how it is answered, and what the backend says at first."""

    size: int = 100
    route: str = ""
    statuses: tuple[int, ...] = ()
    asynchronous: bool = False
    deliveries: int = 1  # that the worker makes


SCENARIOS = {
    "small": Scenario(),
    "large": Scenario(200_000),
    "asynchronous": Scenario(asynchronous=True, deliveries=2),
    "the backend first": Scenario(route='mdn = "delivered"', deliveries=0),
    "the backend first, large": Scenario(200_000, 'mdn = "delivered"', deliveries=0),
    "tried again": Scenario(200_000, statuses=(503,)),
}


@pytest.fixture
def receiver() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture
def backend() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture
def tree(tmp_path: Path, backend: Backend, receiver: Backend) -> Tree:
    """With a message of earlier days, which is kept beside it for the next run."""
    made = Tree(tmp_path / "tree", backend.url)
    made.add("acme", "ACME", acme(), f"mdn_urls = {json.dumps([receiver.origin])}")
    with running(made) as daemon:
        send(daemon, message(BEFORE, layered("sE", bytes(200_000))))
        daemon.wait_for("delivery_finished", state="delivered")
    backend.wait()
    made.state.rename(tmp_path / "earlier")
    return made


@dataclass
class Run:
    """One life that a crash may end, and the next one, which must make up for it."""

    tree: Tree
    backend: Backend
    receiver: Backend
    scenario: Scenario
    plan: Plan

    def __post_init__(self) -> None:
        self.payload = bytes(range(256)) * (self.scenario.size // 256 + 1)
        sent = message("<kill@acme.example>", layered("sE", self.payload, content_type="application/octet-stream"))
        self.sent = with_fields(sent, Receipt_Delivery_Option=self.receiver.url) if self.is_asynchronous else sent

    @property
    def is_asynchronous(self) -> bool:
        return self.scenario.asynchronous

    def play(self) -> list[Step]:
        """Both lives; the steps of the first."""
        shutil.rmtree(self.tree.state, ignore_errors=True)
        shutil.copytree(self.tree.root.parent / "earlier", self.tree.state)
        self.backend.statuses = list(self.scenario.statuses)
        first = self.first_life()
        steps = read(self.tree.root / "steps")
        orphans = left_over(self.tree)
        if first:
            assert self.listed(self.copied_journal()), "acknowledged, and not durable"
        with running(self.tree, start=starting()) as daemon:
            assert [line["files"] for line in daemon.log if line["event"] == "spool_swept"] == [orphans] * bool(orphans)
            second, third = send(daemon, self.sent), send(daemon, self.sent)
            self.check_answers([*filter(None, [first]), second, third])
            while self.is_waiting():
                daemon.wait_for("delivery_finished")
        self.check_backend()
        self.check_journal()
        assert not left_over(self.tree)
        return steps

    def first_life(self) -> Answer | None:
        """What the partner read before the crash, if it read all of it."""
        daemon = Daemon(self.tree, start=starting(self.plan))
        answer = None
        with suppress(OSError, EOFError, AssertionError):  # it dies somewhere
            daemon.wait_for("started")
            answer = send(daemon, self.sent)
            for _ in range(self.scenario.deliveries):
                daemon.wait_for("delivery_finished", state="delivered")
        daemon.kill()
        return answer

    def check_answers(self, answers: list[Answer]) -> None:
        """Each acknowledges, and all with the same MDN."""
        if self.is_asynchronous:
            assert {(answer.status, answer.body) for answer in answers} == {(200, b"")}
            return
        assert {disposition(answer, self.sent) for answer in answers} == {"processed"}
        assert len({answer.body for answer in answers}) == 1

    def check_backend(self) -> None:
        """The document came, octet for octet, and always under one key."""
        requests = drain(self.backend)
        assert {request.body for request in requests} == {self.payload}
        assert len({request.get("Idempotency-Key") for request in requests}) == 1
        if self.is_asynchronous:
            receipts = drain(self.receiver)
            assert len({receipt.body for receipt in receipts}) == 1
            assert disposition(Answer(b"", 200, receipts[0].fields, receipts[0].body), self.sent) == "processed"

    def check_journal(self) -> None:
        """One message and one delivery of it; beside it one of each MDN that was asked for."""
        (listed,) = self.listed(self.tree.state / "journal.sqlite")
        with closing(SQLiteJournal(self.tree.state / "journal.sqlite", read_only=True)) as journal:
            kinds = Counter(each.kind for each in journal.deliveries(listed.message.id))
            assert kinds.pop(DeliveryKind.BACKEND) == 1
            assert kinds.pop(DeliveryKind.MDN, 0) in ((1, 2, 3) if self.is_asynchronous else (0,))
            assert not kinds
            spool = Spool(self.tree.state / "spool")
            documents = {listed.message.payload: self.payload, listed.message.original: self.sent.body}
            for name, octets in documents.items():
                assert name
                with open_document(journal, spool, name) as file:
                    assert file.read() == octets

    def listed(self, path: Path) -> list[ListedMessage]:
        """The messages in a journal, but for the one of earlier days."""
        with closing(SQLiteJournal(path, read_only=True)) as journal:
            return [each for each in journal.messages(limit=10) if each.message.message_id != BEFORE]

    def copied_journal(self) -> Path:
        return copied(self.tree)

    def is_waiting(self) -> bool:
        with closing(SQLiteJournal(self.tree.state / "journal.sqlite", read_only=True)) as journal:
            counts = journal.counts()
        assert not counts[DeliveryState.FAILED]
        return bool(counts[DeliveryState.PENDING] + counts[DeliveryState.CLAIMED])


def copied(tree: Tree) -> Path:
    """A copy of the journal as the crash left it: to open the original would already mend it."""
    folder = tree.root / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in tree.state.glob("journal.sqlite*"):
        shutil.copy(path, folder)
    return folder / "journal.sqlite"


def left_over(tree: Tree) -> int:
    """The files in the spool that no message refers to."""
    with closing(sqlite3.connect(copied(tree))) as db:
        known = {
            name for row in db.execute("SELECT payload, original, signed, signature FROM messages") for name in row
        }
    spool = tree.state / "spool"
    files = {path.relative_to(spool).as_posix() for path in spool.rglob("*") if path.is_file()}
    return len(files - known)


def files_in(tree: Tree, folder: str) -> list[Path]:
    """All files there, the daemon's own trials too."""
    return [path for path in (tree.state / "spool" / folder).rglob("*") if path.is_file()]


def drain(backend: Backend) -> list[Delivered]:
    requests = []
    with suppress(Empty):
        while True:
            requests.append(backend.requests.get_nowait())
    return requests


def plans(steps: int) -> list[Plan]:
    """Every step, before, by half and after; and one step too many, which is none."""
    return [Plan(at, when) for at in range(1, steps + 2) for when in When]


def sampled(steps: int, first: int) -> list[Plan]:
    """Some of them, spread over the whole."""
    every = plans(steps)
    return [every[(first + at * len(every) // SAMPLE) % len(every)] for at in range(SAMPLE)]


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_a_step_loses_nothing_and_doubles_nothing(
    tree: Tree, backend: Backend, receiver: Backend, name: str, full: bool
) -> None:
    scenario = SCENARIOS[name]
    tree.route = scenario.route
    tree.configure()

    def play(plan: Plan) -> list[Step]:
        return Run(tree, backend, receiver, scenario, plan).play()

    steps = play(Plan())
    kinds = Counter(step.kind for step in steps)
    assert kinds["sql"] > 5
    assert kinds["send"] > 2
    assert (kinds["rename"] > 0) == (scenario.size > 100_000)
    for plan in plans(len(steps)) if full else sampled(len(steps), list(SCENARIOS).index(name)):
        try:
            play(plan)
        except Exception as error:
            step = steps[plan.at - 1] if plan.at <= len(steps) else "none"
            error.add_note(f"died {plan.when} step {plan.at}: {step}")
            raise


ORPHANS = ("tmp/{node}.half", "messages/00/one.{node}.as2", "messages/00/one.{node}.payload")


def test_a_sweep_that_is_cut_off_is_completed_by_the_next(tree: Tree) -> None:
    node = (tree.root.parent / "earlier" / "node").read_text().strip()
    orphans = tuple(name.format(node=node) for name in ORPHANS)

    def start(plan: Plan) -> tuple[int, list[Step]]:
        """How many files such a start leaves, and its steps."""
        shutil.rmtree(tree.state, ignore_errors=True)
        shutil.copytree(tree.root.parent / "earlier", tree.state)
        for name in orphans:
            (tree.state / "spool" / name).touch()
        daemon = Daemon(tree, start=starting(plan))
        if not plan.at:
            daemon.wait_for("started")
            daemon.kill()
        daemon.wait()
        return left_over(tree), read(tree.root / "steps")

    left, steps = start(Plan(from_start=True))
    unlinked = [(at, step.what) for at, step in enumerate(steps, 1) if step.kind == "unlink"]
    removals = [at for at, path in unlinked if path.endswith(orphans)]  # the daemon tries the spool, too
    assert (left, len(removals)) == (0, len(ORPHANS))
    for done, at in enumerate(removals):
        left, _ = start(Plan(at, from_start=True))
        assert left == len(ORPHANS) - done
        with running(tree, start=starting()) as daemon:
            (line,) = (each for each in daemon.log if each["event"] == "spool_swept")
            assert (line["files"], len(line["names"])) == (left, left)
            assert set(line["names"]) <= set(orphans)
        assert not left_over(tree)


def test_the_files_of_the_first_message_of_all_stay_until_the_journal_has_one(tmp_path: Path, backend: Backend) -> None:
    """A spool with messages beside a journal without any may have the wrong one: only what was half received goes."""
    tree = Tree(tmp_path / "tree", backend.url)
    sent = message("<first@acme.example>", layered("sE", bytes(200_000)))

    daemon = Daemon(tree, start=starting(Plan(when=When.AFTER, to="/spool/messages/")))
    daemon.wait_for("started")
    with suppress(OSError, EOFError):
        send(daemon, sent)
    daemon.kill()
    kept, received = files_in(tree, "messages"), files_in(tree, "tmp")
    assert len(kept) == 1  # it has its name,
    assert len(received) >= 2  # and the others do not; one more may be the daemon's own trial of the spool
    with running(tree, start=starting()) as daemon:
        assert daemon.log[0]["event"] == "spool_not_swept"
        assert (daemon.log[1]["event"], daemon.log[1]["files"]) == ("spool_swept", len(received))
        assert disposition(send(daemon, sent), sent) == "processed"
    with running(tree, start=starting()) as daemon:
        assert daemon.log[0]["files"] == 1
    assert not left_over(tree)
