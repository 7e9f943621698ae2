"""Dates come while the daemon runs, on open connections too; and a promotion is entered, sooner or later, once."""

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mtlsd import log
from mtlsd.errors import JournalUnavailable
from mtlsd.journal.proof.chain import Note
from mtlsd.journal.sql.proof import Proof
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.services.promotions import Promoter, promotions_in, standings_in
from mtlsd.partners.rollover import CertificateState, Use, Used
from mtlsd.snapshot.snapshot import Snapshot, load_snapshot
from tests.support import pki
from tests.support.client import request
from tests.support.daemon import LONG, Tree, acme, certificate
from tests.support.inprocess import NOW, in_process
from tests.support.pki import SERVER

HEAD = request("HEAD")
DAY = 86400
TODAY = datetime.fromtimestamp(NOW, UTC)  # 2027-01-15, 08:00
NAME = "as2.example.com"
RENEWED: dict[str, Any] = LONG | {"start": datetime(2022, 1, 1, tzinfo=UTC)}
NEW_CLIENT = certificate(acme().issuers[0], "edi.acme.example", key=pki.ec_key("client"), **RENEWED)
NEW_SERVER = pki.issue(NAME, key=pki.ec_key("next"), eku=(SERVER,), san=(f"dns:{NAME}",), **RENEWED)


def with_dates(root: Path, line: str) -> Tree:
    """ACME's certificate has these dates."""
    tree = Tree(root)
    tree.add("acme", "ACME", acme(), f'[[certificate]]\nfile = "tls/client.pem"\n{line}\n')
    return tree


def with_new(root: Path) -> Tree:
    """ACME has two certificates for connections."""
    tree = Tree(root)
    (tree.add("acme", "ACME", acme()) / "tls" / "new.pem").write_bytes(NEW_CLIENT.pem)
    return tree


async def test_a_certificate_is_retired_on_an_open_connection(shared: Path, mock_clock: MockClock) -> None:
    async with in_process(with_dates(shared, "retire_after = 2027-01-15")) as world:
        client = await world.secure(acme())
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        world.now[0] = NOW + DAY - 8 * 3600 - 1
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        world.now[0] += 1
        assert b"Mtlsd-Reason: cert_known_but_retired" in await client.request(HEAD)


async def test_a_certificate_comes_into_use_without_a_reload(shared: Path, mock_clock: MockClock) -> None:
    async with in_process(with_dates(shared, "active_from = 2027-01-16")) as world:
        client = await world.secure(acme())
        assert b"Mtlsd-Reason: cert_known_but_pending" in await client.request(HEAD)
        world.now[0] = NOW + DAY
        client = await world.secure(acme())
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")


async def test_the_next_server_certificate_is_served_from_its_date_on(shared: Path, mock_clock: MockClock) -> None:
    tree = Tree(shared)
    NEW_SERVER.write(tree.certs / "hosts" / NAME / "next")
    (tree.certs / "hosts" / NAME / "host.toml").write_text('[[pair]]\ndirectory = "next"\nactive_from = 2027-01-16\n')
    async with in_process(tree) as world:
        shown = []
        for day in range(2):
            world.now[0] = NOW + day * DAY
            client = await world.secure(acme())
            shown.append(client.stream.getpeercert(binary_form=True) == NEW_SERVER.certificate.der)
            assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        assert shown == [False, True]
        assert [each["use"] for each in world.log if each["event"] == "certificate_promoted"] == ["server"]


async def test_a_failed_request_promotes_nothing(shared: Path, mock_clock: MockClock) -> None:
    async with in_process(with_new(shared)) as world:
        client = await world.secure(NEW_CLIENT)
        assert b"no_route" in await client.request(request("HEAD", "/nothing"))
        assert not world.daemon.promoter.promotions
        client = await world.secure(NEW_CLIENT)
        assert (await client.request(HEAD)).startswith(b"HTTP/1.1 200 ")
        await wait_all_tasks_blocked()  # a use is noted after the answer was sent
        assert list(world.daemon.promoter.promotions) == [Use.CONNECTION.mark("acme", NEW_CLIENT.certificate)]


# --- The journal ----------------------------------------------------------------------------------------------


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Of a tree in which ACME has two certificates for connections."""
    return load_snapshot(with_new(tmp_path).configuration, None, time.time())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SQLiteJournal]:
    """Closed after the tasks of a test have ended."""
    with closing(SQLiteJournal(tmp_path / "journal.sqlite")) as opened:
        yield opened


def promoter(journal: SQLiteJournal, text: io.StringIO | None = None) -> Promoter:
    return Promoter(journal, log.configure(text or io.StringIO(), console=False))


def use_new(promoter: Promoter, snapshot: Snapshot) -> None:
    promoter.note(Used(Use.CONNECTION, "acme", NEW_CLIENT.certificate.sha256), snapshot, TODAY)


def test_each_node_knows_what_another_has_promoted_and_enters_it_no_more(tmp_path: Path, snapshot: Snapshot) -> None:
    journals = [SQLiteJournal(tmp_path / "journal.sqlite", node=f"node-{number}") for number in range(2)]
    first, second = map(promoter, journals)
    for each in (first, second):
        use_new(each, snapshot)
        assert each.flush()
    mark = Use.CONNECTION.mark("acme", NEW_CLIENT.certificate)
    assert promotions_in(journals[1]) == {mark: TODAY}
    assert len(journals[0].proof.evidence("certificates").entries) == 1
    third = promoter(journals[0])
    third.recall()
    assert third.promotions == {mark: TODAY}
    states = [each.state for each in standings_in(snapshot, Use.CONNECTION, "acme", third.promotions, TODAY)]
    assert states == [CertificateState.RETIRING, CertificateState.ACTIVE]
    for journal in journals:
        journal.close()


class Unwilling(Proof):
    """Takes nothing the first time."""

    willing = False

    def enter(self, notes: Iterable[Note]) -> None:
        if not self.willing:
            self.willing = True
            raise JournalUnavailable("locked")
        super().enter(notes)


def test_a_promotion_that_cannot_be_entered_is_said_and_tried_again(journal: SQLiteJournal, snapshot: Snapshot) -> None:
    text = io.StringIO()
    journal.proof = Unwilling(journal.port, "node")
    one = promoter(journal, text)
    use_new(one, snapshot)
    assert not one.flush()
    assert '"promotion_not_entered"' in text.getvalue()
    assert one.flush()
    assert one.flush()
    assert len(promotions_in(journal)) == 1


def test_what_is_used_again_is_looked_at_no_more(journal: SQLiteJournal, snapshot: Snapshot) -> None:
    text = io.StringIO()
    one = promoter(journal, text)
    for _ in range(3):
        use_new(one, snapshot)
        one.note(Used(Use.CONNECTION, "acme", acme().certificate.sha256), snapshot, TODAY)
        one.note(Used(Use.CONNECTION, "gone", acme().certificate.sha256), snapshot, TODAY)
        one.note(Used(Use.SIGNING, "gone", acme().certificate.sha256), snapshot, TODAY)
    assert text.getvalue().count("certificate_promoted") == 1


async def test_the_background_task_enters_what_comes(
    journal: SQLiteJournal, snapshot: Snapshot, nursery: trio.Nursery
) -> None:
    one = promoter(journal)
    nursery.start_soon(one.run)
    use_new(one, snapshot)
    with trio.fail_after(10):
        while not await trio.to_thread.run_sync(promotions_in, journal):
            await trio.lowlevel.checkpoint()
