"""A node that dies before it answers has promised nothing: the partner sends again, to whichever node lives.

Whatever the moment of its death, there is one delivery and one MDN.
"""

from contextlib import closing
from pathlib import Path

import pytest

from mtlsd.journal.sql.pool import connect
from tests.support import backend as backends
from tests.support.client import opened, request
from tests.support.daemon import Daemon, acme, running
from tests.support.messages import EDI
from tests.support.nodes import WAIT, nodes
from tests.support.partner import disposition, layered, message, send
from tests.support.postgres import Server


@pytest.mark.parametrize("moment", ["insert", "commit"])
@pytest.mark.parametrize("document", [EDI, EDI * 4000], ids=["small", "large"])
def test_the_same_message_to_another_node_is_delivered_once_and_has_one_mdn(
    tmp_path: Path, durable_postgres: Server, moment: str, document: bytes
) -> None:
    with backends.running() as backend:
        site = nodes(tmp_path, durable_postgres.journal(), backend.url)
        sent = message("<dies@acme.example>", layered(payload=document))
        site.hold(moment)
        with running(site.b) as b:
            with closing(connect(site.url)) as holding:
                holding.execute(f"SELECT pg_advisory_lock({WAIT})")
                a = Daemon(site.a)
                a.wait_for("started")
                with opened(a.address, acme()) as client:
                    client.send(request(fields=sent.fields, body=sent.body))
                    site.until_held()
                    a.kill()
            site.until("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711")
            first, again = send(b, sent), send(b, sent)
            assert disposition(first, sent) == "processed"
            assert first.body == again.body
            assert backend.wait_for("<dies@acme.example>").body == document
            b.wait_for("delivery_finished", state="delivered")
        accepted = site.message("<dies@acme.example>")
        assert accepted
        assert accepted.mdn
        assert accepted.mdn.body == first.body
        (delivery,) = site.deliveries("<dies@acme.example>")
        assert (delivery.state, delivery.attempts, backend.count) == ("delivered", 1, 1)


def test_an_answer_that_nobody_read_is_given_again_by_the_other_node(tmp_path: Path, durable_postgres: Server) -> None:
    with backends.running() as backend:
        site = nodes(tmp_path, durable_postgres.journal(), backend.url)
        sent = message("<unread@acme.example>")
        a = Daemon(site.a)
        a.wait_for("started")
        lost = send(a, sent)
        a.kill()  # perhaps within its delivery, which is then made again
        with running(site.b) as b:
            found = send(b, sent)
            assert disposition(found, sent) == "processed"
            assert (found.body, backend.wait_for("<unread@acme.example>").body) == (lost.body, EDI)
            site.until("SELECT count(*) = 1 FROM deliveries WHERE state = 'delivered'")
        assert len(site.deliveries("<unread@acme.example>")) == 1
        assert backend.count <= 2


def test_a_node_that_starts_again_waits_for_the_commit_of_its_earlier_life(
    tmp_path: Path, durable_postgres: Server
) -> None:
    """Its large document looks like nobody's until PostgreSQL has made the commit."""
    with backends.running() as backend:
        site = nodes(tmp_path, durable_postgres.journal(), backend.url)
        sent = message("<slow-commit@acme.example>", layered(payload=EDI * 40_000))
        site.hold("commit")
        with closing(connect(site.url)) as holding:
            holding.execute(f"SELECT pg_advisory_lock({WAIT})")
            a = Daemon(site.a)
            a.wait_for("started")
            with opened(a.address, acme()) as client:
                client.send(request(fields=sent.fields, body=sent.body))
                site.until_held()
                a.kill()
            again = Daemon(site.a)
            site.until("SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        again.wait_for("started")
        delivered = backend.wait_for("<slow-commit@acme.example>")
        assert delivered.body == EDI * 40_000
        assert disposition(send(again, sent), sent) == "processed"
        assert again.stop() == 0
        assert "spool_swept" not in [line["event"] for line in again.log]
