"""What real products send over HTTP that no specification asks for, and that must be understood all the same.

H-01 to H-24 are the matrix of HTTP tolerance and hygiene; R-13 and R-14 belong to reliability.
"""

import base64
import json
import quopri

import pytest

from tests.support import messages
from tests.support.backend import Backend, Delivered
from tests.support.client import Answer, chunked, opened, request
from tests.support.daemon import Daemon, Tree, acme, authority, certificate, keys, running
from tests.support.messages import EDI, Sent
from tests.support.partner import disposition, layered, message, receipt, send, with_fields


def raw(daemon: Daemon, data: bytes) -> Answer:
    with opened(daemon.address, acme()) as client:
        return client.request(data)


def test_h_01_names_of_fields_in_any_case(daemon: Daemon) -> None:
    sent = message("<case@acme.example>")
    for change in (str.lower, str.upper):
        odd = Sent(tuple((change(name), value) for name, value in sent.fields), sent.body)
        assert disposition(send(daemon, odd), sent) == "processed"


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t"])
def test_h_02_folded_fields(daemon: Daemon, fold: str) -> None:
    sent = message("<folded@acme.example>")
    folded = Sent(tuple((name, value.replace("; ", f";{fold}")) for name, value in sent.fields), sent.body)
    assert folded != sent
    assert disposition(send(daemon, folded), sent) == "processed"


@pytest.mark.parametrize("after_size", [b"", b" ", b"  ", b";ext=1", b";"])
def test_h_07_chunks_with_something_behind_their_size(daemon: Daemon, after_size: bytes) -> None:
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


def test_h_05_a_length_with_leading_zeros(daemon: Daemon) -> None:
    sent = message("<zeros@acme.example>")
    fields = [*sent.fields, ("Content-Length", f"{len(sent.body):012}")]
    assert disposition(raw(daemon, request(fields=fields, length=False) + sent.body), sent) == "processed"


def test_h_03_a_tab_behind_a_semicolon(daemon: Daemon) -> None:
    sent = message("<tab@acme.example>")
    tabbed = Sent(tuple((name, value.replace("; ", ";\t")) for name, value in sent.fields), sent.body)
    assert tabbed != sent
    assert disposition(send(daemon, tabbed), sent) == "processed"


def test_h_08_a_header_and_its_body_in_packets_of_their_own(daemon: Daemon) -> None:
    for number, behind in enumerate((-4, -2, -1, 0, 1)):  # octets from the end of the blank line
        sent = message(f"<split-{number}@acme.example>")
        data = request(fields=sent.fields, body=sent.body)
        at = len(data) - len(sent.body) + behind
        with opened(daemon.address, acme()) as client:
            client.send(data[:at])
            assert disposition(client.request(data[at:]), sent) == "processed"


# --- MIME, the whole way to the backend -------------------------------------------------------------------------------


def arrives(daemon: Daemon, backend: Backend, message_id: str, signed: bytes) -> Delivered:
    """The delivery of a signed entity that came in an envelope."""
    sent = message(message_id, messages.encrypt(signed, keys("EXAMPLE")))
    assert disposition(send(daemon, sent), sent) == "processed"
    return backend.wait_for(message_id)


def test_h_09_binary_without_a_transfer_encoding(daemon: Daemon, backend: Backend) -> None:
    payload = b"lone \n and \r and \x00\xff" * 100
    inner = messages.entity(payload, "application/octet-stream")
    assert arrives(daemon, backend, "<h09@acme.example>", messages.sign(inner, keys("ACME"))).body == payload


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary", "base64", "quoted-printable", '"base64"', "base64 (x)"])
def test_h_10_every_transfer_encoding_of_a_part(daemon: Daemon, backend: Backend, encoding: str) -> None:
    encoded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}
    body = next((encode(EDI) for name, encode in encoded.items() if name in encoding), EDI)
    inner = messages.entity(body, Content_Transfer_Encoding=encoding)
    signed = messages.sign(inner, keys("ACME"))
    assert arrives(daemon, backend, f"<h10-{encoding}@acme.example>", signed).body.rstrip() == EDI.rstrip()


