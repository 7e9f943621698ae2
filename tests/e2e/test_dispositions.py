"""K-01 to K-14 and K-20: what an MDN says of a message that is refused, and that nothing of it goes any further."""

import base64
import json
import zlib
from html import escape

import pytest

from mtlsd.handlers.well_known.selftest import PATH
from tests.support import messages
from tests.support.backend import Backend
from tests.support.client import opened, request
from tests.support.daemon import Daemon, acme, keys, resident
from tests.support.messages import EDI, Sent
from tests.support.partner import disposition, kept, layered, message, receipt, send, with_fields

LONG_ID = f"<{'x' * 1000}@acme.example>"


def check(daemon: Daemon, sent: Sent, expected: str, reason: str, *, signed: bool = True) -> None:
    """Send it; the MDN says this, and nothing was accepted."""
    answer = send(daemon, sent)
    assert answer.reason == reason
    assert disposition(answer, sent, signed=signed) == expected
    assert kept(daemon.tree, dict(sent.fields)["Message-ID"]) is None


def changed(entity: bytes) -> bytes:
    assert entity.count(b"ORDERS:D:96A") == 1
    return entity.replace(b"ORDERS:D:96A", b"ORDERS:D:97A")


def test_k01_content_changed_after_signing(daemon: Daemon) -> None:
    for layers, at in {"s": "<k01-clear@acme.example>", "sE": "<k01@acme.example>"}.items():
        entity = changed(layered("s"))
        sent = message(at, messages.encrypt(entity, keys("EXAMPLE")) if "E" in layers else entity)
        check(daemon, sent, "processed/error: integrity-check-failed", "as2_signature_bad")


def test_k02_signed_by_a_stranger(daemon: Daemon) -> None:
    sent = message("<k02@acme.example>", layered(sender=keys("STRANGER")))
    check(daemon, sent, "processed/error: authentication-failed", "as2_signer_unknown")


def test_k02_signed_by_another_partner(daemon: Daemon) -> None:
    sent = message("<k02-globex@acme.example>", layered(sender=keys("GLOBEX")))
    check(daemon, sent, "processed/error: authentication-failed", "as2_signer_unknown")


def test_k03_signed_with_a_certificate_that_has_expired(daemon: Daemon) -> None:
    expired = messages.key_pair("ACME of old", days=-380)
    certificate = daemon.tree.certs / "partners" / "acme" / "as2" / "old.cer"
    certificate.write_bytes(expired.certificate.der)
    daemon.reload()
    sent = message("<k03@acme.example>", layered(sender=expired))
    check(daemon, sent, "processed/error: authentication-failed", "as2_signer_unknown")


def test_k04_encrypted_to_another(daemon: Daemon) -> None:
    sent = message("<k04@acme.example>", layered(recipient=keys("ANOTHER")))
    check(daemon, sent, "processed/error: decryption-failed", "as2_decrypt_failed")
    theirs, ours = (keys(name).certificate.serial for name in ("ANOTHER", "EXAMPLE"))
    said = f"Encrypted to serial number {theirs:x}; we hold the serial numbers {ours:x}."
    assert said in receipt(send(daemon, sent), sent).text.replace("\r\n", "\n")


def damaged() -> bytes:
    header, blank, body = layered("E").partition(b"\r\n\r\n")
    return header + blank + flipped(body, -1)


def flipped(body: bytes, at: int) -> bytes:
    at %= len(body)
    return body[:at] + bytes([body[at] ^ 0x5A]) + body[at + 1 :]


TOLD = {
    "another recipient": (layered(recipient=keys("ANOTHER")), "we hold the serial numbers"),
    "not allowed": (layered(cipher="des3"), "encrypted with 3des, which is not allowed"),
    "not signed": (layered("c"), "the message is not signed"),
    "no media type": (
        b'Content-Type: "edi"\r\n\r\n' + EDI,
        "the Content-Type is not a media type",
    ),
    "damaged": (damaged(), "sign the message"),
}


@pytest.mark.parametrize("name", TOLD)
def test_the_cause_is_told_alike_in_an_mdn_over_http_and_to_a_self_test(daemon: Daemon, name: str) -> None:
    entity, words = TOLD[name]
    sent, without = (message("<told@acme.example>", entity, mdn=mdn) for mdn in ("required,sha-256", None))
    with opened(daemon.address, acme()) as client:
        fields = (*without.fields, ("Accept", "application/problem+json"))
        detail = json.loads(client.request(request(fields=fields, body=without.body)).body)["detail"]
    with opened(daemon.address, acme()) as client:
        page = client.request(request(fields=without.fields, body=without.body)).body.decode()
    with opened(daemon.address, acme()) as client:
        fields = (*without.fields, ("Accept", "application/json"))
        test = json.loads(client.request(request("POST", PATH, fields, without.body)).body)["advice"]
    assert words.lower() in detail.lower()
    assert detail == test
    assert escape(detail) in page
    assert detail in receipt(send(daemon, sent), sent).text


