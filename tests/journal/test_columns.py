"""What the columns hold is a stored format: these texts are in journals, and in digests, that are there already."""

from dataclasses import replace

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.journal import columns
from mtlsd.journal.model import HeaderPairs, Lane
from mtlsd.journal.proof.digests import delivery_text, record_of
from mtlsd.journal.sql import rows
from tests.support.examples import FULL

TARGETS = [
    ("http://127.0.0.1:9000/inbound", ("http://127.0.0.1:9000/inbound",)),
    ("http://a/ dir:/var/spool/edi https://b/?c=d", ("http://a/", "dir:/var/spool/edi", "https://b/?c=d")),
]
LANES = [
    ("http://a/ http://b/", Lane("http://a/ http://b/")),
    ("mdn acme", Lane("mdn acme")),
    ("ordered acme as2.example.com/as2", Lane("acme as2.example.com/as2", ordered=True)),
    ("", Lane("")),
]


@pytest.mark.parametrize(("text", "targets"), TARGETS)
def test_the_targets_of_a_delivery_have_blanks_between(text: str, targets: tuple[str, ...]) -> None:
    assert (columns.targets(text), columns.targets_text(targets)) == (targets, text)


@pytest.mark.parametrize(("text", "lane"), LANES)
def test_the_name_of_an_ordered_lane_says_so(text: str, lane: Lane) -> None:
    assert (columns.lane(text), columns.lane_text(lane)) == (lane, text)


RECEIVED = (("subject", "s"), ("content-type", "text/plain"))
HEADERS: list[tuple[HeaderPairs, tuple[bytes, ...]]] = [
    ((), ()),
    (((":client-cert", ":bGVhZg==:"),), (b"leaf",)),
    (((":client-cert", ":bGVhZg==:"), (":client-cert-chain", ":aXNzdWVy:")), (b"leaf", b"issuer")),
    (
        ((":client-cert", ":bGVhZg==:"), (":client-cert-chain", ":aXNzdWVy:, :cm9vdA==:")),
        (b"leaf", b"issuer", b"root"),
    ),
]


@pytest.mark.parametrize(("kept", "certificates"), HEADERS)
def test_the_certificates_of_a_client_follow_the_header(kept: HeaderPairs, certificates: tuple[bytes, ...]) -> None:
    message = replace(FULL, headers=RECEIVED, client_certificates=certificates)
    assert columns.header_fields(message) == (*RECEIVED, *kept)
    assert columns.header((*RECEIVED, *kept)) == (RECEIVED, certificates)


@given(st.lists(st.binary(), max_size=4).map(tuple))
def test_any_certificates_are_read_as_they_were_written(certificates: tuple[bytes, ...]) -> None:
    message = replace(FULL, client_certificates=certificates)
    assert columns.header(columns.header_fields(message)) == (FULL.headers, certificates)


ALTERED = [
    ((":client-cert", "bGVhZg=="),),
    ((":client-cert", ":bGVhZh==:"),),  # the same octets, and other bits behind them
    ((":client-cert", ":bGVhZg==: "),),
    ((":client-cert", ":\N{SNOWMAN}:"),),
    ((":client-cert", ":b:"),),
    ((":client-cert-chain", ":aXNzdWVy:"),),
    ((":client-cert-chain", ":aXNzdWVy:"), (":client-cert", ":bGVhZg==:")),
    ((":client-cert", ":bGVhZg==:"), (":client-cert", ":aXNzdWVy:")),
    ((":client-cert", ":bGVhZg==:"), ("subject", "s")),
]


@pytest.mark.parametrize("fields", ALTERED)
def test_what_was_altered_is_kept_so_that_its_digest_is_another(fields: HeaderPairs) -> None:
    assert columns.header(fields) == (fields, ())


