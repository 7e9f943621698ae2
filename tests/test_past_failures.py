"""Weaknesses that AS2 and mutual-TLS products have had, a test each: what ours does instead.

The names of the tests say what must hold; the docstrings say what went wrong elsewhere. Whole families of cases are in
the tests of each package; here every weakness has one that a reader finds by its name.
"""

import base64
import ssl
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from asn1crypto import cms
from trio.testing import MockClock

from mtlsd.as2.mime.multipart_signed import verify_detached
from mtlsd.errors import AS2MIMEMalformed, AS2SignatureBad
from mtlsd.partners.registry import load_partners
from tests.as2.test_quirks import PART, REPORT, REPORT_TYPE, mdn, signed_mdn
from tests.as2.test_receiver import NOTHING, agreement, receive
from tests.support import backend as backends
from tests.support import messages
from tests.support.backend import Backend
from tests.support.client import Answer, connect, context, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, authority, certificate, keys, resident, running
from tests.support.inprocess import in_process
from tests.support.messages import EDI, Sent, key_pair
from tests.support.partner import disposition, kept, layered, message, receipt, send, with_fields

ENTITY = messages.entity()
LIMITS = "max_failures_per_hour = 100_000"
IDS = (f"<past-{number}@acme.example>" for number in count())


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Daemon]:
    with running(Tree(tmp_path_factory.mktemp("past"), backend.url, limits=LIMITS)) as running_daemon:
        yield running_daemon


def said(daemon: Daemon, entity: bytes) -> str:
    """The disposition of a message from ACME; what is not processed is not kept either."""
    sent = message(next(IDS), entity)
    words = disposition(send(daemon, sent), sent)
    assert (kept(daemon.tree, dict(sent.fields)["Message-ID"]) is None) == (words != "processed")
    return words


def encrypted(entity: bytes) -> bytes:
    return messages.encrypt(entity, keys("EXAMPLE"))


def test_a_signature_without_a_signer_verifies_nothing(daemon: Daemon) -> None:
    """A loop over no signers finds no bad one."""
    signature = cms.ContentInfo.load(messages.signed_data(ENTITY, keys("ACME")))
    signature["content"]["signer_infos"] = []
    entity = messages.multipart_signed(ENTITY, signature.dump(force=True))
    assert said(daemon, encrypted(entity)) == "processed/error: authentication-failed"


def test_a_certificate_inside_a_message_proves_nothing(daemon: Daemon) -> None:
    """The certificate that the message brought along was believed, and so was anybody."""
    signature = messages.signed_data(ENTITY, keys("MALLORY"))
    assert keys("MALLORY").certificate.der in signature
    entity = messages.multipart_signed(ENTITY, signature)
    assert said(daemon, encrypted(entity)) == "processed/error: authentication-failed"


def test_a_failed_signature_is_never_processed(daemon: Daemon, backend: Backend) -> None:
    """The failure was logged, and a positive receipt sent all the same."""
    before = backend.count
    changed = layered("s").replace(b"ORDERS", b"INVOIC")
    assert said(daemon, encrypted(changed)) == "processed/error: integrity-check-failed"
    assert backend.count == before


def test_an_mdn_is_read_from_the_very_octets_that_verified() -> None:
    """One part was verified, and the disposition read from another."""
    bad = messages.entity(REPORT.replace(b";processed", b";processed/error: decryption-failed"), REPORT_TYPE)
    sent = signed_mdn(
        lambda _: messages.entity(messages.signed_data(bad, key_pair("ACME")), "application/pkcs7-signature")
    )
    _, _, signature = sent.body.partition(b"\r\n--s\r\nContent-Type: application/pkcs7-signature")
    good = messages.entity(REPORT, REPORT_TYPE)
    tail = b"\r\n--s\r\nContent-Type: application/pkcs7-signature" + signature
    wrapped = good + b"\r\n--s\r\n" + bad + tail
    assert mdn(Sent(sent.fields, wrapped)).modifier == "error: decryption-failed"
    with pytest.raises(AS2MIMEMalformed):
        mdn(Sent(sent.fields, b"--s\r\n" + bad + tail.removesuffix(b"--") + b"\r\n" + good + b"\r\n--s--"))
    with pytest.raises(AS2SignatureBad):
        verify_detached(sent.fields, b"--s\r\n" + good + tail, [key_pair("ACME").certificate], messages.NOW)


@pytest.mark.parametrize("digest", [b"", b"bm90IHRoaXM=, sha512", b"2jmj7l5rSw0yVb/vlWAYkK/YBwk=, sha1"])
def test_an_mdn_without_the_mic_that_we_computed_confirms_nothing(digest: bytes) -> None:
    """No digest, or that of another algorithm, counted as success."""
    notification = PART + b"Original-Message-ID: <1@example.com>\r\nDisposition: a/b; processed\r\n"
    notification += b"Received-Content-MIC: " + digest + b"\r\n" if digest else b""
    said = mdn(Sent((("content-type", REPORT_TYPE),), b"--b\r\n" + notification + b"\r\n--b--\r\n"))
    assert (said.disposition_type, said.confirmed) == ("processed", False)


