import base64
import logging
import subprocess
import sys
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.mdn.pyas2 import MAX_MDN_SIZE, ReceivedMDN, read_mdn
from mtlsd.errors import AS2SignatureBad, MDNUnreadable, PeerError
from tests.support.pyas2_oracle import (
    Headers,
    Received,
    Sent,
    as2,
    identity,
    openssl_verify,
    organization,
    partner,
    pyas2_build,
    pyas2_parse,
)

US = identity("US")
THEM = identity("THEM")
EDI = b"UNB+UNOA:2+US+THEM'\r\nUNZ+0+1'\r\n"
MESSAGE_ID = "<1.2.3@us.example>"


def received_by_them(message: Sent) -> Received:
    return pyas2_parse(message.headers, message.body, organization(THEM), partner(US))


def verified_by_openssl(headers: Headers, body: bytes) -> bytes:
    return openssl_verify(headers, body, THEM)


def never(headers: Headers, body: bytes) -> bytes:
    raise AssertionError("nothing is signed here")


def read(headers: Headers, body: bytes, *, message_id: str | None = MESSAGE_ID, mic: str | None = None) -> ReceivedMDN:
    return read_mdn(headers, body, verify=verified_by_openssl, message_id=message_id, mic=mic)


def test_pyas2lib_logs_no_payload(caplog: pytest.LogCaptureFixture) -> None:
    headers, body, mic = mdn_of_pyas2lib(signed=True)
    with caplog.at_level(logging.DEBUG):
        read(headers, body, mic=mic)
    assert not caplog.records


def test_pyas2lib_is_imported_late_and_oscrypto_never() -> None:
    code = "import sys, mtlsd.as2.mdn.pyas2; print('pyas2lib' in sys.modules, 'oscrypto' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert printed.stdout.split() == [b"False", b"False"]


# --- What their MDN says ------------------------------------------------------------------------------------


@cache
def mdn_of_pyas2lib(signed: bool) -> tuple[Headers, bytes, str]:
    message = pyas2_build(EDI, US, THEM, mdn="signed" if signed else "unsigned")
    received = received_by_them(message)
    assert message.mic
    return received.mdn_headers, received.mdn_body, message.mic


@pytest.mark.parametrize("signed", [False, True])
def test_the_mdn_of_pyas2lib_confirms_the_message(signed: bool) -> None:
    headers, body, mic = mdn_of_pyas2lib(signed)
    assert read(headers, body, mic=mic) == ReceivedMDN(
        disposition_mode="automatic-action/MDN-sent-automatically",
        disposition_type="processed",
        modifier=None,
        original_message_id=MESSAGE_ID,
        final_recipient="THEM",
        mic=mic,
        mic_algorithm="sha256",
        signed=signed,
        text=as2.MDN_CONFIRM_TEXT,
        confirmed=True,
    )


def test_an_mdn_of_pyas2lib_that_says_no_says_why() -> None:
    message = pyas2_build(EDI, US, THEM, encrypt="aes256-cbc")
    received = pyas2_parse(message.headers, message.body, organization(US, "THEM"), partner(US))
    said = read_mdn(
        received.mdn_headers,
        received.mdn_body,
        verify=lambda headers, body: openssl_verify(headers, body, US),
        message_id=MESSAGE_ID,
        mic=message.mic,
    )
    assert (said.disposition_type, said.modifier) == ("processed", "error: decryption-failed")
    assert said.signed
    assert not said.confirmed


def test_another_signer_is_refused() -> None:
    headers, body, _ = mdn_of_pyas2lib(True)
    with pytest.raises(AS2SignatureBad):
        read_mdn(
            headers,
            body,
            verify=lambda headers, body: openssl_verify(headers, body, US),
            message_id=MESSAGE_ID,
            mic=None,
        )


def test_a_change_after_signing_is_refused() -> None:
    headers, body, _ = mdn_of_pyas2lib(True)
    with pytest.raises(AS2SignatureBad):
        read(headers, body.replace(b"; processed", b";  processed"))


