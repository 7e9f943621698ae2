#!/usr/bin/env python3
"""Make a journal as today's code writes it, for the tests of every later version.

    scripts/journal_fixture.py tests/fixtures/journal/0002

The folder gets the configuration, the public certificates, the spool, the checkpoints, and both databases as SQL text
with equal rows. No private key is written: see tests/journal/stored.py for the one that the tests need. A folder that
exists is never written over, because a fixture is of use only as long as it is what the code of its day wrote.
"""

import json
import sqlite3
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mtlsd.journal.proof.checkpoints import load_key  # noqa: E402 - the line above makes it run anywhere
from mtlsd.journal.sql.postgres import MIGRATIONS, PostgresJournal  # noqa: E402
from mtlsd.journal.sql.sqlite import SQLiteJournal  # noqa: E402
from scripts.journal_fixture_both import both  # noqa: E402
from scripts.journal_fixture_site import Site, make_site  # noqa: E402
from scripts.journal_fixture_story import tell  # noqa: E402
from tests.support import postgres  # noqa: E402
from tests.support.stored import ROWS, SCHEMAS, SHOWN, Stored  # noqa: E402

ORDER = {  # the tables of both databases, and by which column their rows are ordered
    "messages": "id",
    "documents": "name",
    "refusals": "id",
    "deliveries": "id",
    "attempts": "started_at",
    "entries": "position",
    "certificates": "sha256",
    "notices": "certificate",
}


def main() -> int:
    """Make the folder that is named; the exit code is 2 if there is no such name, or there is one already."""
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        print(__doc__, file=sys.stderr)
        return 2
    with postgres.running(fsync=False) as server:
        make(Path(sys.argv[1]), server)
    return 0


def make(folder: Path, server: postgres.Server) -> None:
    """Write a fixture into a new folder."""
    with TemporaryDirectory() as name:
        site, url = make_site(Path(name)), server.journal()
        _write_journals(site, url)
        site.copy_public(folder)
        with closing(sqlite3.connect(site.state / "journal.sqlite")) as db:
            _write(folder / SCHEMAS["sqlite"], _sqlite_schema(db))
    with psycopg.connect(url) as database:
        _write(folder / SCHEMAS["postgres"], _postgres_schema(database))
        _write(folder / ROWS, _rows(database))
    with TemporaryDirectory() as name:
        stored = Stored.in_sqlite(folder, Path(name) / "site")
        _write(folder / SHOWN, map(json.dumps, stored.shown()))


def _write_journals(site: Site, url: str) -> None:
    """What happened at the site, in both databases."""
    keys = [load_key(site.root / name) for name in ("node-1", "node-2")]
    file = site.state / "journal.sqlite"
    with closing(SQLiteJournal(file, node=keys[0].node)) as one, closing(SQLiteJournal(file, node=keys[1].node)) as two:
        three, four = (PostgresJournal(url, node=f"node-{at}", chain=key.node) for at, key in enumerate(keys, 1))
        with closing(three), closing(four):
            tell(site, {keys[0]: both(one, three), keys[1]: both(two, four)})


def _write(file: Path, lines: Iterable[str]) -> None:
    file.write_text("".join(f"{each}\n" for each in lines), encoding="utf-8")


# --- The databases as text ------------------------------------------------------------------------------------


def _sqlite_schema(db: sqlite3.Connection) -> Iterator[str]:
    """What the file has, and not what the migrations say: that may be more in a later version."""
    for (statement,) in db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"):
        yield f"{statement};"
    (version,) = db.execute("PRAGMA user_version").fetchone()
    yield f"PRAGMA user_version = {version};"


def _postgres_schema(db: psycopg.Connection) -> Iterator[str]:
    """The migrations so far, and the rows that SQLite has not. The output of pg_dump is for servers of its version."""
    yield from MIGRATIONS
    yield from _inserts(db, "journal_version", "version")
    yield from _inserts(db, "heads", "node")


def _rows(db: psycopg.Connection) -> Iterator[str]:
    """A statement for each row, which both databases read."""
    for table, key in ORDER.items():
        yield from _inserts(db, table, key)


def _inserts(db: psycopg.Connection, table: str, key: str) -> Iterator[str]:
    """All rows of a table, a line each; entries take their positions anew, in the same order."""
    cursor = db.execute(sql.SQL("SELECT * FROM {} ORDER BY {}").format(*map(sql.Identifier, (table, key))))
    assert cursor.description
    names = [each.name for each in cursor.description if each.name != "position"]
    rows = [row[-len(names) :] for row in cursor]  # the position comes first
    yield f"INSERT INTO {table} ({', '.join(names)}) VALUES"
    for left, row in enumerate(reversed(range(len(rows)))):
        yield f"({', '.join(map(_literal, rows[left]))}){',' if row else ';'}"


def _literal(value: object) -> str:
    if isinstance(value, bytes):
        return f"decode('{b64encode(value).decode()}', 'base64')"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else repr(value)


if __name__ == "__main__":
    sys.exit(main())
