"""A cause that is known is answered with what helps; what nobody knows is left alone."""

import pytest

from mtlsd.cli.send import hints
from mtlsd.errors import FailureCause
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import ListenerNote

HINTS = {
    FailureCause.OTHER_NAME: "--resolve",
    FailureCause.UNKNOWN_ISSUER: "--ca",
    FailureCause.NO_ADDRESS: "--resolve",
    FailureCause.NO_TLS: "the server does not speak TLS on that port",
    FailureCause.NO_HTTP: "https://",
    FailureCause.CONNECTION_REFUSED: "nothing listens on that port",
}


@pytest.mark.parametrize("cause", FailureCause)
def test_every_cause_that_is_known_has_a_hint(cause: FailureCause) -> None:
    hint = hints.unanswered(cause)
    assert hint.startswith("\nHint: ")
    assert HINTS[cause] in hint


def test_an_unknown_one_has_none() -> None:
    assert hints.unanswered(None) == ""


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


def test_plain_http_is_known_by_our_own_reason_code() -> None:
    answer = Answer(400, (("mtlsd-reason", "tls_plain_http_on_tls_port"),), b"in words that may change")
    assert "https://" in (hints.plain_http(answer) or "")


def test_a_note_of_a_broken_handshake_names_the_certificate_that_may_be_the_cause() -> None:
    broken = ListenerNote("10.0.0.1", "EOF", in_handshake=True)
    assert "--listen-cert" in hints.noted(broken)
    assert hints.noted(ListenerNote("10.0.0.1", "no MDN")) == "10.0.0.1: no MDN"
