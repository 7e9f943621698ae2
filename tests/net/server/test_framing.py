"""Where a request begins and ends: what could be read in two ways is refused, what products really send is taken."""

from collections.abc import Iterator

import pytest

from tests.support.backend import Backend
from tests.support.client import Client, chunked, opened, request
from tests.support.daemon import Daemon, acme


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with opened(daemon.address, acme()) as connected:
        yield connected


def post(*lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    start = f"POST /as2 HTTP/{version}"
    return "\r\n".join((start, "Host: as2.example.com", *lines, "", "")).encode("latin-1") + body


CHUNKED = "Transfer-Encoding: chunked"
REFUSED = {
    "both framings": (post("Content-Length: 5", CHUNKED, body=chunked(b"x")), 400, "bad_request"),
    "both framings, the other way round": (post(CHUNKED, "Content-Length: 0", body=chunked(b"x")), 400, "bad_request"),
    "two lengths": (post("Content-Length: 5", "Content-Length: 6", body=b"123456"), 400, "bad_request"),
    "two lengths in one field": (post("Content-Length: 5, 6", body=b"123456"), 400, "bad_request"),
    "a negative length": (post("Content-Length: -5"), 400, "bad_request"),
    "a length in hex": (post("Content-Length: 0x5", body=b"12345"), 400, "bad_request"),
    "a length with a sign": (post("Content-Length: +5", body=b"12345"), 400, "bad_request"),
    "a length beyond all bounds": (post("Content-Length: " + "9" * 21), 400, "bad_request"),
    "another transfer coding": (post("Transfer-Encoding: gzip"), 501, "bad_request"),
    "chunked twice": (post("Transfer-Encoding: chunked, chunked"), 501, "bad_request"),
    "gzip and chunked": (post("Transfer-Encoding: gzip, chunked"), 501, "bad_request"),
    "chunked, disguised": (post("Transfer-Encoding: \x0bchunked"), 400, "bad_request"),
    "a blank before the colon": (post("Content-Length : 5", body=b"12345"), 400, "bad_request"),
    "a line without a colon": (post("Nonsense"), 400, "bad_request"),
    "a null in a field": (post("X: a\x00b", "Content-Length: 0"), 400, "bad_request"),
    "a control character in a field": (post("X: a\x01b", "Content-Length: 0"), 400, "bad_request"),
    "no length": (post("AS2-From: ACME"), 411, "length_required"),
    "no length in HTTP/1.0": (post("AS2-From: ACME", version="1.0"), 411, "length_required"),
    "a part of a message": (post("Content-Range: bytes 0-9/20", "Content-Length: 0"), 416, "range_not_supported"),
    "HTTP/2 without TLS' consent": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "bad_request"),
    "not HTTP": (b"\x16\x03\x01\x00\x05hello\r\n\r\n", 400, "bad_request"),
    "CONNECT": (b"CONNECT as2.example.com:443 HTTP/1.1\r\nHost: as2.example.com\r\n\r\n", 404, "no_route"),
    "another path": (request("POST", "/as3"), 404, "no_route"),
    "the path in another case": (request("POST", "/AS2"), 404, "no_route"),
    "the path, encoded": (request("POST", "/%61s2"), 404, "no_route"),
    "the path with dots": (request("POST", "/x/../as2"), 404, "no_route"),
    "another method": (request("GET"), 405, "method_not_allowed"),
    "DELETE": (request("DELETE"), 405, "method_not_allowed"),
    "OPTIONS *": (request("OPTIONS", "*"), 421, "sni_host_mismatch"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_and_the_connection_ends(client: Client, untouched: Backend, kind: str) -> None:
    data, status, reason = REFUSED[kind]
    answer = client.request(data)
    assert (answer.status, answer.reason, answer.closes) == (status, reason, True)
    assert client.is_closed()
    assert untouched.count == 0


def test_the_methods_that_are_served_are_named(client: Client) -> None:
    assert client.request(request("GET")).get("Allow") == "POST, HEAD"


@pytest.mark.parametrize(
    "fields",
    [
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
        [("Connection", "Upgrade"), ("Upgrade", "websocket")],
    ],
)
def test_an_upgrade_is_not_taken_up(client: Client, fields: list[tuple[str, str]]) -> None:
    answer = client.request(request("HEAD", fields=fields), head=True)
    assert answer.status == 200
    assert answer.get("Upgrade") is None


@pytest.mark.parametrize("field", ["Authorization: Basic eDp5", "Expect: nonsense", "Cookie: a=b", "TE: gzip"])
def test_fields_that_nobody_asked_for_are_ignored(client: Client, field: str) -> None:
    name, _, value = field.partition(": ")
    assert client.request(request("HEAD", fields=[(name, value)]), head=True).status == 200


def test_head_is_answered_empty_and_the_connection_stays(client: Client) -> None:
    for _ in range(3):
        answer = client.request(request("HEAD"), head=True)
        assert (answer.status, answer.get("Content-Length"), answer.closes) == (200, "0", False)


@pytest.mark.parametrize("line", [b"X: a\x01b", b"\r\n".join(b"X: x" for _ in range(101))])
def test_a_head_that_is_refused_is_answered_without_a_body(client: Client, line: bytes) -> None:
    answer = client.request(b"HEAD /as2 HTTP/1.1\r\nHost: as2.example.com\r\n" + line + b"\r\n\r\n", head=True)
    assert answer.status in (400, 431)
    assert client.is_closed()


def test_http_1_0_is_served_and_closed(client: Client) -> None:
    answer = client.request(request("HEAD", version="1.0", host=None), head=True)
    assert (answer.status, answer.closes) == (200, True)
    assert client.is_closed()


def test_a_client_that_wants_to_close_is_closed(client: Client) -> None:
    answer = client.request(request("HEAD", fields=[("Connection", "close")]), head=True)
    assert answer.closes
    assert client.is_closed()


def test_requests_may_be_pipelined(client: Client) -> None:
    client.send(request("HEAD") * 3)
    assert [client.answer(head=True).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("between", [b"\r\n", b"\n", b"\r\n" * 5])
def test_line_ends_between_requests_are_skipped(client: Client, between: bytes) -> None:
    client.send(request("HEAD") + between + request("HEAD"))
    assert [client.answer(head=True).status for _ in range(2)] == [200] * 2
    client.send(between)
    assert client.request(between + request("HEAD"), head=True).status == 200


def test_a_request_in_single_octets_is_served(client: Client) -> None:
    for at in request("HEAD"):
        client.send(bytes([at]))
    assert client.answer(head=True).status == 200


def test_one_body_never_hides_a_second_request(client: Client) -> None:
    """Whatever follows the first body is a request of its own, judged like any other."""
    inner = request("HEAD", host="drop.example.com")
    client.send(request("POST", fields=[("AS2-From", "ACME")], body=b"x") + inner)
    assert client.answer().reason == "as2_header_missing"
    assert client.rest() == b""
