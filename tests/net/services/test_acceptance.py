"""What becomes of the files of a message whose commit fails."""

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.journal.model import Acceptance, Message, Refusal
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.services.group_commit import Committer, Unclear, accept
from tests.support.examples import delivery, message


class Failing(SQLiteJournal):
    """A journal whose next commit fails, and may have been done all the same."""

    error: Exception | None = None
    is_done = False

    def accept(self, acceptances: object, refusals: Iterable[Refusal] = ()) -> list[Message]:
        error, self.error = self.error, None
        made = super().accept(acceptances, refusals) if error is None or self.is_done else []  # type: ignore[arg-type]
        if error is not None:
            raise error
        return made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Failing]:
    with closing(Failing(tmp_path / "journal.sqlite")) as opened:
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def kept(spool: Spool, number: int) -> Acceptance:
    """A message whose original and proof are in the spool, and whose payload is in the journal."""
    written = {suffix: spool.create() for suffix in ("as2", "signed", "signature")}
    for file in written.values():
        file.write(b"octets")
    names = spool.keep(f"{number:04}", written)
    made = message(
        number,
        original=names["as2"],
        payload=f"journal/{number:04}.payload",
        signed=names["signed"],
        signature=names["signature"],
    )
    return Acceptance(made, (delivery(made),), {f"journal/{number:04}.payload": b"payload"})


def files(spool: Spool) -> int:
    return len(list(spool._names()))


async def attempt(journal: Failing, unclear: Unclear, acceptance: Acceptance) -> bool:
    """Whether its files were withdrawn at once."""
    withdrawn: list[bool] = []
    with suppress(JournalUnavailable, SpoolFull):
        await accept(Committer(journal), unclear, acceptance, lambda: withdrawn.append(True))
    return bool(withdrawn)


@pytest.mark.parametrize("error", [JournalUnavailable("locked"), SpoolFull("full")])
async def test_what_was_rolled_back_is_withdrawn_at_once(journal: Failing, spool: Spool, error: Exception) -> None:
    journal.error = error
    assert await attempt(journal, Unclear(journal, spool), kept(spool, 1))


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
async def test_what_is_unclear_is_looked_up_after_the_next_commit(
    journal: Failing, spool: Spool, is_done: bool
) -> None:
    unclear = Unclear(journal, spool)
    journal.error, journal.is_done = CommitUnclear("disk I/O error"), is_done
    assert not await attempt(journal, unclear, kept(spool, 1))
    assert (files(spool), bool(unclear)) == (3, True)
    assert not await attempt(journal, unclear, kept(spool, 2))
    assert (files(spool), bool(unclear)) == (3 + 3 * is_done, False)