def test_h_12_line_ends_behind_the_last_boundary(daemon: Daemon, backend: Backend) -> None:
    signed = layered("s") + b"\r\n\r\n\n"
    assert arrives(daemon, backend, "<h12@acme.example>", signed).body == EDI
    sent = message("<h12-http@acme.example>")
    with opened(daemon.address, acme()) as client:
        client.send(request(fields=sent.fields, body=sent.body) + b"\r\n\r\n")
        answer = client.answer()
        assert disposition(answer, sent) == "processed"  # `receipt` sees that ours has none
        assert client.request(b"\r\n" + request("HEAD"), head=True).status == 200


PREAMBLE = b"This is an S/MIME message\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n"


def test_h_13_text_before_the_first_boundary_or_the_value(daemon: Daemon, backend: Backend) -> None:
    head, blank, body = layered("s").partition(b"\r\n\r\n")
    assert arrives(daemon, backend, "<h13@acme.example>", head + blank + PREAMBLE + body).body == EDI
    sent = message("<h13-cms@acme.example>")
    sent = Sent(sent.fields, PREAMBLE + sent.body)
    assert disposition(send(daemon, sent), sent) == "processed"


@pytest.mark.parametrize("boundary", ["----=_Part_1(2)+'_,-./:=? x", "b" * 70])
def test_h_14_a_boundary_with_all_that_it_may_have(daemon: Daemon, backend: Backend, boundary: str) -> None:
    inner = messages.entity()
    signed = messages.multipart_signed(inner, messages.signed_data(inner, keys("ACME")), boundary=boundary)
    assert arrives(daemon, backend, f"<h14-{len(boundary)}@acme.example>", signed).body == EDI


RELATED = b"--r\r\nContent-Type: text/xml\r\n\r\n<order/>\r\n--r\r\n\r\n%PDF\r\n--r--\r\n"


def test_h_15_a_related_without_its_type(daemon: Daemon, backend: Backend) -> None:
    signed = messages.sign(messages.entity(RELATED, 'multipart/related; boundary="r"'), keys("ACME"))
    delivered = arrives(daemon, backend, "<h15@acme.example>", signed)
    assert (delivered.get("Content-Type"), delivered.body) == ('multipart/related; boundary="r"', RELATED)


def test_h_16_a_second_part_without_its_content_type(daemon: Daemon, backend: Backend) -> None:
    signed = messages.sign(messages.entity(RELATED, 'multipart/related; type="text/xml"; boundary=r'), keys("ACME"))
    assert arrives(daemon, backend, "<h16@acme.example>", signed).body == RELATED


def test_h_17_a_file_name_in_doubled_quotes(daemon: Daemon, backend: Backend) -> None:
    inner = messages.entity(EDI, Content_Disposition='attachment; filename=""order.edi""')
    delivered = arrives(daemon, backend, "<h17@acme.example>", messages.sign(inner, keys("ACME")))
    assert delivered.get("Mtlsd-Filename") == "order.edi"


# --- HTTP once more ---------------------------------------------------------------------------------------------------


def test_h_19_no_date(daemon: Daemon) -> None:
    sent = with_fields(message("<h19@acme.example>"), Date=None)
    assert disposition(send(daemon, sent), sent) == "processed"


def test_h_24_no_host(daemon: Daemon) -> None:
    sent = message("<h24@acme.example>")
    answer = raw(daemon, request(fields=sent.fields, body=sent.body, host=None))
    assert (answer.status, answer.reason, answer.closes) == (400, "bad_request", True)


def test_r_13_a_message_gets_one_answer_and_no_interim_one(daemon: Daemon) -> None:
    """102 Processing broke several senders; and 100 comes only where it was asked for."""
    sent = message("<r13@acme.example>", layered("sE", bytes(3 << 20)))
    answer = send(daemon, sent)
    assert answer.raw.startswith(b"HTTP/1.1 200 ")
    assert disposition(answer, sent) == "processed"


def test_r_14_probes_by_head(daemon: Daemon) -> None:
    for fields in ([], [("AS2-From", "ACME"), ("AS2-To", "EXAMPLE"), ("AS2-Version", "1.2"), ("ETag", '"a"')]):
        with opened(daemon.address, acme()) as client:
            answer = client.request(request("HEAD", fields=fields), head=True)
            assert (answer.status, answer.get("Content-Length"), answer.body) == (200, "0", b"")


