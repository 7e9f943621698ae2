"""What a client reads that is turned away: nginx's own octets but for the name in the foot, and our reason.

What nginx sends was measured; the page below is its page. Ours has one line more, a comment, and the fields
Mtlsd-Request-Id and Mtlsd-Reason.
"""

import json
import re
import ssl

import pytest

from tests.support.client import TLS_1_2, TLS_1_3, VERSIONS, Answer, Client, connect, opened, request
from tests.support.client import context as tls_context
from tests.support.daemon import Daemon, acme, authority, certificate

PAGE = (
    "<html>\r\n<head><title>400 {0}</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n"
    "<center>{0}</center>\r\n<hr><center>mtlsd</center>\r\n</body>\r\n</html>\r\n"
)
MISDIRECTED = (
    "<html>\r\n<head><title>421 Misdirected Request</title></head>\r\n<body>\r\n"
    "<center><h1>421 Misdirected Request</h1></center>\r\n<hr><center>mtlsd</center>\r\n</body>\r\n</html>\r\n"
)
HEADER = (
    r"HTTP/1\.1 {status}\r\nServer: mtlsd\r\nDate: \w{{3}}, \d\d \w{{3}} \d{{4}} \d\d:\d\d:\d\d GMT\r\n"
    r"Content-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n"
    r"Mtlsd-Request-Id: [0-9a-f-]{{36}}\r\nMtlsd-Reason: {reason}\r\n\r\n"
)
# What is below nginx's lines.
HELP = re.compile(
    r"<p>\w+: [^<>]+</p>\r\n"
    r'(?:<p>What we saw of your certificate: <a href="(/[a-z/.-]+)">\1</a></p>\r\n)?'
    r"<p>Request [0-9a-f-]{36}</p>\r\n"
)
NO_CERTIFICATE = PAGE.format("No required SSL certificate was sent")
BAD_CERTIFICATE = PAGE.format("The SSL certificate error")
PLAIN_HTTP = PAGE.format("The plain HTTP request was sent to HTTPS port")
STRANGER = certificate(authority("Nobody's Root"), "stranger.example")


def check(answer: Answer, status: str, reason: str, page: str, *, head: bool = False) -> None:
    """Compare the octets of an answer with nginx's."""
    header, body = answer.raw[: answer.raw.index(b"\r\n\r\n") + 4], answer.body.decode("ascii")
    length = answer.get("Content-Length")
    assert re.fullmatch(HEADER.format(status=status, length=length, reason=reason), header.decode("ascii"))
    if head:
        assert body == ""
        return
    assert len(answer.body) == int(length or 0)
    assert HELP.sub("", body) == page
    assert len(HELP.findall(body)) == 1
    assert f"<p>{reason}: " in body
    assert f"<p>Request {answer.get('Mtlsd-Request-Id')}</p>" in body
    names_whoami = reason in ("client_cert_missing", "cert_untrusted_issuer", "cert_known_other_host")
    assert ('href="/.well-known/mtlsd/whoami"' in body) is names_whoami


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["POST", "HEAD", "GET"])
def test_a_missing_certificate(daemon: Daemon, version: ssl.TLSVersion, method: str) -> None:
    with opened(daemon.address, version=version) as client:
        answer = client.request(request(method), head=method == "HEAD")
        check(answer, "400 Bad Request", "client_cert_missing", NO_CERTIFICATE, head=method == "HEAD")
        assert client.is_closed()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_certificate_over_http_1_0(daemon: Daemon, version: ssl.TLSVersion) -> None:
    with opened(daemon.address, version=version) as client:
        answer = client.request(request(version="1.0"))
        assert answer.raw.startswith(b"HTTP/1.1 400 Bad Request\r\nServer: mtlsd\r\n")
        assert HELP.sub("", answer.body.decode()) == NO_CERTIFICATE
        assert answer.closes
        assert client.is_closed()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", ["as2.example.com", "maybe.example.com"])
def test_a_bad_certificate(daemon: Daemon, version: ssl.TLSVersion, host: str) -> None:
    with opened(daemon.address, STRANGER, version=version, sni=host) as client:
        answer = client.request(request(host=host))
        check(answer, "400 Bad Request", "cert_untrusted_issuer", BAD_CERTIFICATE)
        assert client.is_closed()


