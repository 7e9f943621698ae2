"""No text of a peer costs more than its length: four times the text may take four times the work, not sixteen.

CPU time is compared with CPU time, of n and of 4n, so a slow or busy machine changes nothing.
"""

import gc
from collections.abc import Callable
from contextlib import suppress
from time import process_time

import pytest

from mtlsd.as2.headers import AS2Headers, AS2Name, algorithm_of
from mtlsd.as2.mdn.verify import read_unverified
from mtlsd.as2.mime.one_reading import check_one_reading
from mtlsd.as2.mime.parser import ContentType, HeaderBlock, HeaderBlockReader
from mtlsd.as2.mime.transfer_encoding import WithoutPreamble
from mtlsd.errors import PeerError
from mtlsd.handlers.as2.filenames import filename_of
from mtlsd.http.messages import Request
from mtlsd.http.messages import _normal as host_of

Read = Callable[[bytes], object]

N = 16_000  # octets; a header block has at most four times as many
LINEAR = 9  # between the 4 of what is linear and the 16 of what is quadratic


class Nowhere:
    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


def preamble(data: bytes, chunk: int = 4096) -> None:
    reader = WithoutPreamble(Nowhere())
    for at in range(0, len(data), chunk):
        reader.write(data[at : at + chunk])
    reader.close()


def header(data: bytes, chunk: int = 4096) -> None:
    reader = HeaderBlockReader()
    for at in range(0, len(data), chunk):
        if reader.receive_data(data[at : at + chunk]):
            return
    reader.close()


def entity_header(name: str) -> Read:
    return lambda data: HeaderBlock(b"", {name: data.decode("latin-1")}).transfer_encoding()


def one_reading(data: bytes) -> None:
    check_one_reading(HeaderBlock(b"", {"content-type": data.decode("latin-1")}))


def of_text(reader: Callable[[str], object]) -> Read:
    def read(data: bytes) -> None:
        reader(data.decode("latin-1"))

    return read


def as2_header(name: str) -> Read:
    fields = {"AS2-From": "A", "AS2-To": "B", "Message-ID": "<1>", "Content-Type": "text/plain"}
    receipt = {"Disposition-Notification-To": "A"}
    return of_text(lambda text: AS2Headers.parse((fields | receipt | {name: text}).items()).check())


def path_of(text: str) -> str:
    return Request("GET", text, (), "1.1", "x").path


MDN_TYPE = (("Content-Type", "multipart/report; boundary=b"),)

