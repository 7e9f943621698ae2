"""The engine of HTTP gives the same events however the bytes arrive, and raises only our own errors."""

from collections.abc import Callable, Iterable

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import BadRequest, HeadersTooLarge, PeerError, TransferCodingUnsupported
from mtlsd.http.engine import HTTPEngine

MAX_HEADER = 1000
HOST = b"Host: x\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nbody"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"


def read(pieces: Iterable[bytes]) -> list[str]:
    """What one connection is found to ask: method, body, method, body, …, and the refusal."""
    engine, found = HTTPEngine(MAX_HEADER), list[str]()
    try:
        for piece in pieces:
            engine.receive_data(piece)
            while (event := engine.next_event()) is not None:
                match event:
                    case h11.Request():
                        found += [event.method.decode(), ""]
                    case h11.Data():
                        found[-1] += event.data.decode("latin-1")
                    case h11.EndOfMessage():
                        engine.respond(200, [(b"Content-Length", b"0")], b"")
                        if not engine.can_go_on:
                            return [*found, "closed"]
                        engine.next_cycle()
                    case _:
                        return [*found, "left"]
    except PeerError as error:
        found.append(type(error).__name__)
    return found


def feed(engine: HTTPEngine, data: bytes) -> None:
    for each in by_octets(data):
        engine.receive_data(each)
        engine.next_event()


def by_octets(data: bytes) -> list[bytes]:
    return [bytes([each]) for each in data]


REQUESTS = {
    "one": (GET, ["GET", ""]),
    "one with a body": (POST, ["POST", "body"]),
    "one in chunks": (CHUNKED, ["POST", "body"]),
    "several": (GET + POST + CHUNKED, ["GET", "", "POST", "body", "POST", "body"]),
    "with line ends between": (b"\r\n" + POST + b"\r\n\n\r\n" + GET, ["POST", "body", "GET", ""]),
    "with an end": (GET.replace(HOST, HOST + b"Connection: close\r\n"), ["GET", "", "closed"]),
    "none": (b"\x16\x03\x01\x02\x00\r\n\r\n", ["BadRequest"]),
    "without Host": (b"GET / HTTP/1.1\r\n\r\n", ["BadRequest"]),
    "with a coding that nobody knows": (CHUNKED.replace(b"chunked", b"gzip"), ["TransferCodingUnsupported"]),
}


@pytest.mark.parametrize("split", [lambda data: [data], by_octets], ids=["whole", "by octets"])
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_read_one_after_another(name: str, split: Callable[[bytes], list[bytes]]) -> None:
    data, expected = REQUESTS[name]
    assert read(split(data)) == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (GET.replace(HOST, HOST + b"X: " + b"x" * 2 * MAX_HEADER), HeadersTooLarge),
        (CHUNKED.replace(b"chunked", b"gzip"), TransferCodingUnsupported),
        (b"GET\r\n\r\n", BadRequest),
    ],
)
def test_a_refusal_has_its_own_class(data: bytes, error: type[PeerError]) -> None:
    engine = HTTPEngine(MAX_HEADER)
    with pytest.raises(error):
        feed(engine, data)
    assert engine.respond(400, [(b"Content-Length", b"0")], b"").startswith(b"HTTP/1.1 400 ")


def test_a_head_is_answered_without_the_body() -> None:
    engine = HTTPEngine(MAX_HEADER)
    engine.receive_data(GET.replace(b"GET", b"HEAD"))
    engine.next_event()
    answer = engine.respond(200, [(b"Content-Length", b"4")], b"body", "OK")
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def test_who_wants_to_be_asked_on_is_told_to_proceed() -> None:
    engine = HTTPEngine(MAX_HEADER)
    engine.receive_data(POST.replace(HOST, HOST + b"Expect: 100-continue\r\n").removesuffix(b"body"))
    assert not engine.waits_for_continue
    engine.next_event()
    assert engine.waits_for_continue
    assert engine.proceed() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not engine.waits_for_continue


PIECES = st.sampled_from([GET, POST, CHUNKED, b"\r\n", b"0\r\n\r\n", b"GET ", HOST]) | st.binary(max_size=20)


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_any_bytes_mean_the_same_at_once_and_by_octets(data: bytes) -> None:
    assert read(filter(None, [data])) == read(by_octets(data))  # nothing would be the end


FOLDED = {
    "in the middle": (b"<a\r\n b@c>", ["BadRequest"]),
    "by a bare line feed": (b"<a\n\tb@c>", ["BadRequest"]),
    "over an empty line": (b"<a\r\n \r\n b@c>", ["BadRequest"]),
    "before a comment": (b"<a@b>\r\n (c)", ["BadRequest"]),
    "before the value": (b"\r\n <a@b>", ["GET", "", "GET", ""]),
    "behind the value": (b"<a@b>\r\n ", ["GET", "", "GET", ""]),
    "not at all": (b"<a b@c>", ["GET", "", "GET", ""]),
}


@pytest.mark.parametrize("name", FOLDED)
def test_a_message_id_is_in_one_line(name: str) -> None:
    value, expected = FOLDED[name]
    folded = GET.replace(HOST, b"MESSAGE-id: " + value + b"\r\n" + HOST)
    last = folded.replace(HOST, b"").replace(b"\r\n\r\n", b"\r\n" + HOST + b"\r\n")
    for data in (folded, last):
        assert read([data + GET]) == expected
        assert read(by_octets(data + GET)) == expected


def test_a_fold_in_a_body_or_in_another_field_is_none_of_a_message_id() -> None:
    field = b"Subject: a\r\n Message-ID: <a\r\n b>\r\n"
    body = b"\nMessage-ID: <a\n b>\n"
    post = b"POST / HTTP/1.1\r\n" + field + HOST + b"Content-Length: 20\r\n\r\n" + body
    assert len(body) == 20
    assert read([post]) == ["POST", body.decode()]
