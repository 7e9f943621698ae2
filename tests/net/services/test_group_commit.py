"""Group commit: what waits together becomes durable together, and nobody waits for ever."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from mtlsd.errors import SpoolFull
from mtlsd.journal.model import Acceptance, Message, Refusal
from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.services.group_commit import MAX_GROUP, Committer
from tests.support.examples import delivery, message, refusal


class Watched(SQLiteJournal):
    """A real journal that notes the size of each group, and can be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.groups: list[int] = []
        self.full = False
        self.poison: str | None = None

    def accept(self, acceptances: object, refusals: Iterable[Refusal] = ()) -> list[Message]:
        group = list(acceptances)  # type: ignore[call-overload]
        self.groups.append(len(group))
        if self.full:
            raise SpoolFull("no room")
        if any(each.message.id == self.poison for each in group):
            raise ValueError("a bug of ours")
        return super().accept(group, refusals)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Watched]:
    with closing(Watched(tmp_path / "journal.sqlite")) as opened:
        yield opened


def acceptance(number: int, **changes: str) -> Acceptance:
    made = message(number, **changes)
    return Acceptance(made, (delivery(made),))


async def accept_all(journal: Journal, *acceptances: Acceptance) -> list[Message | Exception]:
    """Accept them at the same time; what each got."""
    got: dict[int, Message | Exception] = {}

    async def one(committer: Committer, number: int) -> None:
        try:
            got[number] = await committer.accept(acceptances[number])
        except (SpoolFull, ValueError) as error:
            got[number] = error

    committer = Committer(journal)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for number in range(len(acceptances)):
                nursery.start_soon(one, committer, number)
    return [got[number] for number in range(len(acceptances))]


@pytest.mark.parametrize("count", [1, 2, 30, 3 * MAX_GROUP])
async def test_everyone_gets_an_answer_and_few_commits_serve_them(journal: Watched, count: int) -> None:
    acceptances = [acceptance(number) for number in range(count)]
    assert await accept_all(journal, *acceptances) == [each.message for each in acceptances]
    assert sum(journal.groups) == count
    assert len(journal.groups) <= 2 + count // MAX_GROUP
    assert len(journal.messages(limit=1000)) == count


async def test_copies_in_one_group_give_one_winner(journal: Watched) -> None:
    copies = [acceptance(number, message_id="<same@acme.example>") for number in range(10)]
    holders = await accept_all(journal, *copies)
    assert len({holder.id for holder in holders if isinstance(holder, Message)}) == 1
    assert len(journal.messages(limit=100)) == 1


async def test_a_full_disk_refuses_each_of_them(journal: Watched) -> None:
    journal.full = True
    assert all(isinstance(each, SpoolFull) for each in await accept_all(journal, *map(acceptance, range(20))))
    journal.full = False
    assert await accept_all(journal, acceptance(1)) == [message(1)]


async def test_a_bug_with_one_of_them_is_not_the_others(journal: Watched) -> None:
    journal.poison = "0005"
    got = await accept_all(journal, *map(acceptance, range(10)))
    assert [number for number, each in enumerate(got) if isinstance(each, ValueError)] == [5]
    assert len(journal.messages(limit=100)) == 9


async def test_one_who_leaves_takes_nobody_along(journal: Watched) -> None:
    committer = Committer(journal)
    async with trio.open_nursery() as leaving:
        leaving.start_soon(committer.accept, acceptance(1))
        await wait_all_tasks_blocked()
        leaving.cancel_scope.cancel()
    assert await committer.accept(acceptance(2)) == message(2)
    assert len(journal.messages(limit=10)) == 2


async def test_refusals_wait_together_with_messages(journal: Watched) -> None:
    committer = Committer(journal)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(committer.refuse, refusal(number))
            assert await committer.accept(acceptance(1)) == message(1)
    assert len(journal.refusals(limit=9)) == 3
    assert len(journal.groups) <= 2


async def test_a_refusal_that_cannot_be_written_is_said(journal: Watched) -> None:
    journal.full = True
    with pytest.raises(SpoolFull):
        await Committer(journal).refuse(refusal(1))
    assert journal.refusals(limit=9) == []