@pytest.mark.parametrize("at", [-1, -17, -33])
def test_k05_garbled_ciphertext(daemon: Daemon, at: int) -> None:
    whole = message(f"<k05{at}@acme.example>", layered("E"))  # no signature that could speak for the content
    sent = Sent(whole.fields, flipped(whole.body, at))
    answer = send(daemon, sent)
    assert disposition(answer, sent) != "processed"
    assert kept(daemon.tree, f"<k05{at}@acme.example>") is None


@pytest.mark.parametrize("keep", [0, 1, 100, -300, -40, -1])
def test_k05_truncated(daemon: Daemon, keep: int) -> None:
    whole = message(f"<k05-{keep}@acme.example>")
    sent = Sent(whole.fields, whole.body[:keep])
    answer = send(daemon, sent)
    refused = {"processed/error: decryption-failed", "processed/error: unexpected-processing-error"}
    assert disposition(answer, sent) in refused
    assert kept(daemon.tree, f"<k05-{keep}@acme.example>") is None


def test_k05_the_words_do_not_tell_a_wrong_key_from_wrong_padding(daemon: Daemon) -> None:
    whole = message("<k05-o@acme.example>")
    wrong_key = Sent(whole.fields, flipped(whole.body, whole.body.index(b"\x04\x82\x01\x00") + 100))
    wrong_padding = Sent(whole.fields, flipped(whole.body, -1))
    texts = set()
    for sent in (wrong_key, wrong_padding):
        answer = send(daemon, sent)
        texts.add(receipt(answer, sent).text.replace(answer.get("Mtlsd-Request-Id") or "", ""))
    assert len(texts) == 1


@pytest.mark.parametrize("how", ["damaged", "bomb"])
def test_k06_compression_that_is_damaged_or_a_bomb(daemon: Daemon, how: str) -> None:
    deflated = zlib.compress(messages.entity())
    damaged = deflated[:9] + bytes([deflated[9] ^ 0xFF]) + deflated[10:]
    bomb = zlib.compress(messages.entity(bytes(20 << 20), "application/octet-stream"))
    compressed = messages.smime("compressed-data", messages.compressed_data({"damaged": damaged, "bomb": bomb}[how]))
    entity = messages.encrypt(messages.sign(compressed, keys("ACME")), keys("EXAMPLE"))
    sent = message(f"<k06-{how}@acme.example>", entity)
    check(daemon, sent, "processed/error: decompression-failed", "as2_decompress_failed")


def test_k07_compressed_twice(daemon: Daemon) -> None:
    sent = message("<k07@acme.example>", messages.encrypt(layered("csc"), keys("EXAMPLE")))
    check(daemon, sent, "processed/error: decompression-failed", "as2_decompress_failed")


@pytest.mark.parametrize("layers", ["E", "cE"])
def test_k08_encrypted_and_not_signed_looks_like_what_does_not_decrypt(daemon: Daemon, layers: str) -> None:
    sent = message(f"<k08-{layers}@acme.example>", layered(layers))
    check(daemon, sent, "processed/error: decryption-failed", "as2_decrypt_failed")


@pytest.mark.parametrize("layers", ["", "c", "s", "cs"])
def test_k08_less_than_agreed(daemon: Daemon, layers: str) -> None:
    sent = message(f"<k08-{layers}@acme.example>", layered(layers))
    check(daemon, sent, "processed/error: insufficient-message-security", "as2_security_too_low")


def test_k09_an_as2_to_that_is_not_ours(daemon: Daemon) -> None:
    sent = message("<k09-to@acme.example>", as2_to="NOBODY")
    check(daemon, sent, "processed/error: unknown-trading-relationship", "as2_to_unknown", signed=False)


@pytest.mark.parametrize("host", ["maybe.example.com", "drop.example.com"])
def test_k09_an_as2_from_that_is_nobody_s_where_tls_proves_nobody(daemon: Daemon, host: str) -> None:
    sent = message(f"<k09-from-{host}@acme.example>", as2_from="NOBODY")
    with opened(daemon.address, sni=host) as client:
        answer = client.request(request(fields=sent.fields, body=sent.body, host=host))
    assert disposition(answer, sent, signed=False) == "processed/error: unknown-trading-relationship"
    assert kept(daemon.tree, f"<k09-from-{host}@acme.example>") is None