@pytest.mark.parametrize("line", ["no colon", "Name : value"])
def test_row_a_line_that_is_no_field_is_refused_and_said(daemon: Daemon, line: str) -> None:
    """h11 refuses it, and rightly: what one reader skips another may believe."""
    sent = message("<no-field@acme.example>")
    data = request(fields=sent.fields, body=sent.body).replace(b"\r\n", f"\r\n{line}\r\n".encode(), 1)
    answer = raw(daemon, data)
    assert (answer.status, answer.reason) == (400, "bad_request")
    said = daemon.wait_for("exchange_finished", request_id=answer.get("Mtlsd-Request-Id"))
    assert (said["reason"], bool(said["detail"])) == ("bad_request", True)


def test_row_line_ends_before_the_first_request_are_read_over(daemon: Daemon) -> None:
    with opened(daemon.address, acme()) as client:
        assert client.request(b"\r\n\r\n" + request("HEAD"), head=True).status == 200


def test_a_length_twice_the_same(daemon: Daemon) -> None:
    sent = message("<twice@acme.example>")
    fields = [*sent.fields, ("Content-Length", str(len(sent.body)))]
    assert disposition(raw(daemon, request(fields=fields, body=sent.body)), sent) == "processed"


def test_h_22_http_1_0_with_and_without_host(daemon: Daemon) -> None:
    for host in ("as2.example.com", None):
        sent = message(f"<1.0-{host}@acme.example>")
        answer = raw(daemon, request(fields=sent.fields, body=sent.body, host=host, version="1.0"))
        assert disposition(answer, sent) == "processed"
        assert answer.closes


def test_h_21_expect_100_continue(daemon: Daemon) -> None:
    sent = message("<expect@acme.example>")
    with opened(daemon.address, acme()) as client:
        client.send(request(fields=[("Expect", "100-continue"), *sent.fields], body=sent.body)[: -len(sent.body)])
        assert client.answer().status == 100
        client.send(sent.body)
        assert disposition(client.answer(), sent) == "processed"


def test_h_20_authorization_that_nobody_asked_for(daemon: Daemon) -> None:
    sent = message("<authorization@acme.example>")
    assert disposition(send(daemon, with_fields(sent, Authorization="Basic eDp5")), sent) == "processed"


@pytest.mark.parametrize("date", ["ti, 22 des 2026 10:00:00", "Di, 21 Aug 2026", "", "yesterday"])
def test_h_18_dates_that_are_none(daemon: Daemon, date: str) -> None:
    sent = message(f"<date-{date[:2]}@acme.example>")
    assert disposition(send(daemon, with_fields(sent, Date=date)), sent) == "processed"


def test_h_11_a_whole_body_in_base64(daemon: Daemon) -> None:
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


def test_h_23_pipelined_messages_are_answered_in_their_order(daemon: Daemon) -> None:
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


def test_h_04_a_name_that_ends_with_a_semicolon_beside_a_subject(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("semicolon"))
    issued = certificate(authority("Semicolon"), "semicolon.example")
    (tree.add("ends", "ENDS", issued) / "partner.toml").write_text('as2_id = "ENDS;"\n')
    with running(tree) as daemon:
        sent = with_fields(message("<h04@acme.example>", layered(sender=keys("ENDS")), as2_from="ENDS;"), Subject=None)
        at = [name for name, _ in sent.fields].index("AS2-From") + 1
        beside = Sent((*sent.fields[:at], ("Subject", "a; b=c"), *sent.fields[at:]), sent.body)
        assert disposition(send(daemon, beside, issued), beside) == "processed"


@pytest.mark.parametrize("name", ["M\xc3\xbcller", "M\xfcller", '"M\xc3\xbcller \xff"'])
def test_names_beyond_ascii_are_nobody_s(daemon: Daemon, name: str) -> None:
    assert send(daemon, message("<beyond@acme.example>", as2_from=name)).reason == "as2_from_mismatch_cert"


def test_h_06_both_framings_only_for_a_partner_who_is_excused(tmp_path_factory: pytest.TempPathFactory) -> None:
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
