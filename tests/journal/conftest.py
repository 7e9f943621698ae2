"""Every journal that the contract tests run on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mtlsd.journal import Journal, SQLiteJournal

OpenJournal = Callable[[], Journal]  # each call opens the same journal anew


@pytest.fixture(params=["sqlite"])
def open_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenJournal]:
    opened: list[Journal] = []
    kinds: dict[str, OpenJournal] = {"sqlite": lambda: SQLiteJournal(tmp_path / "state" / "journal.db")}

    def open_it() -> Journal:
        opened.append(kinds[request.param]())
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


@pytest.fixture
def journal(open_journal: OpenJournal) -> Journal:
    return open_journal()