# What reads it; how the text begins, what is repeated in it, and how it ends.
HOSTILE: dict[str, tuple[Read, bytes, bytes, bytes]] = {
    "preamble: CR": (lambda data: preamble(data, 1), b"", b"M" + b"\r" * 850 + b"!" + b"a" * 100 + b"\n", b""),
    "preamble: blanks": (lambda data: preamble(data, 1), b"", b"M" + b" \t\r" * 300 + b"!\n", b""),
    "preamble: text": (lambda data: preamble(data, 1), b"", b"x" * 950 + b"\n", b""),
    "preamble: empty lines": (lambda data: preamble(data, len(data)), b"", b"\n", b""),
    "preamble: Ms": (lambda data: preamble(data, 7), b"", b"!M\n", b""),
    "header: a name": (lambda data: header(data, 1), b"", b"n" * 900 + b": x\r\n", b""),
    "header: a name without an end": (header, b"", b"n", b" "),
    "header: blanks behind a name": (lambda data: header(b"n" + data), b"", b" \t", b"x"),
    "header: folds": (header, b"Content-Type: x", b"\r\n \t", b"x\r\n\r\n"),
    "header: CR": (header, b"Content-Type: x", b"\r", b"\r\n\r\n"),
    "header: blanks in a fold": (header, b"Content-Type: x\r\n", b" \t", b"\r\n\r\n"),
    "type: blanks": (of_text(ContentType.parse), b"a/b;", b" ", b"x"),
    "type: blanks behind a name": (of_text(ContentType.parse), b"a/b;n", b" ", b"x"),
    "type: a name": (of_text(ContentType.parse), b"a/b;", b"n", b""),
    "type: semicolons": (of_text(ContentType.parse), b"a/b", b"; ", b""),
    "type: equals": (of_text(ContentType.parse), b"a/b;a", b"= ", b""),
    "type: quotes": (of_text(ContentType.parse), b"a/b;a=", b'"', b"x"),
    "type: quotes that stay open": (of_text(ContentType.parse), b"a/b", b';a="x\\"', b""),
    "type: odd quotes": (of_text(ContentType.parse), b"a/b", b';a="b" "', b""),
    "type: backslashes": (of_text(ContentType.parse), b'a/b;a="', b"\\", b""),
    "type: text in quotes": (of_text(ContentType.parse), b'a/b;a="', b"x", b""),
    "one reading: blanks": (one_reading, b"a/b;", b" ", b"x"),
    "one reading: blanks behind a name": (one_reading, b"a/b;n", b" ", b'"'),
    "one reading: blanks behind an equals sign": (one_reading, b"a/b;n=", b" ", b'"x"('),
    "one reading: semicolons": (one_reading, b"a/b", b"; ", b"("),
    "one reading: parameters": (one_reading, b"a/b", b"; a = b ", b"("),
    "one reading: quotes": (one_reading, b"a/b", b';a="', b""),
    "encoding: parentheses": (entity_header("content-transfer-encoding"), b"", b"(", b""),
    "encoding: open comments": (entity_header("content-transfer-encoding"), b"", b"(x", b""),
    "encoding: a comment": (entity_header("content-transfer-encoding"), b"(", b"x", b""),
    "name: quotes": (of_text(AS2Name.parse), b'"', b'x\\"', b""),
    "name: backslashes": (of_text(AS2Name.parse), b'"', b"\\", b'"'),
    "name: text": (of_text(AS2Name.parse), b'"', b"x", b""),
    "micalg": (of_text(algorithm_of), b"sha", b"-_ ", b"1"),
    "options": (as2_header("Disposition-Notification-Options"), b"", b"signed-receipt-micalg=a,", b";"),
    "options: semicolons": (as2_header("Disposition-Notification-Options"), b"", b";=,", b""),
    "message id": (as2_header("Message-ID"), b"<", b"x", b">"),
    "MDN: delimiters": (lambda data: read_unverified(MDN_TYPE, data), b"--b", b"\r\r\n--", b""),
    "MDN: CR": (lambda data: read_unverified(MDN_TYPE, data), b"--b\r\nDisposition: a", b"\r", b""),
    "MDN: quotes": (
        lambda data: read_unverified(MDN_TYPE, data),
        b"--b\r\n\r\nOriginal-Message-ID: <1>\r\nDisposition: a; processed\r\nFinal-Recipient: rfc822; ",
        b'"\\',
        b"\r\n--b--",
    ),
    "host": (of_text(host_of), b"http://", b"x:1", b"x"),
    "host: colons": (of_text(host_of), b"x", b":", b"x"),
    "host: a port": (of_text(host_of), b"x:", b"1", b"x"),
    "target": (of_text(path_of), b"", b"a", b""),
    "target: a host": (of_text(path_of), b"http://", b"a", b""),
    "file name: words that stay open": (
        of_text(lambda text: filename_of(f'attachment; filename="{text}"', "a/b")),
        b"",
        b"=?a?q?x",
        b"",
    ),
    "file name: words": (
        of_text(lambda text: filename_of(f'attachment; filename="{text}"', "a/b")),
        b"",
        b"=?utf-8?q?x?= ",
        b"",
    ),
    "file name: percents": (
        of_text(lambda text: filename_of(f"attachment; filename*=utf-8''{text}", "a/b")),
        b"",
        b"%E2%82x",
        b"",
    ),
    "file name: slashes": (of_text(lambda text: filename_of(f"attachment; filename={text}", "a/b")), b"", b"/\\", b""),
}


def cpu(read: Read, data: bytes) -> float:
    """The least CPU time of a few rounds, in seconds: what disturbs a round only adds."""
    times = []
    for _ in range(3):
        begin = process_time()
        with suppress(PeerError):
            read(data)
        times.append(process_time() - begin)
    return min(times)


@pytest.mark.parametrize("name", HOSTILE)
def test_four_times_the_text_is_no_more_than_four_times_the_work(name: str) -> None:
    read, begin, repeated, end = HOSTILE[name]
    texts = [begin + repeated * (size // len(repeated)) + end for size in (N, 4 * N - 200)]
    cpu(read, texts[0][:100])  # what is only loaded once
    gc.disable()
    try:
        small, large = (cpu(read, each) for each in texts)
    finally:
        gc.enable()
    assert large < max(LINEAR * small, 0.02), (small, large)


@pytest.mark.parametrize("line", [b"M" + b"\r" * 850 + b"!" + b"a" * 100 + b"\n", b"M" + b" \t\r" * 300 + b"!\n"])
def test_a_hostile_preamble_is_no_more_work_than_an_ordinary_one(line: bytes) -> None:
    """The work in a line of 998 octets may not grow with its square either, in whatever pieces it comes."""

    def octet_by_octet(data: bytes) -> None:
        preamble(data, 1)

    ordinary = cpu(octet_by_octet, (b"x" * 900 + b"\n") * 18)
    assert cpu(octet_by_octet, (line * 18)[: 901 * 18]) < 5 * ordinary
