"""What is particular to PostgreSQL: versions, two nodes at once, a server that goes away, and text that it refuses."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlsd.errors import CommitUnclear, JournalUnavailable, SpoolFull
from mtlsd.journal.location import Place, migrate_journal, open_journal
from mtlsd.journal.model import Acceptance, Lane
from mtlsd.journal.notices import NoticeStanding
from mtlsd.journal.proof.verify import verify
from mtlsd.journal.sql.accept import accept_all
from mtlsd.journal.sql.pool import Connections, connect, transaction
from mtlsd.journal.sql.postgres import MIGRATIONS, QUERIES, PostgresJournal, PostgresPort, PostgresStatements, migrate
from tests.support.examples import BARE, FULL, OLD_ENTRIES, accept, delivery, mdn_delivery, message, refusal
from tests.support.postgres import Server, execute
from tests.support.postgres import running as postgres_running

SORTED = {  # a handful of rows or groups, or one page
    *("message_by_message_id", "refusal_by_message_id", "deliveries", "attempts"),
    *("backlog", "subjects", "erase_attempts", "list_messages_that_begin", "list_refusals_that_begin"),
}
PATIENCE = 30  # seconds; only a failing test waits so long


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.journal()


@contextmanager
def journal_at(url: str, node: str = "") -> Iterator[PostgresJournal]:
    with closing(PostgresJournal(url, node=node)) as opened:
        yield opened


def port_of(journal: PostgresJournal) -> PostgresPort:
    assert isinstance(journal.port, PostgresPort)
    return journal.port


def schema_of(url: str) -> str:
    return url.rpartition("%3D")[2]


def until_waiting(url: str, event: str, count: int = 1) -> None:
    """Return when so many sessions wait for a lock of this kind."""
    deadline = time.monotonic() + PATIENCE
    query = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = '{event}'"
    while execute(url, query) != [(count,)]:
        assert time.monotonic() < deadline, "nobody waits"


# --- Versions -----------------------------------------------------------------------------------------------


def test_a_database_is_migrated_once(postgres: Server) -> None:
    url = postgres.empty()
    assert migrate(url) == (0, len(MIGRATIONS))
    assert migrate(url) == (len(MIGRATIONS), len(MIGRATIONS))
    with journal_at(url) as journal:
        accept(journal, message(), [])
    assert migrate(url) == (len(MIGRATIONS), len(MIGRATIONS))
    with journal_at(url) as journal:
        assert journal.message("0001") == message()


def test_a_database_that_was_not_migrated_is_refused_and_left_alone(postgres: Server) -> None:
    url = postgres.empty()
    with pytest.raises(JournalUnavailable, match="has no journal yet: run `mtlsd journal migrate`"):
        PostgresJournal(url)
    assert execute(url, f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema_of(url)}'") == [(0,)]


@pytest.mark.parametrize(("version", "words"), [(0, "no journal yet"), (99, "version 99, from a newer mtlsd")])
def test_a_database_of_another_version_is_refused(url: str, version: int, words: str) -> None:
    execute(url, f"UPDATE journal_version SET version = {version}")
    with pytest.raises(JournalUnavailable, match=words):
        PostgresJournal(url)


def test_what_the_chain_says_was_told_counts_after_the_migration(postgres: Server) -> None:
    url = postgres.empty()
    for statement in (MIGRATIONS[0], OLD_ENTRIES):
        execute(url, statement)
    execute(url, "CREATE TABLE IF NOT EXISTS journal_version (version INTEGER NOT NULL)")
    execute(url, "DELETE FROM journal_version; INSERT INTO journal_version VALUES (1)")
    assert migrate(url) == (1, len(MIGRATIONS))
    with journal_at(url) as journal:
        found = [journal.claim_notice(certificate, 7, 100.0) for certificate in ("ab", "cd", "ef")]
    assert found == [NoticeStanding.GIVEN, NoticeStanding.OURS, NoticeStanding.OURS]


def test_a_database_of_a_newer_version_is_not_migrated(url: str) -> None:
    execute(url, "UPDATE journal_version SET version = 99")
    with pytest.raises(JournalUnavailable, match=r"from a newer mtlsd.*: install the newer mtlsd again"):
        migrate(url)
    assert execute(url, "SELECT version FROM journal_version") == [(99,)]


def test_a_node_that_runs_on_while_the_version_changes_writes_nothing_on_a_new_connection(url: str) -> None:
    with journal_at(url) as journal:
        execute(url, "UPDATE journal_version SET version = 99")
        execute(url, f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {others(url)}")
        with pytest.raises(JournalUnavailable, match=r"from a newer mtlsd.*: install the newer mtlsd again"):
            accept(journal, message(), [])


def others(url: str) -> str:
    """The sessions of mtlsd, other tests' with them: no two tests of a worker run at once."""
    return "application_name LIKE 'mtlsd%' AND pid <> pg_backend_pid()"


