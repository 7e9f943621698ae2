"""A client over real sockets: TLS by the standard library, HTTP by hand, so that every octet can be looked at."""

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from OpenSSL import SSL

from tests.support.pki import Issued

TIMEOUT = 15  # seconds; only a failing test waits so long
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = (TLS_1_2, TLS_1_3)
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response as it came."""

    raw: bytes
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for each, value in self.fields if each.lower() == name.lower()), None)

    @property
    def reason(self) -> str | None:
        return self.get("Mtlsd-Reason")

    @property
    def closes(self) -> bool:
        return self.get("Connection") == "close"


def context(issued: Issued | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's settings: a certificate with its chain or none, one TLS version or both."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_ciphers("DEFAULT:@SECLEVEL=0")  # weak client keys are for the server to refuse
    if version:
        made.minimum_version = made.maximum_version = version
    if issued:
        with TemporaryDirectory() as name:
            pem = Path(name, "pair.pem")
            pem.write_bytes(issued.chain_pem + issued.key_pem)
            made.load_cert_chain(pem)
    return made


class Client:
    """One connection. `stream` is the socket, with or without TLS."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def request(self, data: bytes, *, head: bool = False) -> Answer:
        """Send a request and read its answer, leaving the connection open."""
        self.send(data)
        return self.answer(head=head)

    def answer(self, *, head: bool = False) -> Answer:
        """Read one answer; one without a length goes on to the end."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        header, _, self._rest = self._rest.partition(b"\r\n\r\n")
        start, *lines = header.decode("latin-1").split("\r\n")
        fields = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
        length = next((int(value) for name, value in fields if name.lower() == "content-length"), 0)
        length = 0 if head else length
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(header + b"\r\n\r\n" + body, int(start.split(" ")[1]), fields, body)

    def rest(self) -> bytes:
        """Everything up to the end of the connection; raises ssl.SSLEOFError where no close_notify came."""
        gathered = [self._rest]
        while data := self.stream.recv(65536):
            gathered.append(data)
        return b"".join(gathered)

    def is_closed(self) -> bool:
        """Wait for the end: whether it came properly, and nothing before it."""
        return self.rest() == b""

    def close(self) -> None:
        self.stream.close()

    def _more(self) -> None:
        data = self.stream.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {self._rest!r}")
        self._rest += data


def connect(address: tuple[str, int], *, source: str | None = None) -> socket.socket:
    """A TCP connection; `source` is the address to come from."""
    stream = socket.create_connection(address, TIMEOUT, (source, 0) if source else None)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def secure(stream: socket.socket, settings: ssl.SSLContext, sni: str | None) -> ssl.SSLSocket:
    """TLS over a connected socket; an end without close_notify is an error."""
    return settings.wrap_socket(stream, server_hostname=sni, suppress_ragged_eofs=False)


@contextmanager
def opened(
    address: tuple[str, int],
    issued: Issued | None = None,
    *,
    sni: str | None = "as2.example.com",
    version: ssl.TLSVersion | None = None,
    settings: ssl.SSLContext | None = None,
    source: str | None = None,
) -> Iterator[Client]:
    """A TLS connection to a daemon, closed in the end."""
    tcp = connect(address, source=source)
    with tcp, secure(tcp, settings or context(issued, version), sni) as stream:
        yield Client(stream)


@contextmanager
def opened_by_pyopenssl(address: tuple[str, int], version: ssl.TLSVersion) -> Iterator[SSL.Connection]:
    """A TLS connection without a certificate, by a library that shows more than the standard one; handshake done."""
    settings = SSL.Context(SSL.TLS_CLIENT_METHOD)
    settings.set_min_proto_version(version)
    settings.set_max_proto_version(version)
    with connect(address) as tcp:
        tcp.settimeout(None)  # with Python's own timeout, the library would see a socket that does not block
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", TIMEOUT, 0))
        connection = SSL.Connection(settings, tcp)
        connection.set_tlsext_host_name(b"as2.example.com")
        connection.set_connect_state()
        connection.do_handshake()
        yield connection


def request(
    method: str = "POST",
    path: str = "/as2",
    fields: Headers = (),
    body: bytes = b"",
    *,
    host: str | None = "as2.example.com",
    version: str = "1.1",
    length: bool = True,
) -> bytes:
    """A request with Host and Content-Length, unless they are left out."""
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"{name}: {value}" for name, value in fields]
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 1000, *, after_size: bytes = b"") -> bytes:
    """The body in chunks; `after_size` stands behind the size of each."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), after_size, piece) for piece in pieces) + b"0\r\n\r\n"
