"""What ends is told once: by the log, by a webhook and by mail, over restarts, with two nodes and on a wrong clock."""

import io
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mtlsd import log
from mtlsd.journal.notices import CLAIM_SECONDS
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.background import alert_channels
from mtlsd.net.background.expiry_alerts import ExpiryLook
from mtlsd.net.services.state import State
from mtlsd.snapshot.snapshot import load_snapshot
from tests.support import backend
from tests.support.backend import CLOSE, Backend
from tests.support.daemon import LONG, Tree, authority, certificate
from tests.support.smtp import SMTPServer, smtp_server

NOW = 1_800_000_000.0  # 2027-01-15
DAY = 86400.0
ENDS = datetime.fromtimestamp(NOW + 20.5 * DAY, UTC)


@pytest.fixture
def listening() -> Iterator[Backend]:
    with backend.running() as running:
        yield running


@pytest.fixture
def mails() -> Iterator[SMTPServer]:
    with smtp_server() as server:
        yield server


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    root = authority("Ending")
    tree.add("ending", "ENDING", certificate(root, "ending.example", start=LONG["start"], end=ENDS))
    return tree


@dataclass
class Node:
    """A daemon without its listeners, on a clock of ours."""

    tree: Tree
    name: str = "one"
    now: float = NOW
    text: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.journal = SQLiteJournal(self.tree.root / "journal.sqlite", node=self.name)
        logger = log.configure(self.text, console=False)
        snapshot = load_snapshot(self.tree.configuration, None, time.time())
        spool = Spool(self.tree.root / "spool")
        self.daemon = State(snapshot, self.journal, spool, logger, clock=lambda: self.now, node=self.name)
        self.look_at = ExpiryLook(self.daemon)

    async def look(self) -> list[dict[str, Any]]:
        """Look once, and return what the log says."""
        self.text.seek(0)
        self.text.truncate()
        await self.look_at.look()
        return [json.loads(line) for line in self.text.getvalue().splitlines()]

    async def alerts(self) -> list[int]:
        return [line["alert"] for line in await self.look() if line["event"] == "certificate_expires"]


@pytest.fixture
def nodes(tree: Tree) -> Iterator["Nodes"]:
    with ExitStack() as stack:
        yield Nodes(tree, stack)


@dataclass
class Nodes:
    """Starts nodes that share a journal."""

    tree: Tree
    stack: ExitStack

    def start(self, name: str = "one", now: float = NOW, settings: str = "") -> Node:
        self.tree.configure(settings)
        node = Node(self.tree, name, now)
        self.stack.callback(node.journal.close)
        return node


async def test_the_log_says_what_ends_and_whose_it_is(nodes: "Nodes") -> None:
    (line,) = await nodes.start().look()
    assert (line["event"], line["level"]) == ("certificate_expires", "warning")
    assert (line["owner"], line["use"], line["subject"]) == ("partner ending", "connections", "CN=ending.example")
    assert (line["days_left"], line["alert"], line["not_after"]) == (20, 30, ENDS.isoformat())


async def test_each_alert_is_given_once_while_the_days_go_by(nodes: "Nodes") -> None:
    node = nodes.start(now=NOW - 50 * DAY)
    given = []
    for hour in range(0, 75 * 24, 6):
        node.now = NOW - 50 * DAY + hour * 3600
        given += await node.alerts()
    assert given == [60, 30, 14, 7, 3, 1, 0]


async def test_a_restart_repeats_nothing(nodes: "Nodes") -> None:
    assert await nodes.start().alerts() == [30]
    assert await nodes.start(now=NOW + 60).alerts() == []
    assert await nodes.start(now=NOW + 7 * DAY).alerts() == [14]


async def test_of_two_nodes_one_gives_it(nodes: "Nodes") -> None:
    one, two = nodes.start("one"), nodes.start("two")
    assert await one.alerts() + await two.alerts() + await one.alerts() + await two.alerts() == [30]


@pytest.mark.parametrize("days", [1, -1, 400, -400])
async def test_a_clock_that_jumps_and_comes_back_repeats_nothing_and_loses_nothing(nodes: "Nodes", days: int) -> None:
    node = nodes.start()
    given = await node.alerts()
    node.now = NOW + days * DAY
    wrong = await node.alerts()
    again = nodes.start(now=NOW + 3600)
    for hour in range(1, 22 * 24, 6):
        again.now = NOW + hour * 3600
        given += await again.alerts()
    assert given == [30, 14, 7, 3, 1, 0]
    assert wrong == []  # 400 days later it is nobody's news


