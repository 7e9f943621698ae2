"""What the backend gets: the document, byte for byte, and the public header fields, ours alone."""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.backend import Backend
from tests.support.client import opened, request
from tests.support.daemon import Daemon, keys
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, receipt, send

BINARY = b"\x00\r\n\n\r--signed-1\r\n\x00\xff--signed-1--" + bytes(range(256))
FORGED = {
    "Mtlsd-Partner": "globex",
    "mtlsd-partner": "globex",
    "MTLSD-AS2-FROM": "GLOBEX",
    "Mtlsd_Partner": "globex",
    "Mtlsd-Anything": "1",
    "Idempotency-Key": "forged",
    "Forwarded": "for=10.0.0.1",
    "X-Forwarded-For": "10.0.0.1",
    "Client-Cert": ":Zm9yZ2Vk:",
    "Client-Cert-Chain": ":Zm9yZ2Vk:",
    "X-SSL-Client-DN": "CN=globex",
    "Connection": "Mtlsd-Partner, keep-alive",
    "Keep-Alive": "timeout=9",
    "Proxy-Authorization": "Basic Zm9yZ2Vk",
    "Authorization": "Bearer forged",
    "TE": "trailers",
}


def key(*parts: str) -> str:
    """base64url of the SHA-256 over the length-prefixed AS2-To, AS2-From and Message-ID."""
    framed = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return base64.urlsafe_b64encode(hashlib.sha256(framed).digest()).rstrip(b"=").decode()


def test_the_public_header_fields_are_exact(daemon: Daemon, backend: Backend) -> None:
    sent = message("<contract@acme.example>", as2_from='"ACME"')
    answer = send(daemon, sent)
    read = receipt(answer, sent)
    delivered = backend.wait_for("<contract@acme.example>")
    assert delivered.line == "POST /inbound?from=mtlsd HTTP/1.1"
    assert delivered.fields == (
        ("Host", f"{backend.address[0]}:{backend.address[1]}"),
        ("Content-Length", str(len(EDI))),
        ("Content-Type", "application/EDIFACT"),
        ("Mtlsd-Partner", "acme"),
        ("Mtlsd-Message-Id", "<contract@acme.example>"),
        ("Mtlsd-As2-From", "ACME"),
        ("Mtlsd-As2-To", "EXAMPLE"),
        ("Mtlsd-Mic", f"{read.mic}, {read.mic_algorithm}"),
        ("Mtlsd-Filename", "order.edi"),
        ("Mtlsd-Signer", keys("ACME").certificate.sha256),
        ("Mtlsd-Received", delivered.get("Mtlsd-Received")),
        ("Mtlsd-Request-Id", answer.get("Mtlsd-Request-Id")),
        ("Forwarded", 'host="as2.example.com";proto=https'),
        ("Idempotency-Key", key("EXAMPLE", "ACME", "<contract@acme.example>")),
        ("Content-Digest", f"sha-256=:{base64.b64encode(hashlib.sha256(EDI).digest()).decode()}:"),
        ("Mtlsd-Attempt", "1"),
    )
    assert delivered.body == EDI
    received = datetime.strptime(delivered.get("Mtlsd-Received") or "", "%Y-%m-%dT%H:%M:%S.%f%z")
    assert timedelta(0) <= datetime.now(UTC) - received < timedelta(minutes=1)


@pytest.mark.parametrize("name", FORGED)
def test_what_a_client_says_of_itself_never_reaches_the_backend(daemon: Daemon, backend: Backend, name: str) -> None:
    message_id = f"<own-{name}@acme.example>"
    sent = message(message_id)
    assert send(daemon, replace(sent, fields=((name, FORGED[name]), *sent.fields))).status == 200
    delivered = backend.wait_for(message_id)
    assert not [value for _, value in delivered.fields if "forged" in value or "globex" in value.lower()]
    assert not [value for _, value in delivered.fields if "10.0.0.1" in value]
    allowed = {"host", "content-length", "content-type", "forwarded", "idempotency-key", "connection", "content-digest"}
    names = [each.lower() for each, _ in delivered.fields]
    assert all(each in allowed or each.startswith("mtlsd-") for each in names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("payload", [BINARY, b"x", EDI * 2000], ids=["binary", "one octet", "larger"])
@pytest.mark.parametrize("layers", ["sE", "csE", "scE"])
def test_the_document_arrives_byte_for_byte(daemon: Daemon, backend: Backend, layers: str, payload: bytes) -> None:
    message_id = f"<bytes-{layers}-{len(payload)}@acme.example>"
    sent = message(message_id, layered(layers, payload, content_type="application/octet-stream"))
    assert disposition(send(daemon, sent), sent) == "processed"
    assert backend.wait_for(message_id).body == payload


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256"])
def test_every_algorithm_arrives(daemon: Daemon, backend: Backend, digest: str, cipher: str) -> None:
    message_id = f"<{digest}-{cipher}@acme.example>"
    sent = message(message_id, layered("sE", digest=digest, cipher=cipher), mdn=f"required,{digest}")
    assert disposition(send(daemon, sent), sent) == "processed"
    assert backend.wait_for(message_id).body == EDI


def test_an_empty_document_arrives(daemon: Daemon, backend: Backend) -> None:
    sent = message("<empty@acme.example>", layered("sE", b""))
    assert disposition(send(daemon, sent), sent) == "processed"
    assert backend.wait_for("<empty@acme.example>").body == b""


def test_a_message_without_an_mdn_is_answered_empty(daemon: Daemon, backend: Backend) -> None:
    answer = send(daemon, message("<no-mdn@acme.example>", mdn=None))
    assert (answer.status, answer.body) == (200, b"")
    assert backend.wait_for("<no-mdn@acme.example>").body == EDI


def test_without_a_certificate_the_signature_proves_the_partner(daemon: Daemon, backend: Backend) -> None:
    for host in ("maybe.example.com", "drop.example.com"):
        message_id = f"<signed-{host}@acme.example>"
        sent = message(message_id)
        with opened(daemon.address, sni=host) as client:
            answer = client.request(request(fields=sent.fields, body=sent.body, host=host))
        assert disposition(answer, sent) == "processed"
        assert backend.wait_for(message_id).get("Mtlsd-Partner") == "acme"
    found = kept(daemon.tree, "<signed-drop.example.com@acme.example>")
    assert found
    assert found.message.signer_sha256
