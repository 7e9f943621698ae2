"""What real products send over HTTP that no specification asks for, and that must be understood all the same."""

import json

import pytest

from tests.as2 import messages
from tests.as2.messages import Sent
from tests.daemon import Daemon, Tree, acme, authority, certificate, keys, running
from tests.e2e.partner import disposition, layered, message, receipt, send, with_fields
from tests.net.backend import Backend
from tests.net.client import Answer, chunked, opened, request


def raw(daemon: Daemon, data: bytes) -> Answer:
    with opened(daemon.address, acme()) as client:
        return client.request(data)


def test_names_of_fields_in_any_case(daemon: Daemon) -> None:
    sent = message("<case@acme.example>")
    for change in (str.lower, str.upper):
        odd = Sent(tuple((change(name), value) for name, value in sent.fields), sent.body)
        assert disposition(send(daemon, odd), sent) == "processed"


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t"])
def test_folded_fields(daemon: Daemon, fold: str) -> None:
    sent = message("<folded@acme.example>")
    folded = Sent(tuple((name, value.replace("; ", f";{fold}")) for name, value in sent.fields), sent.body)
    assert folded != sent
    assert disposition(send(daemon, folded), sent) == "processed"


@pytest.mark.parametrize("after_size", [b"", b" ", b"  ", b";ext=1", b";"])
def test_chunks_with_something_behind_their_size(daemon: Daemon, after_size: bytes) -> None:
    sent = message("<chunked@acme.example>")
    head = request(fields=[*sent.fields, ("Transfer-Encoding", "chunked")], length=False)
    answer = raw(daemon, head + chunked(sent.body, after_size=after_size))
    assert disposition(answer, sent) == "processed"


def test_a_chunked_message_with_trailers(daemon: Daemon, backend: Backend) -> None:
    sent = message("<trailers@acme.example>")
    head = request(fields=[*sent.fields, ("Transfer-Encoding", "chunked")], length=False)
    body = chunked(sent.body)[:-2] + b"Mtlsd-Partner: globex\r\nAS2-From: GLOBEX\r\n\r\n"
    assert disposition(raw(daemon, head + body), sent) == "processed"
    assert backend.wait_for("<trailers@acme.example>").all("Mtlsd-Partner") == ["acme"]


def test_a_length_with_leading_zeros(daemon: Daemon) -> None:
    sent = message("<zeros@acme.example>")
    fields = [*sent.fields, ("Content-Length", f"{len(sent.body):012}")]
    assert disposition(raw(daemon, request(fields=fields, length=False) + sent.body), sent) == "processed"


def test_a_length_twice_the_same(daemon: Daemon) -> None:
    sent = message("<twice@acme.example>")
    fields = [*sent.fields, ("Content-Length", str(len(sent.body)))]
    assert disposition(raw(daemon, request(fields=fields, body=sent.body)), sent) == "processed"


def test_http_1_0_with_and_without_host(daemon: Daemon) -> None:
    for host in ("as2.example.com", None):
        sent = message(f"<1.0-{host}@acme.example>")
        answer = raw(daemon, request(fields=sent.fields, body=sent.body, host=host, version="1.0"))
        assert disposition(answer, sent) == "processed"
        assert answer.closes


def test_expect_100_continue(daemon: Daemon) -> None:
    sent = message("<expect@acme.example>")
    with opened(daemon.address, acme()) as client:
        client.send(request(fields=[("Expect", "100-continue"), *sent.fields], body=sent.body)[: -len(sent.body)])
        assert client.answer().status == 100
        client.send(sent.body)
        assert disposition(client.answer(), sent) == "processed"


def test_authorization_that_nobody_asked_for(daemon: Daemon) -> None:
    sent = message("<authorization@acme.example>")
    assert disposition(send(daemon, with_fields(sent, Authorization="Basic eDp5")), sent) == "processed"


@pytest.mark.parametrize("date", ["ti, 22 des 2026 10:00:00", "Di, 21 Aug 2026", "", "yesterday"])
def test_dates_that_are_none(daemon: Daemon, date: str) -> None:
    sent = message(f"<date-{date[:2]}@acme.example>")
    assert disposition(send(daemon, with_fields(sent, Date=date)), sent) == "processed"