def test_what_was_achieved_counts_and_not_what_was_announced(daemon: Daemon) -> None:
    """Any application/pkcs7-mime passed for encrypted."""
    opaque = messages.openssl("-sign", "-nodetach", stdin=ENTITY, signer=keys("ACME"))
    deflated = messages.split(messages.compress(layered("s")))[1]
    for der in (opaque, deflated):
        entity = messages.smime("enveloped-data", der)
        assert said(daemon, entity) == "processed/error: insufficient-message-security"


def test_a_cms_type_that_is_not_understood_is_never_the_document(daemon: Daemon) -> None:
    """It was handed on as the payload, with a positive receipt."""
    digested = cms.ContentInfo({"content_type": "digested_data", "content": None}).dump()
    entity = messages.smime("enveloped-data", digested)
    assert said(daemon, entity) == "processed/error: unexpected-processing-error"
    assert said(daemon, encrypted(messages.sign(entity, keys("ACME")))).startswith("processed/error")


def test_decompression_has_an_end(daemon: Daemon) -> None:
    """A few hundred kilobytes became gigabytes."""
    bomb = zlib.compress(messages.entity(bytes(30 << 20), "application/octet-stream"), 9)
    entity = messages.smime("compressed-data", messages.compressed_data(bomb))
    before = resident(daemon)
    signed = messages.sign(entity, keys("ACME"))
    assert said(daemon, encrypted(signed)) == "processed/error: decompression-failed"
    assert resident(daemon) - before < 16 << 20


def test_a_promised_length_reserves_no_memory(daemon: Daemon) -> None:
    """As much memory was reserved as Content-Length said."""
    fields = [*message(next(IDS)).fields, ("Content-Length", str(1 << 30)), ("Expect", "100-continue")]
    before = resident(daemon)
    with opened(daemon.address, acme()) as client:
        assert client.request(request(fields=fields, length=False)).status == 100
        client.send(b"x")
        assert resident(daemon) - before < 16 << 20


async def test_a_body_that_never_comes_is_not_waited_for(tmp_path: Path, mock_clock: MockClock) -> None:
    """There was no time limit on reading."""

    async with in_process(Tree(tmp_path)) as world:
        client = await world.secure(acme())
        await client.send(request(fields=[*message("<late@acme.example>").fields], body=bytes(1000))[:-1000])
        await world.jump(60)
        assert (await client.answer()).startswith(b"HTTP/1.1 408 ")


def test_an_asynchronous_mdn_goes_to_listed_places_only(daemon: Daemon, backend: Backend) -> None:
    """It went to any URL that the sender named, with credentials."""
    before = backend.count
    for target in (f"{backend.origin}/mdn", "http://169.254.169.254/latest", "mailto:edi@acme.example"):
        answer = send(daemon, with_fields(message(next(IDS)), Receipt_Delivery_Option=target))
        assert (answer.status, answer.reason) == (403, "mdn_target_denied")
    assert backend.count == before


def test_a_file_name_and_a_message_id_are_data(daemon: Daemon, backend: Backend) -> None:
    """They reached a shell, a path or a line of the log."""
    message_id = "<../../$(touch evil)/`id`;x@acme.example>"
    name = "../../etc/$(touch evil).edi"
    inner = messages.entity(EDI, Content_Disposition=f'attachment; filename="{name}"')
    sent = message(message_id, encrypted(messages.sign(inner, keys("ACME"))))
    assert disposition(send(daemon, sent), sent) == "processed"
    assert backend.wait_for(message_id).get("Mtlsd-Filename") == "$(touch evil).edi"  # the last segment alone
    assert not [path for path in daemon.tree.root.rglob("*") if "evil" in path.name or path.name == "id"]


def test_key_padding_and_content_fail_alike(daemon: Daemon) -> None:
    """Different errors let whoever captured a message decrypt it."""
    whole = encrypted(layered("s"))
    envelope = cms.ContentInfo.load(messages.split(whole)[1])
    info = envelope["content"]["recipient_infos"][0].chosen
    info["encrypted_key"] = bytes(255) + b"\1"
    wrong_key = messages.smime("enveloped-data", envelope.dump(force=True))
    damaged = whole[:-1] + bytes([whole[-1] ^ 0x5A])
    garbage = encrypted(b"\x8f\x00garbage" * 50)
    texts = set()
    for entity in (wrong_key, damaged, garbage):
        sent = message("<alike@acme.example>", entity)
        answer = send(daemon, sent)
        assert disposition(answer, sent) == "processed/error: decryption-failed"
        texts.add(_without_ids(receipt(answer, sent).text, answer))
    assert len(texts) == 1


def _without_ids(text: str, answer: Answer) -> str:
    return text.replace(answer.get("Mtlsd-Request-Id") or "", "")


def test_a_refused_message_holds_no_id(daemon: Daemon) -> None:
    """A forgery with a guessed Message-ID made the real message a duplicate."""
    forged = message("<guessed@acme.example>", layered(sender=keys("MALLORY")))
    assert disposition(send(daemon, forged), forged) == "processed/error: authentication-failed"
    real = message("<guessed@acme.example>")
    assert disposition(send(daemon, real), real) == "processed"


