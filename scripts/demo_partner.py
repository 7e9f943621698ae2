"""A trading partner of the demo: it connects over TLS, sends AS2 messages, and checks the receipts it gets."""

import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path

from mtlsd.as2.mdn.pyas2 import ReceivedMDN, read_mdn
from mtlsd.as2.outbound.compose import BuiltMessage, compose
from mtlsd.as2.outbound.draft import Compression, Draft, DraftDocument, Encryption, Signing
from mtlsd.errors import AS2SignatureBad
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.reader import read_certificates
from mtlsd.pki.key_pair import KeyPair, load_key_pair

Headers = Sequence[tuple[str, str]]

TIMEOUT_SECONDS = 10
LOOPBACK = "127.0.0.1"
ORDER = """UNA:+.? '
UNB+UNOC:3+{sender}+{receiver}+261121:0930+{number}'
UNH+1+ORDERS:D:96A:UN'
BGM+220+{number}+9'
DTM+137:20261121:102'
LIN+1++PUMP-80:SA'
QTY+21:12'
UNS+S'
UNT+7+1'
UNZ+1+{number}'
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    status: int
    reason_phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        return f"HTTP/1.1 {self.status} {self.reason_phrase}"

    def get(self, name: str) -> str:
        """The value of a field, or an empty string."""
        return next((value for each, value in self.headers if each.lower() == name.lower()), "")


class Connection(HTTPConnection):
    """HTTPS to a host by its name, at the loopback address; never reconnects automatically."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._context = context
        self.connect()
        self.auto_open = 0

    def connect(self) -> None:
        plain = socket.create_connection((LOOPBACK, self.port), TIMEOUT_SECONDS)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)

    @property
    def local_port(self) -> int:
        """Our port, which identifies the connection."""
        port: int = self.sock.getsockname()[1]
        return port

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Headers = ()) -> Answer:
        """One request and its answer."""
        self.request(method, path, body, dict(headers))
        response = self.getresponse()
        return Answer(response.status, response.reason, tuple(response.getheaders()), response.read())


@dataclass(frozen=True)
class Partner:
    """A company with the keys in its folder (see scripts/dev-certs), and our certificates and AS2 id."""

    as2_id: str
    folder: Path
    server_ca: Path
    receiver_as2_id: str
    receiver_certificate: Path

    def connect(self, host: str, port: int, *, with_certificate: bool = True) -> Connection:
        context = ssl.create_default_context(cafile=str(self.server_ca))
        if with_certificate:
            context.load_cert_chain(self.folder / "tls-cert.pem", self.folder / "tls-key.pem")
        return Connection(host, port, context)

    def order(self, number: int) -> bytes:
        """An EDIFACT document."""
        text = ORDER.format(sender=self.as2_id, receiver=self.receiver_as2_id, number=number)
        return text.replace("\n", "\r\n").encode("ascii")

    def message(self, number: int, *, sign: bool = True) -> BuiltMessage:
        """The order as an AS2 message that requests a signed MDN; without `sign` it is only compressed."""
        document = DraftDocument(self.order(number), "application/edifact", f"order-{number}.edi")
        draft = Draft(
            as2_from=self.as2_id,
            as2_to=self.receiver_as2_id,
            message_id=f"<order-{number}@{self.as2_id.lower()}.example>",
            subject=f"Order {number}",
            documents=(document,),
            signing=Signing(self._pair) if sign else None,
            compression=Compression.BEFORE,
            encryption=Encryption(self._receiver) if sign else None,
        )
        return compose(draft, now=time.time())

    def read_receipt(self, answer: Answer, message: BuiltMessage) -> ReceivedMDN:
        """Check the receipt's signature with openssl, then read it. Raises AS2SignatureBad or MDNUnreadable."""
        message_id = dict(message.headers)["Message-ID"]
        return read_mdn(
            answer.headers, answer.body, verify=self._verify, message_id=message_id, mic=message.mic("sha256")
        )

    @cached_property
    def _pair(self) -> KeyPair:
        return load_key_pair(self.folder / "as2-cert.pem", self.folder / "as2-key.pem").key_pair

    @cached_property
    def _receiver(self) -> Certificate:
        return read_certificates(self.receiver_certificate.read_bytes())[0]

    def _verify(self, headers: Headers, body: bytes) -> bytes:
        """Run `openssl cms -verify` with the only certificate that may sign the receipt."""
        content_type = next(value for name, value in headers if name.lower() == "content-type")
        entity = b"MIME-Version: 1.0\r\nContent-Type: %b\r\n\r\n%b" % (content_type.encode("ascii"), body)
        pinned = ["-noverify", "-nointern", "-certfile", str(self.receiver_certificate)]
        command = ["openssl", "cms", "-verify", "-inform", "SMIME", *pinned]
        done = subprocess.run(command, input=entity, capture_output=True, check=False)
        if done.returncode:
            raise AS2SignatureBad(done.stderr.decode(errors="replace"))
        return done.stdout
