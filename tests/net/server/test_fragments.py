"""Bodies in tiny pieces cost far more than their octets: a few are tolerated, and then the sender is refused."""

from collections.abc import Iterator

import pytest

from tests.support.client import chunked, opened, request
from tests.support.daemon import Daemon, Tree, acme, running
from tests.support.messages import Sent
from tests.support.partner import disposition, layered, message

TOLERATED = 64 * 1024
HOST = {"a partner": "as2.example.com", "a stranger": "drop.example.com"}


def large(name: str, size: int) -> Sent:
    """A message whose body has about `size` octets."""
    return message(f"<{name}@acme.example>", layered("sE", bytes(range(32, 127)) * (size // 95)))


def head(sent: Sent, who: str, *, is_chunked: bool) -> bytes:
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(len(sent.body)))
    return request(fields=[*sent.fields, framing], host=HOST[who], length=False)


@pytest.mark.parametrize("who", HOST)
@pytest.mark.parametrize("size", [1, 15])
def test_small_chunks_are_refused(daemon: Daemon, who: str, size: int) -> None:
    sent = large("chunks", TOLERATED + 2000)
    with opened(daemon.address, acme() if who == "a partner" else None, sni=HOST[who]) as client:
        answer = client.request(head(sent, who, is_chunked=True) + chunked(sent.body, size))
        assert (answer.status, answer.reason, answer.closes) == (413, "body_too_fragmented", True)
        assert client.is_closed()
    line = daemon.wait_for("exchange_finished", reason="body_too_fragmented")
    assert "chunks" in line["detail"]
    daemon.forget()


@pytest.mark.parametrize("who", HOST)
def test_small_tls_records_are_refused(daemon: Daemon, who: str) -> None:
    sent = large("records", TOLERATED + 2000)
    with opened(daemon.address, acme() if who == "a partner" else None, sni=HOST[who]) as client:
        client.send(head(sent, who, is_chunked=False))
        for octet in sent.body:
            client.send(bytes([octet]))
        answer = client.answer()
        assert (answer.status, answer.reason, answer.closes) == (413, "body_too_fragmented", True)


def test_small_tls_records_inside_of_large_chunks_are_refused(daemon: Daemon) -> None:
    sent = large("records", TOLERATED + 2000)
    with opened(daemon.address, acme()) as client:
        client.send(head(sent, "a partner", is_chunked=True))
        for octet in chunked(sent.body, 10_000):
            client.send(bytes([octet]))
        assert client.answer().reason == "body_too_fragmented"


def test_records_that_carry_next_to_nothing_of_the_body_are_refused(daemon: Daemon) -> None:
    """Chunk extensions are no body, and cost as much."""
    extended = b"".join(b"%x;%b\r\n%b\r\n" % (100, b"x" * 3000, b"a" * 100) for _ in range(30))
    with opened(daemon.address, acme()) as client:
        client.send(head(message("<extensions@acme.example>"), "a partner", is_chunked=True))
        for octet in extended:
            client.send(bytes([octet]))
        answer = client.answer()
        assert answer.reason == "body_too_fragmented"
    line = daemon.wait_for("exchange_finished", reason="body_too_fragmented")
    assert "TLS records" in line["detail"]
    daemon.forget()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(Tree(tmp_path_factory.mktemp("fragments"))) as daemon:
        yield daemon


@pytest.mark.parametrize(("size", "chunk"), [(TOLERATED * 2, 16), (TOLERATED - 8000, 1)])
@pytest.mark.parametrize("who", HOST)
def test_pieces_of_16_octets_are_served_and_a_small_body_in_any(
    served: Daemon, who: str, size: int, chunk: int
) -> None:
    sent = large(f"fine-{chunk}-{who.replace(' ', '-')}", size)
    assert len(sent.body) < TOLERATED or chunk == 16
    with opened(served.address, acme() if who == "a partner" else None, sni=HOST[who]) as client:
        answer = client.request(head(sent, who, is_chunked=True) + chunked(sent.body, chunk))
        assert disposition(answer, sent) == "processed"


def test_a_large_body_after_a_few_tiny_pieces_is_served(served: Daemon) -> None:
    sent = large("mixed", TOLERATED * 4)
    body = chunked(sent.body[:1000], 1).removesuffix(b"0\r\n\r\n") + chunked(sent.body[1000:], 20_000)
    with opened(served.address, acme()) as client:
        answer = client.request(head(sent, "a partner", is_chunked=True) + body)
        assert disposition(answer, sent) == "processed"