def test_a_migration_that_fails_leaves_nothing(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.empty()
    with monkeypatch.context() as patched:
        patched.setattr("mtlsd.journal.sql.postgres.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (); SELECT 1 / 0"))
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(url)
    assert execute(url, f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema_of(url)}'") == [(0,)]
    assert migrate(url) == (0, len(MIGRATIONS))


def test_tables_of_somebody_else_are_not_touched(postgres: Server) -> None:
    url = postgres.empty()
    execute(url, "CREATE TABLE messages (theirs TEXT)")
    with pytest.raises(JournalUnavailable, match='relation "messages" already exists'):
        migrate(url)
    assert execute(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema_of(url)}'") == [("messages",)]


def test_of_two_who_migrate_at_once_one_does_it(postgres: Server) -> None:
    url = postgres.empty()
    start = threading.Barrier(4)

    def race(_: int) -> tuple[int, int]:
        start.wait()
        return migrate(url)

    with ThreadPoolExecutor(4) as threads:
        before = sorted(version for version, _ in threads.map(race, range(4)))
    assert before == [0, *[len(MIGRATIONS)] * 3]


def test_a_database_that_cannot_hold_all_text_is_refused(postgres: Server) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(JournalUnavailable, match="ENCODING 'UTF8'"):
        migrate(postgres.url("latin"))


# --- Where it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://nobody@/postgres?host={host}", 'role "nobody" does not exist'),
        ("postgresql://mtlsd@/nowhere?host={host}", 'database "nowhere" does not exist'),
        ("postgresql://mtlsd@/postgres?host={host}/nowhere", "No such file or directory"),
        ("postgresql://127.0.0.1:9/postgres", "Connection refused"),
        ("postgresql:///postgres?sslmod=require", "sslmod"),
        ("postgresql://[::1/postgres", "]"),
    ],
)
def test_a_database_that_cannot_be_reached_is_unavailable(postgres: Server, url: str, words: str) -> None:
    host = postgres.url().partition("host=")[2]
    for use in (PostgresJournal, migrate):
        with pytest.raises(JournalUnavailable) as caught:
            use(url.format(host=host))
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_password_comes_from_the_credentials(postgres: Server, tmp_path: Path) -> None:
    """The server trusts everybody, so only what is sent can be looked at."""
    (tmp_path / "journal.password").write_text("correct horse\n")
    place = Place(postgres.journal(), tmp_path, tmp_path)
    assert place.password() == "correct horse"
    assert migrate_journal(place) == (len(MIGRATIONS), len(MIGRATIONS))
    with closing(open_journal(place)) as journal:
        assert isinstance(journal, PostgresJournal)
    with closing(connect(place.journal, place.password())) as db:
        assert db.info.password == "correct horse"
    assert Place(place.journal, tmp_path, None).password() is None