@pytest.mark.parametrize("as2_from", ["GLOBEX", "NOBODY", "acme"])
def test_k10_an_as2_from_that_is_not_the_certificate_s(daemon: Daemon, as2_from: str) -> None:
    sent = message("<k10@acme.example>", as2_from=as2_from)
    answer = send(daemon, sent, acme())
    assert (answer.status, answer.reason) == (403, "as2_from_mismatch_cert")
    assert b"GLOBEX" not in answer.body
    assert kept(daemon.tree, "<k10@acme.example>") is None


def test_k11_from_and_to_are_the_same(daemon: Daemon) -> None:
    sent = message("<k11@acme.example>", as2_to="ACME")
    check(daemon, sent, "failed/failure: sender-equals-receiver", "as2_sender_equals_receiver")


def test_k12_a_mic_algorithm_that_we_lack(daemon: Daemon) -> None:
    sent = message("<k12@acme.example>", mdn="required,md4")
    check(daemon, sent, "failed/failure: unsupported MIC-algorithms", "as2_mic_alg_unsupported")


def test_k13_a_receipt_format_that_we_lack(daemon: Daemon) -> None:
    options = "signed-receipt-protocol=required,pgp; signed-receipt-micalg=optional,sha-256"
    sent = with_fields(message("<k13@acme.example>"), Disposition_Notification_Options=options)
    check(daemon, sent, "failed/failure: unsupported format", "as2_receipt_format_unsupported", signed=False)


def test_k14_a_message_id_that_is_too_long(daemon: Daemon) -> None:
    check(daemon, message(LONG_ID), "processed/error: invalid-message-id", "as2_message_id_invalid")


@pytest.mark.parametrize("control", ["\x01", "\x7f", "\x1b"])
def test_k14_a_control_character_in_the_message_id_is_no_http(daemon: Daemon, control: str) -> None:
    answer = send(daemon, message(f"<k14{control}@acme.example>"))
    assert (answer.status, answer.reason) == (400, "bad_request")


def test_k14_no_message_id(daemon: Daemon) -> None:
    answer = send(daemon, with_fields(message("<k14@acme.example>"), Message_ID=None))
    assert (answer.status, answer.reason) == (400, "as2_header_missing")


def nested(depth: int) -> bytes:
    """multipart/mixed in itself."""
    inner = messages.entity()
    for level in range(depth):
        body = b"--n%d\r\n%b\r\n--n%d--\r\n" % (level, inner, level)
        inner = messages.entity(body, f"multipart/mixed; boundary=n{level}")
    return inner


