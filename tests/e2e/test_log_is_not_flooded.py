"""No stranger fills the log, and none is in it by what it claims; what it caused is counted."""

import json
import ssl
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mtlsd import log
from tests.support.client import connect, opened, request
from tests.support.daemon import Daemon, Tree, acme, authority, certificate, keys, running
from tests.support.messages import EDI
from tests.support.partner import disposition, layered, message, send, with_fields

CLAIMS = {"as2_from", "as2_to", "message_id", "receipt_target", "receipt_options"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(Tree(tmp_path_factory.mktemp("flood"), limits="max_stranger_lines_per_minute = 60")) as running_daemon:
        yield running_daemon
    assert max(len(json.dumps(line)) for line in running_daemon.log) < log.MAX_LINE


def asked(daemon: Daemon, data: bytes, source: str, host: str = "as2.example.com") -> int:
    with opened(daemon.address, sni=host, source=source) as client:
        return client.request(data).status


def test_a_value_that_a_stranger_chose_is_cut(daemon: Daemon) -> None:
    daemon.forget()
    assert asked(daemon, request("GET", "/" + "p" * 60_000), "127.0.1.1") == 400
    line = daemon.wait_for("exchange_finished", reason="client_cert_missing")
    assert line["path"] == "/" + "p" * 255 + "... (60001 characters)"


def test_what_a_stranger_claims_is_not_logged(daemon: Daemon) -> None:
    daemon.forget()
    claims = [("AS2-From", "\xff" * 60_000), ("AS2-To", "EXAMPLE"), ("Message-ID", "<claimed@acme.example>")]
    assert asked(daemon, request(fields=[*claims, ("Content-Length", "0")]), "127.0.1.2") == 400
    line = daemon.wait_for("exchange_finished", reason="client_cert_missing")
    assert not CLAIMS & line.keys()
    assert "claimed" not in str(line)
    for claimed in (
        message("<claimed@acme.example>", as2_from="CLAIMED"),
        message("<claimed@acme.example>", as2_to="CLAIMED"),
        message("<claimed@acme.example>", layered("E")),
        message("<claimed@acme.example>", layered(sender=keys("CLAIMED"))),
        message("<claimed@acme.example>", mdn="required,claimed"),
        with_fields(message("<1@acme.example>"), Receipt_Delivery_Option="http://claimed.example/"),
    ):
        data = request(fields=claimed.fields, body=claimed.body, host="maybe.example.com")
        assert asked(daemon, data, "127.0.1.2", "maybe.example.com") in (200, 400, 403)
        line = daemon.wait_for("exchange_finished", host="maybe.example.com")
        assert line["reason"]
        assert not CLAIMS & line.keys()
        assert "claimed" not in str(line).lower()


def test_what_a_proved_partner_says_is_logged(daemon: Daemon) -> None:
    daemon.forget()
    sent = message("<tls@acme.example>", as2_to="NOBODY")
    assert disposition(send(daemon, sent), sent, signed=False).startswith("processed/error")
    line = daemon.wait_for("exchange_finished", reason="as2_to_unknown")
    assert (line["partner"], line["as2_to"], line["message_id"]) == ("acme", "NOBODY", "<tls@acme.example>")
    for payload, reason in ((EDI, None), (EDI * 2, "as2_duplicate_other_content")):
        signed = message("<signature@acme.example>", layered("csE", payload))
        data = request(fields=signed.fields, body=signed.body, host="maybe.example.com")
        assert asked(daemon, data, "127.0.1.3", "maybe.example.com") == 200
        line = daemon.wait_for("exchange_finished", host="maybe.example.com")
        assert line["reason"] == reason, line
        assert (line["partner"], line["as2_from"], line["message_id"]) == ("acme", "ACME", "<signature@acme.example>")


def test_a_stranger_has_sixty_lines_a_minute_and_the_rest_is_counted(tmp_path_factory: pytest.TempPathFactory) -> None:
    limited = Tree(tmp_path_factory.mktemp("limited"), limits="max_stranger_lines_per_minute = 60")
    with running(limited) as daemon:
        for _ in range(100):
            assert asked(daemon, request("GET"), "127.0.2.1") == 400
        for _ in range(30):
            with suppress(ssl.SSLError, OSError), connect(daemon.address, source="127.0.2.1") as plain:
                plain.sendall(b"\x16\x03\x01\x00\x05hello")
                plain.recv(100)
        assert asked(daemon, request("GET"), "127.0.2.2") == 400
        daemon.wait_for("exchange_finished", client="127.0.2.2")
        for _ in range(10):  # of a partner behind the same address
            with opened(daemon.address, acme(), source="127.0.2.1") as client:
                assert client.request(request("GET")).status == 405
    written = [line for line in daemon.log if line.get("client") == "127.0.2.1" and "duration_ms" in line]
    assert len([line for line in written if "partner" not in line]) == 60
    assert len([line for line in written if line.get("partner") == "acme"]) == 10
    [counted] = [line for line in daemon.log if line["event"] == "lines_left_out"]
    assert (counted["client"], counted["count"], counted["level"]) == ("127.0.2.1", 70, "warning")


def test_a_certificate_of_two_thousand_names_is_a_short_line(daemon: Daemon) -> None:
    daemon.forget()
    names = ",".join(f"OU=unit number {at}" for at in range(2000))
    issued = certificate(authority("Names"), "names", subject=names)
    with opened(daemon.address, issued, source="127.0.1.4") as client:
        assert client.request(request("GET")).status == 400
    line = daemon.wait_for("exchange_finished", client="127.0.1.4")
    assert line["subject"].endswith("characters)")
