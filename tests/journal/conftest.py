"""Every journal that the contract tests run on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.postgres import PostgresJournal
from mtlsd.journal.sql.sqlite import SQLiteJournal
from tests.support.postgres import Server

OpenJournal = Callable[[], Journal]  # each call opens the same journal anew


def _sqlite(request: pytest.FixtureRequest) -> OpenJournal:
    path: Path = request.getfixturevalue("tmp_path")
    return lambda: SQLiteJournal(path / "state" / "journal.db")


def _postgresql(request: pytest.FixtureRequest) -> OpenJournal:
    server: Server = request.getfixturevalue("postgres")
    url = server.journal()
    return lambda: PostgresJournal(url)


@pytest.fixture(params=[_sqlite, _postgresql], ids=["sqlite", "postgresql"])
def open_journal(request: pytest.FixtureRequest) -> Iterator[OpenJournal]:
    opened: list[Journal] = []
    opening: OpenJournal = request.param(request)

    def open_it() -> Journal:
        opened.append(opening())
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


@pytest.fixture
def journal(open_journal: OpenJournal) -> Journal:
    return open_journal()
