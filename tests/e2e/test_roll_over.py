"""Certificates roll over without a change window: six uses, and of each the old one, the new one, both, an old one that
has ended.

What RO-01 to RO-24 are is a table: which certificates are there, with which dates, and what comes of each.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mtlsd.journal.proof.chain import EntryKind
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from tests.e2e.test_asynchronous_receipts import acknowledged, listing, said, serving, until_sent, wanting
from tests.support import backend as backends
from tests.support import messages, pki, pyas2_oracle
from tests.support.client import VERSIONS, context, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, authority, certificate, keys, running
from tests.support.partner import layered, message, send
from tests.support.pki import CLIENT, SERVER, Issued
from tests.support.site import mtlsd

ENDED: dict[str, Any] = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2021, 1, 1, tzinfo=UTC)}
RENEWED: dict[str, Any] = {"start": datetime(2022, 1, 1, tzinfo=UTC), "end": datetime(2099, 1, 1, tzinfo=UTC)}
OLD, NEW = "old", "new"
TO_COME = "active_from = 2098-01-01"
RETIRED = "retire_after = 2021-01-01"


@dataclass(frozen=True, slots=True)
class Case:
    """One row: what is there of old and new, and what the new one's and the old one's dates are."""

    name: str
    has_old: bool = True
    old_ended: bool = False  # it is past its own validity, or else past its `retire_after`
    new_to_come: bool = False

    @property
    def promotes(self) -> bool:
        """Whether the new one takes the place of one that is in use."""
        return self.name == "both"


ROWS = {
    "old": Case("old", new_to_come=True),
    "new": Case("new", has_old=False),
    "both": Case("both"),
    "expired old": Case("expired old", old_ended=True),
}


def table(*names: str) -> pytest.MarkDecorator:
    """The four cases of one use, by their names."""
    return pytest.mark.parametrize("case", list(ROWS.values()), ids=names)


# --- The files ------------------------------------------------------------------------------------------------


def dates(case: Case, key: str, old: str, new: str) -> str:
    """The settings that give `old` and `new` their dates, where the case has any."""
    rows = [(old, RETIRED)] if case.old_ended else []
    rows += [(new, TO_COME)] if case.new_to_come else []
    return "".join(
        f'[[{key}]]\n{"file" if key == "certificate" else "directory"} = "{each}"\n{line}\n' for each, line in rows
    )


def pair(directory: Path, made: KeyPair | Issued, name: str = "cert.pem") -> None:
    issued = made if isinstance(made, Issued) else Issued(made.certificate, made.private_key)  # type: ignore[arg-type]
    issued.write(directory, name)


def pairs(directory: Path, case: Case, old: KeyPair | Issued, new: KeyPair | Issued, name: str = "cert.pem") -> None:
    """The old pair in its directory and the new one below it; or the new one in its place."""
    pair(directory, old if case.has_old else new, name)
    if case.has_old:
        pair(directory / "next", new, name)


def organization(tree: Tree, case: Case, use: str, old: KeyPair, new: KeyPair) -> None:
    """EXAMPLE with two directories, and in that of this use old and new."""
    folder = tree.certs / "organizations" / "EXAMPLE"
    for each in ("sign", "decrypt"):
        pair(folder / each, keys("EXAMPLE"))
    pairs(folder / use, case, old, new)
    (folder / "organization.toml").write_text(dates(case, "pair", use, f"{use}/next"))


# --- What comes of it -----------------------------------------------------------------------------------------


def check_promotion(daemon: Daemon, case: Case, use: str, owner: str, old: Certificate, new: Certificate) -> None:
    """It is in the log and in the journal, once, where the new one took the place of one in use; else nowhere."""
    if case.promotes:
        line = daemon.wait_for("certificate_promoted", use=use, owner=owner, sha256=new.sha256)
        assert line["retiring"] == [old.sha256]
    assert daemon.stop() == 0
    journal = SQLiteJournal(daemon.tree.state / "journal.sqlite")
    try:
        entered = [each for each in journal.proof.evidence("certificates").entries if each.kind == EntryKind.PROMOTED]
    finally:
        journal.close()
    logged = [each for each in daemon.log if each["event"] == "certificate_promoted" and each["use"] == use]
    assert len(logged) == case.promotes
    assert [json.loads(each.facts)["use"] for each in entered].count(use) == case.promotes


def connects(daemon: Daemon, issued: Issued) -> str | None:
    """The reason for which it may not, or None."""
    with opened(daemon.address, issued) as client:
        answer = client.request(request("HEAD"), head=True)
    assert (answer.status == 200) == (answer.reason is None)
    return answer.reason


def disposition_of(daemon: Daemon, message_id: str, entity: bytes, signer: KeyPair) -> str:
    """What an MDN says that this pair of ours has signed."""
    answer = send(daemon, message(message_id, entity))
    identity = pyas2_oracle.Identity("EXAMPLE", signer.private_key, signer.certificate.x509)  # type: ignore[arg-type]
    report = pyas2_oracle.openssl_verify(answer.fields, answer.body, identity)
    return report.split(b"MDN-sent-automatically; ")[1].split(b"\r\n")[0].decode()


# --- 1: the TLS client certificate of a partner ---------------------------------------------------------------


@table("RO-01", "RO-02", "RO-03", "RO-04")
def test_a_partners_client_certificate(tmp_path: Path, case: Case) -> None:
    root = acme().issuers[0]
    old = certificate(
        root, "edi.acme.example", key=pki.rsa_key("edi.acme.example"), **(ENDED if case.old_ended else LONG)
    )
    new = certificate(root, "edi.acme.example", key=pki.rsa_key("edi.acme.example 2027"), **RENEWED)
    tree = Tree(tmp_path)
    folder = tree.add(
        "acme", "ACME", old if case.has_old else new, dates(case, "certificate", "tls/client.pem", "tls/new.pem")
    )
    if case.has_old:
        (folder / "tls" / "new.pem").write_bytes(new.pem)
    expected = {
        "old": (None, "cert_known_but_pending"),
        "new": ("cert_pin_mismatch", None),
        "both": (None, None),
        "expired old": ("cert_expired", None),
    }
    with running(tree) as daemon:
        assert (connects(daemon, old), connects(daemon, new)) == expected[case.name]
        assert connects(daemon, old) == expected[case.name][0]  # the old one goes on after the new one's first use
        check_promotion(daemon, case, "connection", "acme", old.certificate, new.certificate)


# --- 2: a partner's certificate that verifies messages --------------------------------------------------------


@table("RO-05", "RO-06", "RO-07", "RO-08")
def test_a_partners_certificate_that_verifies_messages(tmp_path: Path, case: Case) -> None:
    old = messages.key_pair("ACME of old", days=-380) if case.old_ended else keys("ACME")
    new = renewed("ACME 2027")
    tree = Tree(tmp_path)
    folder = tree.add("acme", "ACME", acme(), dates(case, "certificate", "as2/old.cer", "as2/new.cer"))
    (folder / "as2" / "as2.cer").unlink()
    if case.has_old:
        (folder / "as2" / "old.cer").write_bytes(old.certificate.der)
    (folder / "as2" / "new.cer").write_bytes(new.certificate.der)
    failed = "processed/error: authentication-failed"
    expected = {
        "old": ("processed", failed),
        "new": (failed, "processed"),
        "both": ("processed", "processed"),
        "expired old": (failed, "processed"),
    }
    with running(tree) as daemon:
        found = [
            disposition_of(daemon, f"<{name}@acme.example>", layered(sender=sender), keys("EXAMPLE"))
            for name, sender in ((OLD, old), (NEW, new), ("old again", old))
        ]
        assert (found[0], found[1]) == expected[case.name]
        assert found[2] == found[0]
        if case.name == "old":
            line = daemon.wait_for("exchange_finished", message_id="<new@acme.example>")
            assert (line["reason"], "in use from 2098-01-01" in line["detail"]) == ("as2_signer_unknown", True)
        check_promotion(daemon, case, "message", "acme", old.certificate, new.certificate)


# --- 3: our decryption key ------------------------------------------------------------------------------------


@table("RO-09", "RO-10", "RO-11", "RO-12")
def test_our_decryption_key(tmp_path: Path, case: Case) -> None:
    old, new = keys("EXAMPLE decrypts"), renewed("EXAMPLE decrypts 2027")
    tree = Tree(tmp_path)
    organization(tree, case, "decrypt", old, new)
    failed = "processed/error: decryption-failed"
    expected = {
        "old": ("processed", "processed"),  # who is early is understood, too
        "new": (failed, "processed"),
        "both": ("processed", "processed"),
        "expired old": (failed, "processed"),
    }
    with running(tree) as daemon:
        found = [
            disposition_of(daemon, f"<{name}@acme.example>", layered(recipient=recipient), keys("EXAMPLE"))
            for name, recipient in ((OLD, old), (NEW, new), ("old again", old))
        ]
        assert (found[0], found[1]) == expected[case.name]
        assert found[2] == found[0]
        opened_with = daemon.wait_for("exchange_finished", message_id="<new@acme.example>")
        assert opened_with["recipient"] == new.certificate.sha256
        if case.old_ended:
            line = daemon.wait_for("exchange_finished", message_id="<old@acme.example>")
            assert (line["reason"], "retired on 2021-01-01" in line["detail"]) == ("as2_decrypt_failed", True)
        check_promotion(daemon, case, "decryption", "EXAMPLE", old.certificate, new.certificate)


# --- 4: our MDN signature key ---------------------------------------------------------------------------------


@table("RO-13", "RO-14", "RO-15", "RO-16")
def test_our_mdn_signature_key(tmp_path: Path, case: Case) -> None:
    old, new = keys("EXAMPLE signs"), renewed("EXAMPLE signs 2027")
    tree = Tree(tmp_path)
    organization(tree, case, "sign", old, new)
    signs = old if case.name == "old" else new
    with running(tree) as daemon:
        for number in range(2):
            assert disposition_of(daemon, f"<{number}@acme.example>", layered(), signs) == "processed"
        line = daemon.wait_for("exchange_finished", message_id="<0@acme.example>")
        assert line["receipt_signer"] == signs.certificate.sha256
        refused = layered(sender=keys("STRANGER"))
        assert disposition_of(daemon, "<refused@acme.example>", refused, signs).endswith("authentication-failed")
        check_promotion(daemon, case, "signing", "EXAMPLE", old.certificate, new.certificate)


# --- 5: our TLS server certificate ----------------------------------------------------------------------------


@table("RO-17", "RO-18", "RO-19", "RO-20")
def test_our_tls_server_certificate(tmp_path: Path, case: Case) -> None:
    name = "as2.example.com"
    old = pki.issue(name, eku=(SERVER,), san=(f"dns:{name}",), **(ENDED if case.old_ended else LONG))
    new = pki.issue(name, key=pki.ec_key("server 2027"), eku=(SERVER,), san=(f"dns:{name}",), **RENEWED)
    tree = Tree(tmp_path)
    folder = tree.certs / "hosts" / name
    pairs(folder, case, old, new, "chain.pem")
    (folder / "host.toml").write_text(dates(case, "pair", ".", "next"))
    served = old if case.name == "old" else new
    with running(tree) as daemon:
        for version in VERSIONS:
            with opened(daemon.address, acme(), version=version) as client:
                assert client.stream.getpeercert(binary_form=True) == served.certificate.der  # type: ignore[attr-defined]
                assert client.request(request("HEAD"), head=True).status == 200
        with opened(daemon.address, sni="drop.example.com") as client:  # another host of that address has one pair
            assert client.request(request("HEAD", host="drop.example.com"), head=True).status == 200
        check_promotion(daemon, case, "server", name, old.certificate, new.certificate)


# --- 6: our TLS client certificate for asynchronous MDNs ------------------------------------------------------


@table("RO-21", "RO-22", "RO-23", "RO-24")
def test_our_tls_client_certificate_for_asynchronous_mdns(tmp_path: Path, case: Case) -> None:
    ours = authority("Our CA for clients")
    old = certificate(ours, "mdn.example.com", eku=(CLIENT,), **(ENDED if case.old_ended else LONG))
    new = certificate(ours, "mdn.example.com", key=pki.ec_key("client 2027"), eku=(CLIENT,), **RENEWED)
    server = pki.issue("mdn.acme.example", issuer=acme().issuers[0], eku=(SERVER,), san=("ip:127.0.0.1",), **LONG)
    tree = Tree(tmp_path)
    folder = tree.certs / "hosts" / "as2.example.com"
    pairs(folder / "client", case, old, new, "chain.pem")
    (folder / "host.toml").write_text(dates(case, "pair", "client", "client/next"))
    shown = old if case.name == "old" else new
    with (
        backends.running(tls=serving(server, clients=ours)) as receiver,
        running(listing(tree, receiver.origin)) as daemon,
    ):
        sent = wanting(receiver.url, "<client@acme.example>")
        assert acknowledged(send(daemon, sent))
        delivered = receiver.wait()
        assert said(delivered, sent) == "processed"
        assert delivered.certificate == shown.certificate.der
        until_sent(daemon, "<client@acme.example>", state="delivered")
        check_promotion(daemon, case, "client", "as2.example.com", old.certificate, new.certificate)


# --- Beside the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("line", "reason", "nearest"),
    [
        (RETIRED, "cert_known_but_retired", "acme's previous certificate, retired on 2021-01-01"),
        (TO_COME, "cert_known_but_pending", "acme's next certificate, in use from 2098-01-01"),
    ],
)
def test_a_certificate_outside_its_dates_is_refused_with_its_reason(
    tmp_path: Path, version: Any, line: str, reason: str, nearest: str
) -> None:
    tree = Tree(tmp_path)
    tree.add("acme", "ACME", acme(), f'[[certificate]]\nfile = "tls/client.pem"\n{line}\n')
    with running(tree) as daemon:
        with opened(daemon.address, settings=context(acme(), version)) as client:
            answer = client.request(request())
        assert (answer.status, answer.reason) == (400, reason)
        assert reason.encode() in answer.body
        logged = daemon.wait_for("exchange_finished", reason=reason)
        assert (logged["nearest"], logged["partner"]) == (nearest, "acme")


def test_a_promotion_is_remembered_by_the_next_life_and_entered_once(tmp_path: Path) -> None:
    old, new = acme(), certificate(acme().issuers[0], "edi.acme.example", key=pki.rsa_key("2027"), **RENEWED)
    tree = Tree(tmp_path)
    (tree.add("acme", "ACME", old) / "tls" / "new.pem").write_bytes(new.pem)
    with running(tree) as daemon:
        for issued in (new, new, old):
            assert connects(daemon, issued) is None
        check_promotion(daemon, ROWS["both"], "connection", "acme", old.certificate, new.certificate)
        [promoted] = [each for each in daemon.log if each["event"] == "certificate_promoted"]
        [reminder] = promoted["detail"]
        assert old.certificate.sha256[:16] in reminder
        assert "has a successor and no retire_after" in reminder
    with running(tree) as again:
        for issued in (new, old):
            assert connects(again, issued) is None
        assert again.stop() == 0
        assert not [each for each in again.log if each["event"] == "certificate_promoted"]
    assert mtlsd("journal", "verify", "--config", tree.configuration).exit_code == 0


def test_a_new_server_certificate_is_dropped_in_while_connections_run(tmp_path: Path) -> None:
    name = "as2.example.com"
    new = pki.issue(name, key=pki.ec_key("dropped in"), eku=(SERVER,), san=(f"dns:{name}",), **RENEWED)
    tree = Tree(tmp_path)
    with running(tree) as daemon, opened(daemon.address, acme()) as before:
        assert before.request(request("HEAD"), head=True).status == 200
        pair(tree.certs / "hosts" / name / "next", new, "chain.pem")
        daemon.wait_for("reloaded")
        with opened(daemon.address, acme()) as client:
            assert client.stream.getpeercert(binary_form=True) == new.certificate.der  # type: ignore[attr-defined]
        assert before.request(request("HEAD"), head=True).status == 200


def renewed(name: str) -> KeyPair:
    """An AS2 pair whose certificate begins later than those of `keys`."""
    issued = pki.self_signed(name, **RENEWED | {"start": datetime(2026, 1, 1, tzinfo=UTC)})
    return KeyPair(issued.certificate, (), issued.key)