@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_plain_http_on_the_tls_port(daemon: Daemon, method: str) -> None:
    with connect(daemon.address) as tcp:
        client = Client(tcp)
        answer = client.request(request(method))
        check(answer, "400 Bad Request", "tls_plain_http_on_tls_port", PLAIN_HTTP)
        assert client.is_closed()


@pytest.mark.parametrize("version", VERSIONS)
def test_another_host(daemon: Daemon, version: ssl.TLSVersion) -> None:
    with opened(daemon.address, acme(), version=version) as client:
        answer = client.request(request(host="drop.example.com"))
        check(answer, "421 Misdirected Request", "sni_host_mismatch", MISDIRECTED)
        assert client.is_closed()


def test_the_lengths_are_nginx_s_but_for_the_name_in_the_foot() -> None:
    longer = len("nginx") - len("mtlsd")
    pages = (NO_CERTIFICATE, BAD_CERTIFICATE, PLAIN_HTTP)
    assert [len(page) - longer for page in pages] == [230, 208, 248]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_answer_is_read_although_much_is_still_being_sent(daemon: Daemon, version: ssl.TLSVersion) -> None:
    for _ in range(10):
        with opened(daemon.address, version=version) as client:
            answer = client.request(request(body=bytes(8 << 20)))
            assert answer.status == 400
            assert answer.reason == "client_cert_missing"
            assert client.is_closed()


def test_plain_http_that_sends_much_reads_its_answer(daemon: Daemon) -> None:
    with connect(daemon.address) as tcp:
        client = Client(tcp)
        assert client.request(request(body=bytes(8 << 20))).status == 400
        assert client.is_closed()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_waits_for_100_gets_the_final_status_at_once(daemon: Daemon, version: ssl.TLSVersion) -> None:
    head = request(fields=[("Expect", "100-continue"), ("Content-Length", "1000")], length=False)
    with opened(daemon.address, version=version) as client:
        assert client.request(head).status == 400
        assert client.is_closed()


def test_a_second_request_behind_a_refused_one_is_not_answered(daemon: Daemon) -> None:
    with opened(daemon.address) as client:
        assert client.request(request("HEAD") + request("HEAD"), head=True).status == 400
        assert client.rest() == b""


@pytest.mark.parametrize("sni", [None, "as2.example.com"])
def test_a_client_that_asks_for_json_gets_a_problem(daemon: Daemon, sni: str | None) -> None:
    with opened(daemon.address, sni=sni) as client:
        answer = client.request(request(fields=[("Accept", "application/json")]))
    problem = json.loads(answer.body)
    assert answer.get("Content-Type") == "application/problem+json"
    assert problem["status"] == answer.status == 400
    assert problem["reason"] == answer.reason == "client_cert_missing"
    assert problem["request_id"] == answer.get("Mtlsd-Request-Id")


def test_a_refusal_names_no_partner_no_path_and_no_backend(daemon: Daemon) -> None:
    for issued in (None, STRANGER):
        with opened(daemon.address, issued) as client:
            text = client.request(request()).raw.decode().lower()
        assert not [word for word in ("acme", "globex", str(daemon.tree.root), "127.0.0.1") if word in text]


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 100, b"\xff\xfe" * 9, b"\x16\x03\x01\x40\x00" + b"x" * 900, b"\x80\x2e\x01"]
)
def test_garbage_ends_the_connection(daemon: Daemon, garbage: bytes) -> None:
    with connect(daemon.address) as tcp:
        tcp.sendall(garbage)
        tcp.shutdown(1)
        assert b"HTTP" not in Client(tcp).rest()


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_the_operators_read_who_was_turned_away(daemon: Daemon, version: ssl.TLSVersion) -> None:
    with opened(daemon.address, settings=tls_context(STRANGER, version)) as client:
        answer = client.request(request())
    line = daemon.wait_for("exchange_finished", request_id=answer.get("Mtlsd-Request-Id"))
    leaf = STRANGER.certificate
    assert line["level"] == "warning"
    assert line["reason"] == "cert_untrusted_issuer"
    assert line["subject"] == leaf.subject
    assert line["issuer"] == leaf.issuer
    assert line["sha256"] == leaf.sha256
    assert line["sni"] == "as2.example.com"
    assert {"serial", "client", "tls", "host"} <= line.keys()