def report(*fields: str, first: str = "Content-Type: text/plain\r\n\r\nThank you.\r\n") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    notification = f"Content-Type: message/disposition-notification\r\n\r\n{lines}"
    return f"--b\r\n{first}\r\n--b\r\n{notification}\r\n--b--\r\n".encode()


REPORT_HEADERS: Headers = [("content-type", "multipart/report; boundary=b")]
ID = f"Original-Message-ID: {MESSAGE_ID}"
PROCESSED = "Disposition: automatic-action/MDN-sent-automatically; processed"


def test_only_the_bytes_that_verified_are_read() -> None:
    forged, genuine = report(ID, PROCESSED), report(ID, "Disposition: a; failed/failure: x")
    outer = [("Content-Type", "multipart/signed; boundary=b")]
    entity = b"Content-Type: multipart/report; boundary=b\r\n\r\n" + genuine
    said = read_mdn(outer, forged, verify=lambda *_: entity, message_id=MESSAGE_ID, mic=None)
    assert (said.disposition_type, said.signed) == ("failed", True)


@pytest.mark.parametrize("inner", ["multipart/signed; boundary=b", "multipart/mixed; boundary=b", "text/plain"])
def test_a_verified_entity_that_is_no_report_is_refused(inner: str) -> None:
    outer = [("Content-Type", "multipart/signed; boundary=b")]
    entity = f"Content-Type: {inner}\r\n\r\n".encode() + report(ID, PROCESSED)
    with pytest.raises(MDNUnreadable, match="multipart/report"):
        read_mdn(outer, b"", verify=lambda *_: entity, message_id=MESSAGE_ID, mic=None)


def test_an_unsigned_mdn_never_passes_for_a_signed_one() -> None:
    said = read_mdn(REPORT_HEADERS, report(ID, PROCESSED), verify=never, message_id=MESSAGE_ID, mic=None)
    assert not said.signed


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ("a; processed", ("a", "processed", None)),
        ("a;processed", ("a", "processed", None)),
        ("a ; Processed ", ("a", "processed", None)),
        ("Automatic-action;\r\n processed", ("Automatic-action", "processed", None)),
        ("a; processed/error: decryption-failed", ("a", "processed", "error: decryption-failed")),
        ("a; processed / Error:decryption-failed", ("a", "processed", "error: decryption-failed")),
        ("a; processed/Warning: duplicate-document", ("a", "processed", "warning: duplicate-document")),
        ("a; failed/Failure: unsupported format", ("a", "failed", "failure: unsupported format")),
        ("a; failed", ("a", "failed", None)),
        ("a; processed/error", ("a", "processed", "error")),
    ],
)
def test_a_disposition_is_read_in_every_known_spelling(disposition: str, expected: tuple[str, str, str | None]) -> None:
    said = read(REPORT_HEADERS, report(ID, f"Disposition: {disposition}"))
    assert (said.disposition_mode, said.disposition_type, said.modifier) == expected
    assert said.confirmed == (expected[1] == "processed" and "rror" not in disposition)


@pytest.mark.parametrize(
    "disposition",
    [
        "",
        "processed",
        "a; displayed",
        "a; processed: error",
        "a; error: x",
        "a; processed/",
        "a; processed; failed",
    ],
)
def test_a_disposition_that_is_not_understood_is_never_a_yes(disposition: str) -> None:
    with pytest.raises(MDNUnreadable):
        read(REPORT_HEADERS, report(ID, f"Disposition: {disposition}"))