@pytest.mark.parametrize("name", [":client-cert", ":client-cert-chain"])
def test_no_client_can_send_the_names_that_certificates_are_kept_under(name: str) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(f"POST / HTTP/1.1\r\nHost: a\r\n{name}: :Zm9yZ2Vk:\r\n\r\n".encode())
    with pytest.raises(h11.RemoteProtocolError):
        server.next_event()


# --- Rows of an earlier version -----------------------------------------------------------------------------------

MESSAGE = {
    "id": "0001",
    "as2_from": "ACME",
    "as2_to": "EXAMPLE",
    "message_id": "<1@acme.example>",
    "partner": "acme",
    "host": "as2.example.com",
    "route": "/as2",
    "received_at": 1000.5,
    "content_type": "application/edi-x12",
    "size": 10_000,
    "payload": None,
    "original": "messages/00/0001.original",
    "original_size": 12_000,
    "request_id": "r1",
    "compressed": 0,
    "subject": None,
    "filename": None,
    "mic": None,
    "mic_algorithm": None,
    "signer_sha256": None,
    "encrypted_with": None,
    "signed": None,
    "signature": None,
    "form": None,
    "configuration": "cd",
    "salt": "5a",
    "contents": 34_000,
    "headers": '[["subject", "s"], [":client-cert", ":bGVhZg==:"], [":client-cert-chain", ":aXNzdWVy:, :cm9vdA==:"]]',
    "notes": "[]",
    "digests": "[]",
    "mdn_headers": None,
    "mdn_body": None,
}
RECORD = (
    b'{"as2_from":"ACME","as2_to":"EXAMPLE","compressed":false,"configuration":"cd","content_type":'
    b'"application/edi-x12","digests":[],"encrypted_with":null,"filename":null,"form":null,"headers":[["subject","s"],'
    b'[":client-cert",":bGVhZg==:"],[":client-cert-chain",":aXNzdWVy:, :cm9vdA==:"]],"host":"as2.example.com",'
    b'"id":"0001","message_id":"<1@acme.example>","mic":null,"mic_algorithm":null,"notes":[],'
    b'"original":"messages/00/0001.original","original_size":12000,"partner":"acme","payload":null,'
    b'"received_at":1000.5,"request_id":"r1","route":"/as2","salt":"5a","signature":null,"signed":null,'
    b'"signer_sha256":null,"size":10000,"subject":null}'
)
DELIVERY = {
    "id": "d0001",
    "message_id": "0001",
    "refusal_id": None,
    "kind": "backend",
    "target": "http://a/ dir:/in",
    "lane": "ordered acme as2.example.com/as2",
    "pinned": None,
    "state": "pending",
    "not_before": 5.0,
    "attempts": 0,
    "created_at": 1000.5,
    "lease_owner": None,
    "lease_until": None,
    "finished_at": None,
    "last_reason": None,
}


def test_a_message_of_an_earlier_version_is_read_written_and_digested_as_it_was() -> None:
    read = rows.message(MESSAGE)
    assert (read.headers, read.client_certificates) == ((("subject", "s"),), (b"leaf", b"issuer", b"root"))
    assert rows.message_values(read) == tuple(MESSAGE.values())
    assert record_of(read) == RECORD


def test_a_message_whose_certificate_was_altered_has_another_digest() -> None:
    altered = rows.message(MESSAGE | {"headers": str(MESSAGE["headers"]).replace("bGVhZg", "bGVhZh")})
    assert altered.client_certificates == ()
    assert record_of(altered) == RECORD.replace(b"bGVhZg", b"bGVhZh")


def test_a_delivery_of_an_earlier_version_is_read_written_and_digested_as_it_was() -> None:
    read = rows.delivery(DELIVERY)
    assert read.targets == ("http://a/", "dir:/in")
    assert read.lane == Lane("acme as2.example.com/as2", ordered=True)
    assert rows.delivery_values(read) == tuple(DELIVERY.values())
    assert delivery_text(read) == b'{"created_at":1000.5,"id":"d0001","kind":"backend","target":"http://a/ dir:/in"}'