@pytest.mark.parametrize(
    ("server", "ours"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_a_commit_always_waits_for_the_disk(url: str, server: str, ours: str) -> None:
    with closing(connect(f"{url}%20-csynchronous_commit%3D{server}")) as db:
        assert db.execute("SHOW synchronous_commit").fetchone() == {"synchronous_commit": ours}


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
def test_nothing_waits_for_ever(url: str, name: str) -> None:
    with closing(connect(url)) as db:
        (value,) = (db.execute(f"SHOW {name}").fetchone() or {}).values()
    assert value not in ("0", None)


# --- Two nodes at once --------------------------------------------------------------------------------------


def test_two_nodes_that_accept_one_key_agree_on_its_holder(url: str) -> None:
    """The second waits for the first one's commit; it reads what was committed, not what it began with."""
    with journal_at(url) as second, closing(connect(url)) as first, ThreadPoolExecutor(1) as thread:
        with transaction(first):
            accept_all(PostgresStatements(first), "first", [Acceptance(message(1), (delivery(message(1)),))])
            again = message(2, message_id=message(1).message_id)
            late = thread.submit(accept, second, again, [delivery(again)])
            until_waiting(url, "transactionid")
        assert late.result(PATIENCE) == message(1)
        assert second.deliveries("0002") == []


def test_where_the_first_is_rolled_back_the_second_holds_the_key(url: str) -> None:
    with journal_at(url) as second, closing(connect(url)) as first, ThreadPoolExecutor(1) as thread:
        first.execute("BEGIN")
        accept_all(PostgresStatements(first), "first", [Acceptance(message(1), ())])
        again = message(2, message_id=message(1).message_id)
        late = thread.submit(accept, second, again, [])
        until_waiting(url, "transactionid")
        first.execute("ROLLBACK")
        assert late.result(PATIENCE) == again


def test_groups_with_the_same_keys_in_any_order_never_fail(url: str) -> None:
    start = threading.Barrier(8)

    def race(number: int) -> list[str]:
        with journal_at(url) as journal:
            keys = sorted(range(20), key=lambda key: (key * 7 + number * 5) % 20)
            group = [Acceptance(message(number * 100 + key, message_id=f"<{key}>"), ()) for key in keys]
            start.wait()
            held = {each.message_id: each.id for each in journal.accept(group)}
            return [held[f"<{key}>"] for key in range(20)]

    with ThreadPoolExecutor(8) as threads:
        (agreed,) = {tuple(each) for each in threads.map(race, range(8))}
    assert len(set(agreed)) == 20


def test_a_transaction_that_was_sacrificed_is_made_again(url: str) -> None:
    """Two wait for each other, and PostgreSQL ends one of them: the one whose patience is shorter."""
    accepted = [message(1), message(2)]
    with journal_at(url) as journal, closing(connect(url)) as other, ThreadPoolExecutor(1) as thread:
        journal.accept([Acceptance(each, (delivery(each),)) for each in accepted])
        calls: list[int] = []

        def work(db: PostgresStatements) -> None:
            calls.append(1)
            db.execute("SELECT 1 FROM deliveries WHERE id = 'd0001' FOR UPDATE")
            db.execute("SELECT 1 FROM deliveries WHERE id = 'd0002' FOR UPDATE")

        other.execute("SET deadlock_timeout = '1min'")  # so that it is not this one that is ended
        with transaction(other):
            other.execute("SELECT 1 FROM deliveries WHERE id = 'd0002' FOR UPDATE")
            done = thread.submit(port_of(journal).write, work)
            until_waiting(url, "transactionid")
            other.execute("SELECT 1 FROM deliveries WHERE id = 'd0001' FOR UPDATE")
        done.result(PATIENCE)
        assert len(calls) > 1


def test_what_another_node_is_claiming_is_skipped_and_not_waited_for(url: str) -> None:
    with journal_at(url) as journal, closing(connect(url)) as other:
        for number in (1, 2):
            accept(journal, message(number), [delivery(message(number))])
        with transaction(other):
            other.execute("SELECT 1 FROM deliveries WHERE id = 'd0001' FOR UPDATE")
            assert [each.delivery.id for each in journal.claim("b", 10.0, 15.0, 9)] == ["d0002"]
        assert [each.delivery.id for each in journal.claim("b", 10.0, 15.0, 9)] == ["d0001"]


def test_a_claim_of_many_has_what_each_is_about(url: str) -> None:
    with journal_at(url) as journal:
        accept(journal, message(1), [delivery(message(1), 2.0), mdn_delivery(message(1), 1.0)])
        journal.promise(mdn_delivery(refusal(2), 3.0), refusal(2))
        claimed = journal.claim("a", 10.0, 15.0, 9)
        assert [each.about for each in claimed] == [message(1), message(1), refusal(2)]
        assert [each.delivery.id for each in claimed] == ["m0001", "d0001", "mr0002"]


def test_names_are_told_when_the_earlier_life_of_the_node_has_committed(url: str) -> None:
    """A process was killed while PostgreSQL made its commit; the node starts again, and is about to sweep."""
    with journal_at(url, "a") as earlier, journal_at(url, "a") as later, journal_at(url, "b") as other:
        execute(url, COMMIT_WAITS)
        with closing(connect(url)) as held, ThreadPoolExecutor(2) as threads:
            held.execute("SELECT pg_advisory_lock(4711)")
            accepted = threads.submit(accept, earlier, FULL, [])
            until_waiting(url, "advisory")
            names = threads.submit(list, later.spool_names())
            until_waiting(url, "advisory", 2)
            assert list(other.spool_names()) == []
            held.execute("SELECT pg_advisory_unlock(4711)")
            assert accepted.result(PATIENCE) == FULL
            assert names.result(PATIENCE) == [FULL.payload, FULL.original, FULL.signed, FULL.signature]


def test_a_commit_whose_connection_is_lost_is_unclear_until_postgresql_has_ended_it(url: str) -> None:
    with journal_at(url, "a") as journal, journal_at(url, "b") as other:
        execute(url, COMMIT_WAITS)
        with closing(connect(url)) as held, ThreadPoolExecutor(1) as thread:
            held.execute("SELECT pg_advisory_lock(4711)")
            accepted = thread.submit(accept, journal, FULL, [])
            until_waiting(url, "advisory")
            assert (journal.is_settled(), other.is_settled()) == (False, True)
            execute(url, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE wait_event = 'advisory'")
            with pytest.raises(CommitUnclear):
                accepted.result(PATIENCE)
        assert (journal.is_settled(), journal.message(FULL.id)) == (True, None)


def test_nobody_overtakes_the_first_of_an_ordered_lane_that_another_node_is_claiming(url: str) -> None:
    with journal_at(url) as journal, closing(connect(url)) as other:
        for number in (1, 2):
            new = message(number)
            accept(journal, new, [replace(delivery(new), lane=Lane("acme", ordered=True))])
        with transaction(other):
            other.execute("SELECT 1 FROM deliveries WHERE id = 'd0001' FOR UPDATE")
            assert journal.claim("b", 10.0, 15.0, 9) == []
        assert [each.delivery.id for each in journal.claim("b", 10.0, 15.0, 9)] == ["d0001"]
        assert journal.claim("a", 11.0, 15.0, 9) == []


def test_nodes_enter_in_chains_of_their_own_and_never_wait_for_each_other(url: str, tmp_path: Path) -> None:
    with (
        closing(PostgresJournal(url, chain="a")) as first,
        closing(PostgresJournal(url, chain="b")) as second,
        closing(connect(url)) as held,
    ):
        accept(first, message(1), [])
        with transaction(held):
            held.execute("SELECT 1 FROM heads WHERE node = 'a' FOR UPDATE")
            accept(second, message(2), [])
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: accept((first, second)[number % 2], message(number), []), range(3, 23)))
        assert [first.proof.head(node).number for node in first.proof.nodes()] == [11, 11]
        assert verify(first, None, tmp_path).broken is None


def test_the_chain_is_about_the_text_as_it_is_kept(url: str, tmp_path: Path) -> None:
    with journal_at(url) as journal:
        accept(journal, replace(FULL, subject="a\0b"), [])
        assert verify(journal, None, tmp_path).broken is None


COMMIT_WAITS = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '1min'
AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION wait();
"""


# --- What goes wrong ----------------------------------------------------------------------------------------


def test_a_server_that_goes_away_and_comes_back_loses_nothing() -> None:
    with postgres_running() as server:
        url = server.journal()
        with journal_at(url) as journal:
            for number, end in enumerate([server.stop, server.crash], 1):
                accept(journal, message(number), [delivery(message(number))])
                end()
                for use in uses(journal):
                    with pytest.raises(JournalUnavailable):
                        use()
                server.start()
                assert journal.messages(limit=1)[0].message == message(number)
            assert sum(journal.counts().values()) == 2
            server.stop()
            server.start()  # between two calls, so that nobody notices
            assert accept(journal, message(3), []) == message(3)


def uses(journal: PostgresJournal) -> list[Callable[[], object]]:
    return [
        lambda: accept(journal, message(9), []),
        lambda: journal.claim("a", 1.0, 15.0, 1),
        lambda: journal.message("0001"),
        lambda: journal.next_due(1.0),
        lambda: list(journal.spool_names()),
    ]


def test_a_connection_that_is_lost_within_a_transaction_is_not_used_again(url: str) -> None:
    with journal_at(url) as journal:

        def work(db: PostgresStatements) -> None:
            db.execute("INSERT INTO documents VALUES ('x', '')")
            db.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(JournalUnavailable):
            port_of(journal).write(work)
        assert journal.document("x") is None
        assert accept(journal, message(), []) == message()


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT 1 / 0", psycopg.DataError),
        ("SELECT nonsense(", psycopg.ProgrammingError),
        ("SELECT * FROM nowhere", JournalUnavailable),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(60)", JournalUnavailable),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", SpoolFull),
        ("DO $$ BEGIN RAISE SQLSTATE '53400'; END $$", JournalUnavailable),
        ("DO $$ BEGIN RAISE SQLSTATE 'XX001'; END $$", JournalUnavailable),
        ("SET TRANSACTION READ ONLY; INSERT INTO documents VALUES ('y', '')", JournalUnavailable),
    ],
)
def test_an_error_is_translated_and_leaves_no_transaction_behind(
    url: str, statement: str, error: type[Exception]
) -> None:
    with journal_at(url) as journal:

        def work(db: PostgresStatements) -> None:
            db.execute("INSERT INTO documents VALUES ('x', '')")
            db.execute(statement)

        with pytest.raises(error):
            port_of(journal).write(work)
        assert journal.document("x") is None
        assert accept(journal, message(), []) == message()


def test_a_bug_of_ours_is_loud(url: str) -> None:
    with journal_at(url) as journal:
        with pytest.raises(psycopg.IntegrityError):
            accept(journal, message(1), [delivery(message(2))])
        assert journal.message("0001") is None


def test_a_role_that_may_not_write_is_unavailable(postgres: Server, url: str) -> None:
    schema = schema_of(url)
    postgres.execute(f"CREATE ROLE {schema} LOGIN")
    execute(url, f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
    execute(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}")
    with journal_at(url.replace("//mtlsd@", f"//{schema}@")) as journal:
        assert journal.message("0001") is None
        with pytest.raises(JournalUnavailable, match="permission denied"):
            accept(journal, message(), [])


def test_who_finds_every_connection_in_use_hears_so(url: str) -> None:
    connections = Connections(lambda: connect(url), size=1)
    with connections.one() as first, pytest.raises(JournalUnavailable, match="in use"), connections.one(timeout=0):
        pytest.fail("there is one alone")
    with connections.one() as again:
        assert again is first
    connections.close()
    with connections.one() as last:
        pass
    assert last.closed


# --- What a peer may send -----------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)  # no lone surrogates: see `Message`
FREE = ("content_type", "subject", "filename", "mic", "host", "route")


@settings(max_examples=60)
@given(data=st.data())
def test_any_text_is_kept_and_only_nul_is_shown_in_another_way(
    any_journal: PostgresJournal, data: st.DataObject
) -> None:
    free: dict[str, Any] = {name: data.draw(TEXT) for name in FREE}
    notes = tuple(data.draw(st.lists(TEXT, max_size=2)))
    headers = tuple((name, value) for name, value in data.draw(st.lists(st.tuples(TEXT, TEXT), max_size=2)))
    id_ = uuid4().hex
    stored = replace(BARE, id=id_, message_id=f"<{id_}>", headers=headers, notes=notes, **free)
    assert accept(any_journal, stored, []) == stored
    shown: dict[str, Any] = {name: text.replace("\0", "\N{SYMBOL FOR NULL}") for name, text in free.items()}
    assert any_journal.message(id_) == replace(stored, **shown)


@settings(max_examples=60)
@given(key=st.tuples(TEXT, TEXT, TEXT))
def test_any_key_can_be_asked_for(any_journal: PostgresJournal, key: tuple[str, str, str]) -> None:
    assert any_journal.find(*key) is None
    assert any_journal.message(key[0]) is None or key[0] == "\0"
    assert any_journal.refusal(key[0]) is None


@pytest.fixture(scope="module")
def any_journal(postgres: Server) -> Iterator[PostgresJournal]:
    with journal_at(postgres.journal()) as opened:
        yield opened


def test_the_longest_ids_that_are_accepted_have_room_in_the_key(url: str) -> None:
    """As they come off the wire: 998 and 128 octets, each a character that is two octets in UTF-8."""
    octets = bytes(range(160, 256))
    message_id = "".join(chr(octets[at * at % 96]) for at in range(998))
    name = "".join(chr(octets[(at * 7 + at // 5) % 96]) for at in range(128))
    with journal_at(url) as journal:
        stored = message(message_id=message_id, as2_from=name, as2_to=name[::-1])
        accept(journal, stored, [])
        assert journal.find(name, name[::-1], message_id) == stored


def test_an_id_that_was_refused_for_its_length_can_be_found(url: str) -> None:
    message_id = "".join(chr(33 + at * at * 7 % 90) for at in range(60_000))
    with journal_at(url) as journal:
        refused = refusal(1, message_id=message_id)
        journal.promise(mdn_delivery(refused), refused)
        assert journal.refusal(message_id) == refused


WHOLE_TABLES = ("accept", "record_a", "counts", "probe", "enter", "begin_chain", "try_node_lock")


@pytest.mark.parametrize("name", [each for each in QUERIES if not each.startswith(WHOLE_TABLES)])
def test_every_query_goes_by_an_index(url: str, name: str) -> None:
    query = QUERIES[name]
    wanted: Any = dict.fromkeys(re.findall(r"%\((\w+)\)s", query), "1") or ("1",) * query.count("%s")
    if isinstance(wanted, dict):
        wanted |= {name: value for name, value in {"ids": ["1"], "lane": "ordered 1"}.items() if name in wanted}
    with closing(connect(url)) as db:
        db.execute("SET enable_seqscan = off")
        db.execute("SET enable_bitmapscan = off")
        plan = [next(iter(row.values())) for row in db.execute(f"EXPLAIN {query}", wanted)]
    assert not [step for step in plan if "Seq Scan" in step]
    assert name in SORTED or not [step for step in plan if "Sort" in step]