@pytest.mark.parametrize(
    ("field", "mic", "algorithm"),
    [
        ("Received-Content-MIC: xx=, sha1", "xx=", "sha1"),
        ("Received-content-MIC: xx=,SHA1", "xx=", "sha1"),
        ('received-content-mic: xx= , "sha-256"', "xx=", "sha-256"),
        ("Received-Content-MIC: xx\r\n\tyy=,\r\n sha-512", "xxyy=", "sha-512"),
        ("Received-Content-MIC: xx=", "xx=", None),
        ("Received-Content-MIC: , sha1", None, "sha1"),
        ("Reporting-UA: nobody", None, None),
    ],
)
def test_a_mic_is_read_in_every_known_spelling(field: str, mic: str | None, algorithm: str | None) -> None:
    said = read(REPORT_HEADERS, report(ID, PROCESSED, field), mic="xx=")
    assert (said.mic, said.mic_algorithm) == (mic, algorithm)
    assert said.confirmed == (mic == "xx=")


@pytest.mark.parametrize(
    ("field", "recipient"),
    [
        ("rfc822; THEM", "THEM"),
        ("rfc822;THEM", "THEM"),
        ('rfc822; "T H E M"', "T H E M"),
        (r'rfc822; "q\"q"', 'q"q'),
        ("THEM", "THEM"),
        ("rfc822; ends;", "ends;"),
    ],
)
def test_the_final_recipient_is_an_as2_id(field: str, recipient: str) -> None:
    assert read(REPORT_HEADERS, report(ID, PROCESSED, f"Final-Recipient: {field}")).final_recipient == recipient


def test_the_original_message_id_may_lack_its_brackets() -> None:
    bare = MESSAGE_ID.strip("<>")
    assert read(REPORT_HEADERS, report(f"Original-Message-ID: {bare}", PROCESSED)).original_message_id == bare


def test_an_mdn_for_another_message_is_refused() -> None:
    with pytest.raises(MDNUnreadable, match="another message"):
        read(REPORT_HEADERS, report("Original-Message-ID: <other@us.example>", PROCESSED))


def test_without_an_expected_message_id_any_is_read() -> None:
    assert read(REPORT_HEADERS, report(ID, PROCESSED), message_id=None).original_message_id == MESSAGE_ID


FIELDS = f"{ID}\r\n{PROCESSED}\r\n".encode()
TEXT = b"--b\r\n\r\nThank you.\r\n--b\r\n"


@pytest.mark.parametrize(
    "notification",
    [
        b"Content-Type: MESSAGE/Disposition-Notification\r\n\r\n" + FIELDS,
        b"Content-Type: message/disposition-notification\r\n\r\n\r\n" + FIELDS,
        b"Content-Type: message/disposition-notification\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(FIELDS),
        b"\r\n" + FIELDS,
        FIELDS,
        b"Content-Type: message/disposition-notification\n\n" + FIELDS.replace(b"\r\n", b"\n"),
    ],
    ids=["any case", "blank line before", "base64", "no headers", "no blank line", "bare line feeds"],
)
def test_the_notification_is_found_in_every_known_form(notification: bytes) -> None:
    said = read(REPORT_HEADERS, b"preamble\r\n" + TEXT + notification + b"\r\n--b--")
    assert said.confirmed
    assert said.text == "Thank you."


def test_a_report_inside_a_part_is_not_read() -> None:
    inner = f"Content-Type: message/rfc822\r\n\r\n{REPORT_HEADERS[0][0]}: {REPORT_HEADERS[0][1]}x\r\n\r\n"
    nested = report(ID, PROCESSED).replace(b"--b", b"--bx").decode()
    said = read(REPORT_HEADERS, report(ID, "Disposition: a; failed", first=inner + nested))
    assert said.disposition_type == "failed"


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        (REPORT_HEADERS, report(PROCESSED), "no Original-Message-ID"),
        (REPORT_HEADERS, report(ID), "no Disposition"),
        (REPORT_HEADERS, report(ID, PROCESSED, PROCESSED), "several Disposition"),
        (REPORT_HEADERS, report(ID, ID, PROCESSED), "several Original-Message-ID"),
        (REPORT_HEADERS, report(ID, PROCESSED)[:-7] + report(ID, PROCESSED), "several"),
        (REPORT_HEADERS, b"", "without parts"),
        (REPORT_HEADERS, b"--b\r\n\r\nThank you.\r\n--b--", "no disposition"),
        (REPORT_HEADERS, b" " * (MAX_MDN_SIZE + 1), "longer"),
        (REPORT_HEADERS, b"\r\n--b" * 100, "more parts"),
        (REPORT_HEADERS, b"--b\r\nContent-Type: a/b" + b";" * 2000, "more parts"),
        ([("Content-Type", "text/html")], b"<html>", "multipart/report"),
        ([], b"", "Content-Type"),
        ([*REPORT_HEADERS, *REPORT_HEADERS], report(ID, PROCESSED), "Content-Type"),
    ],
)
def test_what_is_no_mdn_is_unreadable(headers: Headers, body: bytes, why: str) -> None:
    with pytest.raises(MDNUnreadable, match=why):
        read(headers, body)


