"""Attackers for scripts/bench/fairness: processes that do one costly thing over many connections."""

import os
import random
import signal
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from scripts.bench.rig import HOST, Pair

ZLIB = bytes.fromhex("060b2a864886f70d0109100308")  # the object identifiers of RFC 3274, in DER
COMPRESSED_DATA = bytes.fromhex("060b2a864886f70d0109100109")
DATA = bytes.fromhex("06092a864886f70d010701")
SIGNED = 'multipart/signed; boundary=b; protocol="application/pkcs7-signature"; micalg=sha-256'
SIGNED_HEAD = f"Content-Type: {SIGNED}\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n".encode()
PIECE = 16 * 1024
BLOCK = 60_000
NICENESS = 15  # the attackers' own work must not slow down the healthy client on the same machine


@dataclass(frozen=True, slots=True)
class Attack:
    """What each connection sends, again and again: a header, then a body in the form that costs most."""

    name: str
    connections: int
    content_type: str
    body: bytes
    framing: str = "length"  # "length", "chunks" of one octet, or "records" of one octet
    pair: Pair | None = None  # of the partner that attacks; None: nobody
    as2_from: str = "ACME"
    address: str = "127.0.0.2"


def bomb(size: int, ratio: int) -> bytes:
    """CompressedData of `size` octets that holds a signed multipart, which `ratio` times as many octets unfold to."""
    source = random.Random(1)
    noise = BLOCK // ratio - BLOCK // 900  # the rest of a block is the same octet, which deflate packs a thousandfold
    squeeze = zlib.compressobj(9)
    content, made = squeeze.compress(SIGNED_HEAD), 0
    while made < size:
        block = source.randbytes(noise).ljust(BLOCK, b"a")
        piece = squeeze.compress(block) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        content, made = content + piece, made + len(piece)
    return compressed_data(_der(0x04, content + squeeze.flush()))


def segments(size: int) -> bytes:
    """CompressedData in BER whose OCTET STRING has `size` segments of one octet."""
    content = zlib.compress(SIGNED_HEAD + random.Random(1).randbytes(size))[:size]
    return compressed_data(b"".join(b"\x04\x01%c" % octet for octet in content))


def compressed_data(content: bytes) -> bytes:
    """The CompressedData of RFC 3274 around these segments of its content."""
    octets = _der(0x24, content)
    inner = _der(0x30, _der(0x02, b"\0"), _der(0x30, ZLIB), _der(0x30, DATA, _der(0xA0, octets)))
    return _der(0x30, COMPRESSED_DATA, _der(0xA0, inner))


def _der(tag: int, *values: bytes) -> bytes:
    value = b"".join(values)
    length = len(value).to_bytes(8, "big").lstrip(b"\0") or b"\0"
    return bytes([tag]) + (bytes([0x80 | len(length)]) + length if len(value) > 127 else length) + value


@contextmanager
def under(attack: Attack | None, port: int) -> Iterator[None]:
    """Attack in a process of its own while the block runs."""
    if attack is None:
        yield
        return
    child = os.fork()
    if not child:
        os.nice(NICENESS)
        with suppress(BaseException):
            _attack(attack, port)
        os._exit(0)
    try:
        time.sleep(2)  # until all connections are at work
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _attack(attack: Attack, port: int) -> None:
    threads = [threading.Thread(target=_keep_on, args=(attack, port)) for _ in range(attack.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _keep_on(attack: Attack, port: int) -> None:
    while True:
        with suppress(OSError, ssl.SSLError):
            _once(attack, port)


def _once(attack: Attack, port: int) -> None:
    """Send one body, all but its end, so that it neither succeeds nor fails; then begin again."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if attack.pair:
        context.load_cert_chain(attack.pair.chain_file, attack.pair.key_file)
    address = (attack.address, 0)
    with socket.create_connection(("127.0.0.1", port), 60, source_address=address) as plain:
        _Tunnel(plain, context).send_all(attack)


class _Tunnel:
    """TLS whose records are as small as asked for."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._plain.recv(PIECE)
                if not data:
                    raise OSError("closed") from None
                self._incoming.write(data)
            else:
                self._flush()
                return

    def send_all(self, attack: Attack) -> None:
        length = "Transfer-Encoding: chunked" if attack.framing == "chunks" else f"Content-Length: {1 << 30}"
        self._write(
            f"POST /as2 HTTP/1.1\r\nHost: {HOST}\r\nAS2-From: {attack.as2_from}\r\nAS2-To: EXAMPLE\r\n"
            f"Message-ID: <{time.time_ns()}@bench.example>\r\nContent-Type: {attack.content_type}\r\n"
            f"AS2-Version: 1.2\r\n{length}\r\n\r\n".encode()
        )
        for start in range(0, len(attack.body), PIECE):
            piece = attack.body[start : start + PIECE]
            if attack.framing == "chunks":
                self._write(b"".join(b"1\r\n%c\r\n" % octet for octet in piece))
            elif attack.framing == "records":
                for octet in piece:
                    self._tls.write(bytes([octet]))
                self._flush()
            else:
                self._write(piece)

    def _write(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._plain.sendall(data)
