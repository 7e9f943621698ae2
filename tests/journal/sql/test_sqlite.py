"""What is particular to SQLite: the file, its modes, its versions and its errors."""

import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.journal.notices import NoticeStanding
from mtlsd.journal.sql.sqlite import MIGRATIONS, QUERIES, SQLiteJournal, _transaction, sqlite_errors
from tests.support.examples import OLD_ENTRIES, accept, delivery, message

SORTED = {  # a handful of rows or groups, or one page
    *("message_by_message_id", "backlog", "subjects", "list_messages_that_begin", "list_refusals_that_begin"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    SQLiteJournal(path).close()
    with closing(sqlite3.connect(path)) as opened:
        yield opened


def run(tmp_path: Path, script: str) -> str:
    """Run a script in a process of its own, because it changes that process for good."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_files_are_for_the_owner_only(path: Path) -> None:
    with closing(SQLiteJournal(path)) as journal:
        accept(journal, message(), [])
        beside = sorted(path.parent.iterdir())
        assert [each.suffix for each in beside] == [".db", ".db-shm", ".db-wal"]
        assert {stat.S_IMODE(each.stat().st_mode) for each in beside} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


class Broken(sqlite3.Connection):
    """A disk that fails at the COMMIT."""

    code = 0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql != "COMMIT" or not self.code:
            return super().execute(sql, *values)
        error = sqlite3.OperationalError("it failed")
        error.sqlite_errorcode = self.code
        raise error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, JournalUnavailable),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, JournalUnavailable),
        (sqlite3.SQLITE_FULL, SpoolFull),
        (sqlite3.SQLITE_IOERR_FSYNC, CommitUnclear),
        (sqlite3.SQLITE_CORRUPT, CommitUnclear),
    ],
)
def test_a_commit_that_fails_says_whether_it_may_be_there(code: int, kind: type[Exception]) -> None:
    with closing(sqlite3.connect(":memory:", factory=Broken, isolation_level=None)) as broken:
        broken.execute("CREATE TABLE t (a)")
        broken.code = code
        with pytest.raises(kind) as caught, sqlite_errors(), _transaction(broken):
            broken.execute("INSERT INTO t VALUES (1)")
        assert type(caught.value) is kind
        broken.code = 0
        assert broken.execute("SELECT * FROM t").fetchall() == []


def test_a_new_journal_has_the_newest_version(db: sqlite3.Connection) -> None:
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_the_chain_says_was_told_counts_after_the_migration(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(MIGRATIONS[0])
        old.execute(OLD_ENTRIES)
        old.execute("PRAGMA user_version = 1")
        old.commit()
    with closing(SQLiteJournal(path)) as journal:
        found = [journal.claim_notice(certificate, 7, 100.0) for certificate in ("ab", "cd", "ef")]
    assert found == [NoticeStanding.GIVEN, NoticeStanding.OURS, NoticeStanding.OURS]


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(path: Path, db: sqlite3.Connection) -> None:
    db.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalUnavailable, match=r"version 99, from a newer mtlsd.*: install the newer mtlsd again"):
        SQLiteJournal(path)
    assert db.execute("PRAGMA user_version").fetchone() == (99,)


# --- Read-only ----------------------------------------------------------------------------------------------


def test_one_who_only_reads_sees_what_the_daemon_commits(path: Path) -> None:
    with closing(SQLiteJournal(path)) as daemon, closing(SQLiteJournal(path, read_only=True)) as reader:
        assert reader.message("0001") is None
        accept(daemon, message(), [])
        assert reader.message("0001") == message()


def test_one_who_only_reads_leaves_a_journal_at_rest_as_it_is(path: Path) -> None:
    with closing(SQLiteJournal(path)) as journal:
        accept(journal, message(), [])
    before = [(each.name, each.read_bytes()) for each in path.parent.iterdir()]
    with closing(SQLiteJournal(path, read_only=True)) as reader:
        assert reader.message("0001") == message()
        assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == before


def test_one_who_only_reads_finds_what_a_crash_left(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    with closing(SQLiteJournal(path)) as journal:
        accept(journal, message(), [])
        shutil.copytree(path.parent, copied)  # with the write-ahead log
    with closing(SQLiteJournal(copied / path.name, read_only=True)) as reader:
        assert reader.message("0001") == message()


@pytest.mark.parametrize("running", [True, False])
def test_one_who_only_reads_cannot_write(path: Path, running: bool) -> None:
    with ExitStack() as stack:
        daemon = stack.enter_context(closing(SQLiteJournal(path)))
        if not running:
            daemon.close()
        reader = stack.enter_context(closing(SQLiteJournal(path, read_only=True)))
        with pytest.raises(JournalUnavailable, match="readonly"):
            accept(reader, message(), [])
        assert reader.message("0001") is None


@pytest.mark.parametrize(("version", "words"), [(0, "of an older mtlsd or none"), (99, "from a newer mtlsd")])
def test_one_who_only_reads_refuses_another_version_and_leaves_it_alone(
    path: Path, db: sqlite3.Connection, version: int, words: str
) -> None:
    db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(JournalUnavailable, match=f"version {version}, {words}"):
        SQLiteJournal(path, read_only=True)
    assert db.execute("PRAGMA user_version").fetchone() == (version,)


def test_one_who_only_reads_makes_no_file(path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(JournalUnavailable):
        SQLiteJournal(path, read_only=True)
    assert list(path.parent.iterdir()) == []


# --- What goes wrong ----------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"ISA*00*" * 1000)
    for read_only in (False, True):
        with pytest.raises(JournalUnavailable):
            SQLiteJournal(path, read_only=read_only)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable):
        SQLiteJournal(tmp_path / "file" / "journal.db")


def test_a_directory_that_we_may_not_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o555)
    script = """
import os, pathlib
from mtlsd.errors import JournalUnavailable
from mtlsd.journal.sql.sqlite import SQLiteJournal
if os.getuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    SQLiteJournal(pathlib.Path("state/journal.db"))
except JournalUnavailable as error:
    print(error)
"""
    assert run(tmp_path, script).startswith("[Errno 13] Permission denied")


def test_a_file_that_cannot_grow_loses_no_promise_and_recovers(tmp_path: Path) -> None:
    script = """
import pathlib, resource
from mtlsd.errors import Unavailable
from mtlsd.journal.sql.sqlite import SQLiteJournal
from tests.support.examples import accept, delivery, message
journal = SQLiteJournal(pathlib.Path("journal.db"))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
promised = []
try:
    for number in range(1000):
        new = message(number)
        accept(journal, new, [delivery(new)])
        promised.append(new)
except Unavailable:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert 0 < len(promised) < 1000
listed = [each.message for each in journal.messages(limit=2000)]
assert listed[::-1] == promised
accept(journal, new, [delivery(new)])
journal.close()
again = SQLiteJournal(pathlib.Path("journal.db"))
assert len(again.messages(limit=2000)) == len(promised) + 1
again.close()
print("recovered")
"""
    assert run(tmp_path, script) == "recovered"


def test_a_probe_is_a_real_write(path: Path) -> None:
    with closing(SQLiteJournal(path)) as journal:
        log = path.with_name(f"{path.name}-wal")
        before = log.stat().st_size
        journal.probe()
        assert log.stat().st_size > before
        with closing(SQLiteJournal(path, read_only=True)) as reader, pytest.raises(JournalUnavailable):
            reader.probe()


def test_a_full_database_is_a_full_disk(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE filler (data BLOB)")
    db.execute("PRAGMA max_page_count = 1")  # it stays at what there is
    with pytest.raises(SpoolFull), sqlite_errors():
        db.execute("INSERT INTO filler VALUES (zeroblob(1000000))")


def test_a_lock_that_does_not_end_is_unavailable(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    with (
        closing(sqlite3.connect(path, timeout=0)) as other,
        pytest.raises(JournalUnavailable),
        sqlite_errors(),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_a_bug_of_ours_is_loud(path: Path) -> None:
    with closing(SQLiteJournal(path)) as journal:
        with pytest.raises(sqlite3.IntegrityError):
            accept(journal, message(1), [delivery(message(2))])
        assert journal.message("0001") is None


INSERTS = ("accept", "record_a", "enter")


@pytest.mark.parametrize("name", [each for each in QUERIES if not each.startswith(INSERTS)])
def test_every_query_goes_by_an_index(db: sqlite3.Connection, name: str) -> None:
    query = QUERIES[name]
    wanted = dict.fromkeys(re.findall(r":(\w+)", query), 1) or (1,) * query.count("?")
    plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + query, wanted)]
    scans = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
    scans = [step for step in scans if step not in ("SCAN nodes", "SCAN lanes", "SCAN found")]  # what was found so far
    assert [step for step in scans if "subquery" not in step.lower()] == []
    assert not any("TEMP B-TREE" in step for step in plan) or name in SORTED