MALFORMED = {
    "no boundary": messages.entity(b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/signed; micalg=sha-256"),
    "an empty boundary": messages.entity(b"--\r\n\r\nx\r\n----\r\n", 'multipart/signed; boundary=""'),
    "a boundary of blanks": messages.entity(b"--\r\n\r\nx\r\n----\r\n", 'multipart/signed; boundary="  "'),
    "signed 50 times": layered("s" * 50),
    "10k fields in a part": messages.sign(b"X:y\r\n" * 10_000 + messages.entity(), keys("ACME")),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_k20_mime_that_is_malformed(daemon: Daemon, kind: str) -> None:
    sent = message(f"<k20-{kind.replace(' ', '-')}@acme.example>", MALFORMED[kind])
    check(daemon, sent, "processed/error: unexpected-processing-error", "as2_mime_malformed")


def test_k20_a_document_that_nests_50_deep_is_delivered_unread(daemon: Daemon, backend: Backend) -> None:
    document = nested(50)
    signed = messages.sign(document, keys("ACME"))
    sent = message("<k20-nested@acme.example>", messages.encrypt(signed, keys("EXAMPLE")))
    assert disposition(send(daemon, sent), sent) == "processed"
    assert backend.wait_for("<k20-nested@acme.example>").body == messages.split(document)[1]


def test_k20_line_feeds_alone(daemon: Daemon, backend: Backend) -> None:
    """In the MIME inside they are put right for hashing; in the HTTP header they end a line."""
    inner = messages.entity(Content_Transfer_Encoding="7bit")
    unix = messages.sign(inner, keys("ACME")).replace(b"\r\n", b"\n")
    sent = message("<k20-lf@acme.example>", messages.encrypt(unix, keys("EXAMPLE")))
    assert disposition(send(daemon, sent), sent) == "processed"
    head, blank, body = request(fields=sent.fields, body=sent.body).partition(b"\r\n\r\n")
    with opened(daemon.address, acme()) as client:
        assert client.request((head + blank).replace(b"\r\n", b"\n") + body).status == 200


def test_k20_10k_header_fields(daemon: Daemon) -> None:
    sent = message("<k20-fields@acme.example>")
    fields = [*sent.fields, *((f"X-{number}", "x") for number in range(10_000))]
    answer = send(daemon, Sent(tuple(fields), sent.body))
    assert (answer.status, answer.reason) == (431, "headers_too_large")


def test_k20_costs_no_memory(daemon: Daemon) -> None:
    before = resident(daemon)
    for _ in range(3):
        for kind, entity in MALFORMED.items():
            send(daemon, message(f"<k20-again-{kind[:9]}@acme.example>", entity))
    assert resident(daemon) - before < 16 << 20


@pytest.mark.parametrize("mdn", ["", None])
def test_a_refusal_comes_in_the_form_that_was_asked_for(daemon: Daemon, mdn: str | None) -> None:
    sent = message("<form@acme.example>", layered(recipient=keys("ANOTHER")), mdn=mdn)
    answer = send(daemon, sent)
    if mdn is None:
        assert (answer.status, answer.reason) == (400, "as2_decrypt_failed")
    else:
        assert disposition(answer, sent, signed=False) == "processed/error: decryption-failed"


@pytest.mark.parametrize("layers", ["sE", "csE", "scE"])
@pytest.mark.parametrize("micalg", ["sha-256", "sha256", "SHA1", "sha-512,sha-256", "md5,sha384"])
def test_a_good_message_is_processed_and_its_mic_is_labelled_as_asked(daemon: Daemon, layers: str, micalg: str) -> None:
    sent = message(f"<good-{layers}-{micalg}@acme.example>", layered(layers), mdn=f"required,{micalg}")
    answer = send(daemon, sent)
    read = receipt(answer, sent)
    assert disposition(answer, sent) == "processed"
    assert read.mic
    assert read.mic_algorithm in micalg.lower().split(",")
    assert len(base64.b64decode(read.mic)) in (20, 32, 48, 64)


@pytest.mark.parametrize("spelling", ['"ACME"', "ACME"])
def test_the_mdn_mirrors_the_quotes_of_the_names(daemon: Daemon, spelling: str) -> None:
    sent = message(f"<quotes-{len(spelling)}@acme.example>", as2_from=spelling, as2_to='"EXAMPLE"')
    assert disposition(send(daemon, sent), sent) == "processed"


@pytest.mark.parametrize(
    "message_id",
    ["no-brackets", "<with space (1)@acme.example>", "<" + "y" * 700 + ">", "<../../etc/passwd>", "<ä@acme.example>"],
)
def test_a_message_id_is_echoed_exactly(daemon: Daemon, message_id: str) -> None:
    sent = message(message_id)
    assert disposition(send(daemon, sent), sent) == "processed"


def test_an_asynchronous_mdn_to_a_target_that_is_not_listed(daemon: Daemon) -> None:
    for target in ("http://127.0.0.1:9/", "http://169.254.169.254/latest", "https://evil.example/mdn"):
        sent = with_fields(message("<async@acme.example>"), Receipt_Delivery_Option=target)
        answer = send(daemon, sent)
        assert (answer.status, answer.reason) == (403, "mdn_target_denied")
        assert target.encode() not in answer.body
    assert kept(daemon.tree, "<async@acme.example>") is None


@pytest.mark.parametrize("layers", ["", "s", "sE"])
def test_an_mdn_is_no_document(daemon: Daemon, layers: str) -> None:
    report = b'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\r\n\r\n--b--\r\n'
    entity = report
    for layer in layers:
        entity = messages.sign(entity, keys("ACME")) if layer == "s" else messages.encrypt(entity, keys("EXAMPLE"))
    answer = send(daemon, message(f"<mdn-{layers}@acme.example>", entity, mdn=None))
    expected = "as2_security_too_low" if layers == "s" else "as2_mdn_unexpected"
    assert (answer.status // 100, answer.reason) == (4, expected)
    assert kept(daemon.tree, f"<mdn-{layers}@acme.example>") is None


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("identity", 200), ("Identity", 200), ("br, gzip", 415)])
def test_a_content_coding_is_refused_before_the_body(daemon: Daemon, coding: str, status: int) -> None:
    answer = send(daemon, with_fields(message(f"<{coding}@acme.example>"), Content_Encoding=coding))
    assert (answer.status, answer.reason) == (status, None if status == 200 else "content_coding_unsupported")
