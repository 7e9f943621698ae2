"""Requests as h11 reads them, checked once more: what it lets through too kindly ends here."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import PeerError
from mtlsd.http.messages import Request, read_request

HOST = b"Host: as2.example.com\r\n"


def read(data: bytes) -> Request:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    return read_request(event)


def get(target: str, fields: bytes = HOST) -> Request:
    return read(f"POST {target} HTTP/1.1\r\n".encode() + fields + b"\r\n")


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("/as2", "as2.example.com", "/as2"),
        ("/as2?a=b", "as2.example.com", "/as2"),
        ("/?/as2", "as2.example.com", "/"),
        ("https://other.example/as2", "other.example", "/as2"),
        ("HTTPS://Other.Example:443/as2?x", "other.example", "/as2"),
        ("https://other.example", "other.example", "/"),
        ("https://other.example?x", "other.example", "/"),
        ("http://a@other.example/as2", "a@other.example", "/as2"),
        ("*", "*", "*"),
    ],
)
def test_the_target_and_the_host(target: str, host: str, path: str) -> None:
    request = get(target)
    assert (request.host, request.path) == (host, path)


@pytest.mark.parametrize("value", [b"\x01", b"a\x00b", b"\x7f"])
def test_control_characters_are_refused(value: bytes) -> None:
    event = h11.Request(method="POST", target="/", headers=[("Host", "x")])
    headers = [*event.headers.raw_items(), (b"X", value)]
    with pytest.raises((PeerError, h11.ProtocolError)):
        read(b"POST / HTTP/1.1\r\n" + b"".join(name + b": " + v + b"\r\n" for name, v in headers) + b"\r\n")


def test_the_framing() -> None:
    both = get("/", HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
    assert both.has_two_framings or both.content_length is None
    assert get("/", HOST + b"Content-Length: 0005\r\n").content_length == 5
    assert get("/").content_length is None
    assert get("/").is_empty
    assert get("/", HOST + b"Content-Length: 0\r\n").is_empty
    assert not get("/", HOST + b"Content-Length: 1\r\n").is_empty
    assert not get("/", HOST + b"Transfer-Encoding: chunked\r\n").is_empty


def test_bytes_beyond_ascii_survive_as_latin_1() -> None:
    value = get("/", HOST + b"AS2-From: M\xc3\xbcller\r\n").get("as2-from") or ""
    assert value.encode("latin-1") == b"M\xc3\xbcller"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_raise_only_our_errors_and_h11_s(target: bytes, fields: bytes) -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST " + target + b" HTTP/1.1\r\n" + fields + b"\r\n\r\n")
    try:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = read_request(event)
            assert request.host
            assert isinstance(request.path, str)
            assert request.content_length is None or request.content_length >= 0
    except (PeerError, h11.RemoteProtocolError):
        return