def test_a_duplicate_is_known_by_its_content_and_not_by_its_octets(daemon: Daemon) -> None:
    """A retry that was encrypted anew was taken for another document."""
    first, again = (message("<anew@acme.example>", encrypted(layered("s"))) for _ in range(2))
    assert first.body != again.body
    assert send(daemon, first).body == send(daemon, again).body


def test_signed_attributes_are_not_taken_for_content() -> None:
    """A signature over attributes was shown as one over content that is those attributes."""
    signature = cms.ContentInfo.load(messages.signed_data(ENTITY, key_pair("ACME")))
    signer = signature["content"]["signer_infos"][0]
    content = signer["signed_attrs"].untag().dump(force=True)
    del signer["signed_attrs"]
    forged = messages.multipart_signed(content, signature.dump(force=True))
    with pytest.raises(AS2SignatureBad, match="SET of attributes"):
        receive(messages.message(forged), agreement(NOTHING))


def test_an_outer_header_says_nothing_of_what_is_inside(daemon: Daemon, backend: Backend) -> None:
    """Its transfer encoding and file name were applied to the decrypted part, and the backend got garbage."""
    sent = with_fields(
        message("<outer@acme.example>"),
        Content_Transfer_Encoding="base64",
        Content_Disposition="attachment; filename=outer.p7m",
    )
    assert disposition(send(daemon, sent), sent) == "processed"
    delivered = backend.wait_for("<outer@acme.example>")
    assert (delivered.body, delivered.get("Mtlsd-Filename")) == (EDI, "order.edi")
    bare = message("<bare@acme.example>", encrypted(messages.sign(b"\r\n" + EDI, keys("ACME"))))
    bare = with_fields(bare, Content_Disposition="attachment; filename=outer.p7m")
    assert disposition(send(daemon, bare), bare) == "processed"
    assert backend.wait_for("<bare@acme.example>").get("Mtlsd-Filename") is None


def test_no_payload_is_in_the_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decrypted documents and whole requests were in it."""
    secret = b"the-price-of-everything"
    with running(Tree(tmp_path_factory.mktemp("log"))) as daemon:
        for entity in (layered("sE", secret), layered("", secret), layered("sE", secret)[:-9], encrypted(secret)):
            send(daemon, message(next(IDS), entity))
    log = str(daemon.log)
    assert "exchange_finished" in log
    assert secret.decode() not in log
    assert base64.b64encode(secret).decode()[:20] not in log


def test_a_certificate_proves_nothing_to_another_host(daemon: Daemon) -> None:
    """The handshake named a host that asks for none, and Host another one; or a session of another host went on."""
    with opened(daemon.address, sni="drop.example.com") as client:
        answer = client.request(request(host="as2.example.com"))
        assert (answer.status, answer.reason) == (421, "sni_host_mismatch")
    settings = context(version=ssl.TLSVersion.TLSv1_2)
    with opened(daemon.address, settings=settings, sni="drop.example.com") as client:
        assert client.request(request("HEAD", host="drop.example.com"), head=True).status == 200
        assert isinstance(client.stream, ssl.SSLSocket)
        session = client.stream.session
    with connect(daemon.address) as tcp:
        stream = settings.wrap_socket(tcp, server_hostname="as2.example.com", session=session)
        assert not stream.session_reused
        stream.close()


def test_every_host_that_shares_an_address_asks_for_itself(daemon: Daemon) -> None:
    """The certificate was asked for at one listener, and not at another one with the same service."""
    with opened(daemon.address, sni="as2.example.com") as client:
        assert client.request(request()).reason == "client_cert_missing"


def test_what_a_client_says_of_its_identity_is_dropped(daemon: Daemon, backend: Backend) -> None:
    """It reached the backend, which believed it."""
    sent = message("<claims@acme.example>")
    claims = (("Mtlsd-Partner", "globex"), ("mtlsd-partner", "globex"), ("Client-Cert", ":Zm9yZ2Vk:"))
    assert send(daemon, Sent((*claims, *sent.fields), sent.body)).status == 200
    delivered = backend.wait_for("<claims@acme.example>")
    assert (delivered.all("Mtlsd-Partner"), delivered.all("Client-Cert")) == (["acme"], [])


@pytest.mark.parametrize("kind", ["expired", "garbage"])
def test_one_bad_certificate_is_only_itself(tmp_path: Path, kind: str) -> None:
    """One in a bundle kept all partners out."""
    tree = Tree(tmp_path)
    folder = tree.certs / "partners" / "acme" / "tls"
    end = {**LONG, "end": datetime(2021, 1, 1, tzinfo=UTC)}
    old = certificate(authority("Old"), "old.example", **end)
    bad = {"expired": old.pem, "garbage": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}[kind]
    (folder / "bundle.pem").write_bytes(bad + (folder / "client.pem").read_bytes())
    store, *_ = load_partners(tree.certs / "partners")
    for as2_id in ("ACME", "GLOBEX"):
        partner = store.partner_by_as2_id(as2_id, "as2.example.com")
        assert partner
        assert partner.public_certificates