def test_a_whole_body_in_base64(daemon: Daemon) -> None:
    der = messages.enveloped_data(layered("s"), keys("EXAMPLE"))
    sent = message("<base64@acme.example>", messages.smime("enveloped-data", der, encode=True))
    assert disposition(send(daemon, sent), sent) == "processed"


def test_several_messages_over_one_connection(daemon: Daemon) -> None:
    with opened(daemon.address, acme()) as client:
        for number in range(5):
            sent = message(f"<kept-{number}@acme.example>")
            answer = client.request(request(fields=sent.fields, body=sent.body))
            assert disposition(answer, sent) == "processed"
            assert not answer.closes


def test_pipelined_messages(daemon: Daemon) -> None:
    sent = [message(f"<pipelined-{number}@acme.example>") for number in range(3)]
    with opened(daemon.address, acme()) as client:
        client.send(b"".join(request(fields=each.fields, body=each.body) for each in sent))
        assert [disposition(client.answer(), each) for each in sent] == ["processed"] * 3


@pytest.mark.parametrize(
    "options",
    [
        "signed-receipt-micalg=required,sha-256;signed-receipt-protocol=optional,pkcs7-signature;",
        "signed-receipt-protocol=optional,pkcs7-signature",
        "signed-receipt-protocol=pkcs7-signature;\tsigned-receipt-micalg=sha-256",
        'SIGNED-RECEIPT-PROTOCOL="optional","pkcs7-signature"; Signed-Receipt-MICalg=Optional,SHA256',
        "signed-receipt-protocol=optional,pkcs7-signature;signed-receipt-micalg=optional,md5,foo,sha1",
    ],
)
def test_options_of_the_receipt_as_products_write_them(daemon: Daemon, options: str) -> None:
    sent = with_fields(message(f"<options-{hash(options)}@acme.example>"), Disposition_Notification_Options=options)
    assert disposition(send(daemon, sent), sent) == "processed"


@pytest.mark.parametrize("value", ["", "https://acme.example/mdn", "edi@acme.example"])
def test_any_disposition_notification_to_asks_for_an_mdn(daemon: Daemon, value: str) -> None:
    sent = with_fields(message(f"<to-{len(value)}@acme.example>"), Disposition_Notification_To=value)
    assert receipt(send(daemon, sent), sent).signed


NAMES = ("a b c !", "#x", "company [ test ]", "<x>", "AS 2", "a,b", "ends;", "x" * 128, '"q', "rfc822;x", "\\")


def test_names_with_all_that_products_put_into_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("names"))
    issued = certificate(authority("Names"), "names.example")
    folder = tree.add("names", "NAMES", issued)
    (folder / "partner.toml").write_text(f"as2_id = {json.dumps(NAMES)}\n")
    with running(tree) as daemon:
        for number, name in enumerate(NAMES):
            spelled = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            sent = message(f"<name-{number}@acme.example>", layered(sender=keys("NAMES")), as2_from=spelled)
            assert disposition(send(daemon, sent, issued), sent) == "processed"


@pytest.mark.parametrize("name", ["M\xc3\xbcller", "M\xfcller", '"M\xc3\xbcller \xff"'])
def test_names_beyond_ascii_are_nobody_s(daemon: Daemon, name: str) -> None:
    assert send(daemon, message("<beyond@acme.example>", as2_from=name)).reason == "as2_from_mismatch_cert"


def test_both_framings_only_for_a_partner_who_is_excused(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("framings"))
    issued = certificate(authority("Both"), "both.example")
    tree.add("both", "BOTH", issued, 'relax = ["te-and-cl"]')
    sent = message("<both@acme.example>", layered(sender=keys("BOTH")), as2_from="BOTH")
    fields = [*sent.fields, ("Transfer-Encoding", "chunked"), ("Content-Length", "7")]
    data = request(fields=fields, length=False) + chunked(sent.body)
    with running(tree) as daemon:
        with opened(daemon.address, issued) as client:
            answer = client.request(data + request("HEAD"))
            assert disposition(answer, sent) == "processed"
            assert answer.closes
            assert client.rest() == b""
        with opened(daemon.address, acme()) as client:
            assert client.request(data).reason == "bad_request"