async def test_a_clock_two_weeks_ahead_costs_at_most_the_alert_that_it_gave(nodes: "Nodes") -> None:
    node = nodes.start(now=NOW + 14 * DAY)
    assert await node.alerts() == [7]
    again = nodes.start(now=NOW)
    assert await again.alerts() == [30]
    again.now = NOW + 6.6 * DAY
    assert await again.alerts() == [14]
    again.now = NOW + 17.6 * DAY
    assert await again.alerts() == [3]


async def test_the_webhook_gets_json_once(nodes: "Nodes", listening: Backend) -> None:
    node = nodes.start(settings=f'[expiry]\nwebhook = "{listening.url}"\n')
    await node.look()
    request = listening.wait()
    told = json.loads(request.body)
    assert request.line.startswith("POST ")
    assert request.get("Content-Type") == "application/json"
    assert told["event"] == "certificates_expire"
    assert told["certificates"][0]["subject"] == "CN=ending.example"
    assert told["certificates"][0]["days_left"] == 20
    assert told["text"].startswith("partner ending: CN=ending.example (connections) ends on 2027-02-")
    await node.look()
    assert listening.count == 1


async def test_a_mail_is_handed_over_once(nodes: "Nodes", mails: SMTPServer) -> None:
    to = '["a@example.com", "b@example.com"]'
    settings = f'[expiry.mail]\nsmtp = "{mails.address}"\nfrom = "mtlsd@example.com"\nto = {to}\n'
    node = nodes.start(settings=settings)
    await node.look()
    mail = mails.mails.get(timeout=10)
    assert (mail["From"], mail["To"]) == ("mtlsd@example.com", "a@example.com, b@example.com")
    assert mail["Subject"] == "mtlsd: a certificate ends, the first in 20 days"
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert b"CN=ending.example (connections) ends on 2027-02-" in body
    await node.look()
    assert mails.mails.empty()


@pytest.mark.parametrize("status", [500, 404, CLOSE])
async def test_a_webhook_that_fails_is_tried_again_and_later_too(
    nodes: "Nodes", listening: Backend, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_channels, "PAUSE_SECONDS", 0)
    node = nodes.start(settings=f'[expiry]\nwebhook = "{listening.url}"\n')
    listening.statuses = [status] * alert_channels.TRIES
    failed = [line for line in await node.look() if line["event"] == "expiry_alert_failed"]
    assert [line["channel"] for line in failed] == ["webhook"]
    assert listening.count == alert_channels.TRIES
    assert await node.look() == []
    assert listening.count == alert_channels.TRIES + 1
    assert await nodes.start(now=NOW + 60, settings=f'[expiry]\nwebhook = "{listening.url}"\n').look() == []
    assert listening.count == alert_channels.TRIES + 1


async def test_what_one_channel_has_taken_it_does_not_get_again(
    nodes: "Nodes", listening: Backend, mails: SMTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_channels, "PAUSE_SECONDS", 0)
    mails.refusals = [b"451 try later"] * alert_channels.TRIES
    settings = (
        f'[expiry]\nwebhook = "{listening.url}"\n'
        f'[expiry.mail]\nsmtp = "{mails.address}"\nfrom = "m@example.com"\nto = "a@example.com"\n'
    )
    node = nodes.start(settings=settings)
    await node.look()
    assert (listening.count, mails.mails.empty()) == (1, True)
    await node.look()
    assert (listening.count, mails.mails.qsize()) == (1, 1)


async def test_another_node_takes_over_what_a_dead_one_had_claimed(
    nodes: "Nodes", listening: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_channels, "PAUSE_SECONDS", 0)
    settings = f'[expiry]\nwebhook = "{listening.url}"\n'
    listening.statuses = [500] * alert_channels.TRIES
    await nodes.start("one", settings=settings).look()
    two = nodes.start("two", settings=settings)
    assert await two.alerts() == []
    two.now = NOW + CLAIM_SECONDS + 1
    assert await two.alerts() == [30]
    assert listening.count == alert_channels.TRIES + 1


async def test_other_days_may_be_chosen(nodes: "Nodes") -> None:
    assert await nodes.start(settings="[expiry]\ndays = [10]\n").alerts() == []
    assert await nodes.start(settings="[expiry]\ndays = [300, 25]\n").alerts() == [25]


async def test_the_metrics_count_the_partners_that_end_and_name_none(nodes: "Nodes") -> None:
    node = nodes.start()
    await node.look()
    lines = node.daemon.metrics.render().decode().splitlines()
    assert 'mtlsd_partner_certificates_ending{days="30"} 1.0' in lines
    assert 'mtlsd_partner_certificates_ending{days="14"} 0.0' in lines
    assert 'mtlsd_expiry_alerts_total{days="30"} 1.0' in lines
    assert not [line for line in lines if "ending.example" in line]
