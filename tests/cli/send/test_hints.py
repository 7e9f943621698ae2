"""What libraries and ports say is answered with what helps; what nobody knows is left alone."""

import pytest

from mtlsd.cli.send import hints
from mtlsd.net.client.http import Answer

VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (f"{VERIFY}Hostname mismatch, certificate is not valid for 'a.example'. (_ssl.c:1006)", "--resolve"),
        (f"{VERIFY}IP address mismatch, certificate is not valid for '10.0.0.1'. (_ssl.c:1006)", "--resolve"),
        (f"{VERIFY}self-signed certificate in certificate chain (_ssl.c:1006)", "--ca"),
        (f"{VERIFY}unable to get local issuer certificate (_ssl.c:1006)", "--ca"),
        ("[Errno -2] Name or service not known", "--resolve"),
        ("[Errno -3] Temporary failure in name resolution", "--resolve"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "nobody speaks TLS on that port"),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1032)", "nobody speaks TLS on that port"),
        ("illegal status line: bytearray(b'\\x15\\x03\\x03')", "https://"),
        ("[Errno 111] Error connecting to ('127.0.0.1', 1): Connection refused", "nobody listens there"),
    ],
)
def test_a_known_failure_has_a_hint(error: str, words: str) -> None:
    hint = hints.unanswered(error)
    assert hint.startswith("\nHint: ")
    assert words in hint


def test_an_unknown_one_has_none() -> None:
    assert hints.unanswered("no answer within 60 s") == ""


@pytest.mark.parametrize(
    "page",
    [
        b"<title>400 The plain HTTP request was sent to HTTPS port</title>",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_plain_http_is_known_by_what_servers_say_to_it(page: bytes) -> None:
    assert "https://" in (hints.plain_http(Answer(400, (), page)) or "")
    assert hints.plain_http(Answer(200, (), page)) is None
    assert hints.plain_http(Answer(400, (), b"Bad Request")) is None


def test_a_note_of_a_broken_handshake_names_the_certificate_that_may_be_the_cause() -> None:
    assert "--listen-cert" in hints.handshake("10.0.0.1: the TLS handshake broke: EOF")
    assert hints.handshake("10.0.0.1: no MDN") == "10.0.0.1: no MDN"