# --- Whatever they send -------------------------------------------------------------------------------------


def survives(headers: Headers, body: bytes) -> None:
    def trusting(_: Headers, entity: bytes) -> bytes:
        return entity

    with suppress(PeerError):
        assert isinstance(read_mdn(headers, body, verify=trusting, message_id=None, mic=None), ReceivedMDN)


CONTENT_TYPES = st.sampled_from(
    [
        "multipart/report; boundary=b",
        "multipart/signed; boundary=b",
        "multipart/report",
        "",
        'a/b; "\r\n\0=*0*',
    ]
)


@given(CONTENT_TYPES | st.text(), st.binary(max_size=400))
def test_arbitrary_bytes_raise_only_our_own_errors(content_type: str, body: bytes) -> None:
    survives([("Content-Type", content_type)], body)


@given(st.data())
def test_a_mutated_mdn_raises_only_our_own_errors(data: st.DataObject) -> None:
    headers, body, _ = mdn_of_pyas2lib(False)
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 40)))
    survives(headers, body[:start] + data.draw(st.binary(max_size=20)) + body[end:])


@given(
    st.lists(
        st.sampled_from(
            [
                b"\r\n",
                b"--b",
                b"--b--",
                b"Content-Type: message/disposition-notification",
                b"Content-Type: message/rfc822",
                b"Content-Transfer-Encoding: base64",
                b"Content-Type: multipart/report; boundary=b",
                b"\xff",
                FIELDS,
                b"Content-Type: text/plain; charset*=\0''x",
                b"Disposition:",
                b'Final-Recipient: "',
                b"Received-Content-MIC: ,",
                b"Disposition: =?utf-7?b?x?=",
                b"Content-Type: a; boundary*0*=x''%ff",
                b"; ",
            ]
        ),
        max_size=20,
    ).map(b"".join)
)
def test_pieces_of_mdns_in_any_order_raise_only_our_own_errors(body: bytes) -> None:
    survives(REPORT_HEADERS, body)


@pytest.mark.parametrize("mark", ['"', "'"])
@pytest.mark.parametrize("signed", [True, False])
def test_types_in_quotes_are_read(mark: str, signed: bool) -> None:
    """The whole value in quotes, in the header, in the signed part and in the notification."""
    body = report(ID, PROCESSED).replace(
        b"message/disposition-notification", f"{mark}message/disposition-notification{mark}".encode()
    )
    kind = f"{mark}multipart/report; boundary=b{mark}"
    headers = [("Content-Type", f"{mark}multipart/signed; boundary=b{mark}" if signed else kind)]
    entity = f"Content-Type: {kind}\r\n\r\n".encode() + body
    said = read_mdn(headers, body, verify=lambda *_: entity, message_id=MESSAGE_ID, mic=None)
    assert (said.disposition_type, said.signed) == ("processed", signed)


def test_the_quoted_type_of_phase2_4_4_2_is_read() -> None:
    kind = r'"multipart/report; report-type=disposition-notification;    boundary=\"b\""'
    said = read_mdn([("Content-Type", kind)], report(ID, PROCESSED), verify=lambda *_: b"", message_id=None, mic=None)
    assert said.is_positive
