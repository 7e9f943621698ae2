"""Our own signing certificate is past its end: readiness says so before a message comes, and receipts are signed on."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import messages, pki, pyas2_oracle
from tests.support.admin import checks, failing, get
from tests.support.daemon import Tree, running
from tests.support.partner import message, send
from tests.support.pki import Issued

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)


def expire(folder: Path) -> Issued:
    """Give the organization a signing key of its own, whose certificate has expired."""
    (folder / "decrypt").mkdir()
    for name in ("cert.pem", "key.pem"):
        (folder / name).rename(folder / "decrypt" / name)
    expired = pki.self_signed("EXAMPLE signs", start=BEGIN, end=END)
    expired.write(folder / "sign", "cert.pem")
    return expired


def test_k19_readiness_is_red_beforehand_and_the_receipt_is_signed_with_an_alert(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tree = Tree(tmp_path_factory.mktemp("expired"))
    ours = expire(tree.certs / "organizations" / "EXAMPLE")
    with running(tree) as daemon:
        ready = get(tree, "/readyz")
        assert (ready.status, failing(ready)) == (503, ["certificate signing EXAMPLE"])
        assert checks(ready)["certificate signing EXAMPLE"]["detail"] == "expired on 2021-01-01T00:00:00Z"
        assert get(tree, "/healthz").status == 200
        answer = send(daemon, message("<k19@acme.example>"))
        identity = pyas2_oracle.Identity("EXAMPLE", ours.key, ours.certificate.x509)  # type: ignore[arg-type]
        report = pyas2_oracle.openssl_verify(answer.fields, answer.body, identity)
        assert b"automatic-action/MDN-sent-automatically; processed\r\n" in report
        line = daemon.wait_for("exchange_finished", message_id="<k19@acme.example>")
        assert (line["level"], line["reason"]) == ("error", None)
        assert line["alert"].startswith("Our signing certificate is valid from 2020-01-01")


def test_k19_a_refusal_is_signed_with_an_alert_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("expired"))
    expire(tree.certs / "organizations" / "EXAMPLE")
    spoilt = messages.message(b"Content-Type: text/plain\r\n\r\nnot signed", message_id="<k19-bad@acme.example>")
    unsigned = messages.message(b"Content-Type: text/plain\r\n\r\nx", message_id="<k19-none@acme.example>", mdn=None)
    with running(tree) as daemon:
        answer = send(daemon, spoilt)
        assert (answer.reason, answer.status) == ("as2_security_too_low", 200)
        assert (answer.get("Content-Type") or "").startswith("multipart/signed; ")
        line = daemon.wait_for("exchange_finished", message_id="<k19-bad@acme.example>")
        assert "signing certificate" in line["alert"]
        send(daemon, unsigned)
        assert "alert" not in daemon.wait_for("exchange_finished", message_id="<k19-none@acme.example>")
