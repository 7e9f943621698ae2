"""The public contract with the backend, field by field."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.journal.model import Delivery, DeliveryKind, Message, StoredMDN
from mtlsd.relay.request import Credentials, OutgoingRequest, build_request, idempotency_key

MESSAGE = Message(
    id="0001",
    as2_from="ACME",
    as2_to="EXAMPLE",
    message_id="<1@acme.example>",
    partner="acme",
    host="as2.example.com",
    route="/as2",
    received_at=1000.0,
    content_type="application/edi-x12; charset=us-ascii",
    size=4,
    payload="messages/00/0001.payload",
    original="messages/00/0001.original",
    original_size=12_000,
    headers=(),
    request_id="r1",
    filename="order.edi",
    mic="dGVzdA==",
    mic_algorithm="sha-256",
    signer_sha256="5f" * 32,
    digests=(("as2", "a2" * 32), ("payload", "00ff" * 16)),
)
DELIVERY = Delivery(
    id="d1", message_id="0001", targets=("http://127.0.0.1:9000/inbound",), not_before=0.0, created_at=0.0
)
MDN = StoredMDN(headers=(("AS2-From", '"M\xc3\x84X \\"1"'), ("Content-Type", "multipart/report")), body=b"\x00\r\n\xff")
NAMES = [
    "Content-Length",
    "Content-Type",
    "Mtlsd-Partner",
    "Mtlsd-Message-Id",
    "Mtlsd-As2-From",
    "Mtlsd-As2-To",
    "Mtlsd-Mic",
    "Mtlsd-Filename",
    "Mtlsd-Signer",
    "Mtlsd-Received",
    "Mtlsd-Request-Id",
    "Forwarded",
    "Idempotency-Key",
    "Content-Digest",
    "Mtlsd-Attempt",
]
TEXT = st.text() | st.text(alphabet=' \t\r\n\0\x7f\x85\xa0:;,%"\\äa')


def built(**changes: Any) -> dict[str, str]:
    return dict(build_request(replace(MESSAGE, **changes), DELIVERY).headers)


def as_received(request: OutgoingRequest) -> dict[str, str]:
    """Return the fields as a server reads them off the wire."""
    lines = [f"{name}: {value}" for name, value in request.headers]
    wire = "\r\n".join(["POST /inbound HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode("latin-1")
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
    server.receive_data(wire + b"body")
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert isinstance(server.next_event(), h11.Data)
    return {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}


def test_the_contract() -> None:
    request = build_request(MESSAGE, DELIVERY)
    assert (request.method, request.body, request.credentials) == ("POST", "messages/00/0001.payload", None)
    assert request.headers == (
        ("Content-Length", "4"),
        ("Content-Type", "application/edi-x12; charset=us-ascii"),
        ("Mtlsd-Partner", "acme"),
        ("Mtlsd-Message-Id", "<1@acme.example>"),
        ("Mtlsd-As2-From", "ACME"),
        ("Mtlsd-As2-To", "EXAMPLE"),
        ("Mtlsd-Mic", "dGVzdA==, sha-256"),
        ("Mtlsd-Filename", "order.edi"),
        ("Mtlsd-Signer", "5f" * 32),
        ("Mtlsd-Received", "1970-01-01T00:16:40.000Z"),
        ("Mtlsd-Request-Id", "r1"),
        ("Forwarded", 'host="as2.example.com";proto=https'),
        ("Idempotency-Key", "01m5Y2fU-6JaFJ78z8IJbBN14JDBXvXxcyZ8y5OneYc"),
        ("Content-Digest", "sha-256=:AP8A/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8=:"),
        ("Mtlsd-Attempt", "1"),
    )


def test_each_attempt_has_its_number() -> None:
    for attempts, number in ((0, "1"), (1, "1"), (7, "7")):
        assert dict(build_request(MESSAGE, replace(DELIVERY, attempts=attempts)).headers)["Mtlsd-Attempt"] == number


def test_the_digest_is_of_what_is_sent() -> None:
    fields = dict(build_request(MESSAGE, replace(DELIVERY, kind=DeliveryKind.MESSAGE)).headers)
    assert fields["Content-Digest"] == "sha-256=:oqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqI=:"


def test_an_mdn_goes_out_as_it_is_stored_and_says_nothing_else() -> None:
    target = "https://acme.example/mdn?a=1"
    request = build_request(replace(MESSAGE, mdn=MDN), replace(DELIVERY, kind=DeliveryKind.MDN, targets=(target,)))
    assert (request.method, request.body) == ("POST", MDN.body)
    assert request.headers == (("Content-Length", "4"), *MDN.headers)
    assert request.credentials == Credentials(host="as2.example.com", partner="acme")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mic": None}, "Mtlsd-Mic"),
        ({"mic_algorithm": None}, "Mtlsd-Mic"),
        ({"filename": None}, "Mtlsd-Filename"),
        ({"content_type": ""}, "Content-Type"),
        ({"signer_sha256": None}, "Mtlsd-Signer"),
        ({"digests": ()}, "Content-Digest"),
    ],
)
def test_what_the_message_lacks_has_no_field(changes: dict[str, Any], name: str) -> None:
    assert built(**changes).keys() == set(NAMES) - {name}


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        ("<1@acme.example>", "<1@acme.example>"),
        ("no brackets, 100% legal", "no brackets, 100% legal"),
        ("Müller", "Müller"),
        ("a\r\nMtlsd-Partner: other", "a%0D%0AMtlsd-Partner: other"),
        ("nul\0", "nul%00"),
        ("\x85next line", "%C2%85next line"),
        ("€", "%E2%82%AC"),
        (" padded\t", "%20padded%09"),
        ("inner\ttab", "inner\ttab"),
        ("   ", "%20%20%20"),
        ("", ""),
    ],
)
def test_a_value_stands_as_received_or_is_percent_encoded(received: str, sent: str) -> None:
    assert built(message_id=received)["Mtlsd-Message-Id"] == sent


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        ("order.edi", "order.edi"),
        ("order 7 (copy).edi", "order 7 (copy).edi"),
        ("Bestellung Ä.edi", "UTF-8''Bestellung%20%C3%84.edi"),
        ("it's.edi", "UTF-8''it%27s.edi"),
        ("UTF-8''x", "UTF-8''UTF-8%27%27x"),
        ("100%.edi", "UTF-8''100%25.edi"),
        ('a"b.edi', "UTF-8''a%22b.edi"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\order.edi", "order.edi"),
        ("a\r\nb.edi", "a__b.edi"),
        ("  order.edi ", "order.edi"),
        ("\ud800.edi", "UTF-8''%3F.edi"),
    ],
)
def test_a_filename_is_plain_or_rfc_8187(received: str, sent: str) -> None:
    assert built(filename=received)["Mtlsd-Filename"] == sent


@pytest.mark.parametrize("received", ["", " ", ".", "..", "dir/", "dir/..", "\\"])
def test_a_filename_that_names_no_file_is_left_out(received: str) -> None:
    assert "Mtlsd-Filename" not in built(filename=received)


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("as2.example.com:8443", 'host="as2.example.com:8443";proto=https'),
        ('a";for="b', 'host="a\\";for=\\"b";proto=https'),
    ],
)
def test_the_host_in_forwarded_is_a_quoted_string(host: str, sent: str) -> None:
    assert built(host=host)["Forwarded"] == sent


@given(value=TEXT, name=st.text())
def test_no_value_of_a_partner_makes_or_ends_a_field(value: str, name: str) -> None:
    hostile = replace(
        MESSAGE,
        as2_from=value,
        as2_to=value,
        message_id=value,
        partner=value,
        host=value,
        content_type=value,
        request_id=value,
        mic=value,
        mic_algorithm=value,
        filename=name,
    )
    request = build_request(hostile, DELIVERY)
    received = as_received(replace(request, headers=(*request.headers[1:], ("Content-Length", "4"))))
    assert received.keys() - {"host"} <= {each.lower() for each in NAMES}
    for sent_name, sent in request.headers[1:]:
        assert received[sent_name.lower()] == sent  # and no space is lost at either end


@given(name=st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\")))
def test_a_filename_can_be_read_back(name: str) -> None:
    sent = built(filename=name).get("Mtlsd-Filename", "")
    read = unquote(sent.removeprefix("UTF-8''")) if sent.startswith("UTF-8''") else sent
    assert read == name.strip() or name.strip() in {".", ".."}


def test_the_idempotency_key_is_the_digest_that_the_contract_says() -> None:
    parts = [b"EXAMPLE", b"ACME", b"<1@acme.example>"]
    prefixed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    key = idempotency_key(MESSAGE)
    assert key == urlsafe_b64encode(sha256(prefixed).digest()).decode().rstrip("=")


def test_the_idempotency_key_does_not_depend_on_our_own_ids() -> None:
    again = replace(MESSAGE, id="0002", request_id="r2", received_at=2000.0, payload="elsewhere")
    assert idempotency_key(again) == idempotency_key(MESSAGE)


KEY = st.tuples(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3))


@given(one=KEY, other=KEY)
def test_two_keys_differ_wherever_they_are_split(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    def key(parts: tuple[str, ...]) -> str:
        as2_from, as2_to, message_id = parts
        return idempotency_key(replace(MESSAGE, as2_from=as2_from, as2_to=as2_to, message_id=message_id))

    assert (key(one) == key(other)) == (one == other)


def test_a_field_of_blanks_is_read_once() -> None:
    """By the square of its length, this would not end within the day."""
    blanks = " " * 1_000_000
    assert (
        blanks
        in dict(build_request(replace(MESSAGE, content_type=f"a/b;{blanks}c=d"), DELIVERY).headers)["Content-Type"]
    )


@pytest.mark.parametrize("value", [" a", "a ", "\ta b\t ", "   ", "", "a\r\nb", "ä", "a" + " " * 100])
def test_a_value_keeps_what_is_inside_it(value: str) -> None:
    fields = dict(build_request(replace(MESSAGE, content_type=value or "x"), DELIVERY).headers)
    assert unquote(fields["Content-Type"], "latin-1" if "ä" in value else "utf-8") == (value or "x")
    assert fields["Content-Type"] == fields["Content-Type"].strip()
