"""Two daemons that share one PostgreSQL, one spool and one tree of certificates; what else they have is their own."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtlsd.journal.model import Attempt, Delivery, Message
from mtlsd.journal.sql.postgres import PostgresJournal
from tests.support.daemon import Daemon, Tree, acme
from tests.support.postgres import execute

PATIENCE = 30  # seconds; only a failing test waits so long
LEASE = 3  # seconds
WAIT = 4711  # the advisory lock that a held-up transaction waits for


@dataclass(frozen=True, slots=True)
class Nodes:
    """The trees of both nodes, and the journal that they share."""

    url: str
    a: Tree
    b: Tree

    @contextmanager
    def journal(self) -> Iterator[PostgresJournal]:
        with closing(PostgresJournal(self.url)) as opened:
            yield opened

    def message(self, message_id: str) -> Message | None:
        with self.journal() as journal:
            return journal.message(message_id)

    def deliveries(self, message_id: str) -> list[Delivery]:
        with self.journal() as journal:
            found = journal.message(message_id)
            return journal.deliveries(found.id) if found else []

    def attempts(self, delivery: Delivery) -> list[Attempt]:
        with self.journal() as journal:
            return journal.attempts(delivery.id)

    def hold(self, moment: str) -> None:
        """From now on whoever writes a message waits for a lock: at the "insert" of its row, or in the "commit"."""
        when = "DEFERRABLE INITIALLY DEFERRED" if moment == "commit" else "NOT DEFERRABLE"
        execute(self.url, HOLD.format(when=when, key=WAIT))

    def release(self) -> None:
        execute(self.url, "DROP FUNCTION hold CASCADE")

    def until_held(self) -> None:
        """Return when somebody waits for that lock."""
        self.until(f"SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = {WAIT} AND NOT granted")

    def until(self, condition: str) -> None:
        """Ask the database until it says yes."""
        deadline = time.monotonic() + PATIENCE
        while execute(self.url, condition) != [(True,)]:
            assert time.monotonic() < deadline, condition


HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '1min'
AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared({key}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON messages {when} FOR EACH ROW EXECUTE FUNCTION hold();
"""


def nodes(root: Path, url: str, backend: str, *mdn_urls: str, server: str = "") -> Nodes:
    """Two nodes; a lease is short, so that nobody waits long for the end of one."""
    shared = f'journal = "{url}"\nspool = "{root / "spool"}"\ncerts = "{root / "a" / "certs"}"\n{server}'
    delivery = f"lease_seconds = {LEASE}"
    a, b = (Tree(root / name, backend, server=shared, delivery=delivery) for name in "ab")
    if mdn_urls:
        a.add("acme", "ACME", acme(), f"mdn_urls = {json.dumps(mdn_urls)}")
    return Nodes(url, a, b)


def node_name(daemon: Daemon) -> str:
    """How the node calls itself."""
    return (daemon.tree.state / "node").read_text().strip()
