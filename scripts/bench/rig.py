"""What the benchmarks share: a daemon in a folder of its own, certificates, messages, and what the daemon uses."""

import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOST = "as2.example.com"
CONFIGURATION = """
[server]
state = "state"
certs = "certs"
admin = "127.0.0.1:0"

[delivery]
concurrency = 1

[[virtualhost]]
name = "as2.example.com"
listen = "127.0.0.1:{port}"

[[virtualhost.route]]
path = "/as2"
handler = "as2"
organization = "EXAMPLE"
backend = "http://127.0.0.1:{backend}/inbound"
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A self-signed certificate and its key, in memory and as files."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    chain_file: Path
    key_file: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def make_pair(folder: Path, name: str, chain: str = "cert.pem") -> Pair:
    """A pair in `folder`, RSA-2048."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.lower())]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pair = Pair(certificate, key, folder / chain, folder / "key.pem")
    pair.chain_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key_file.touch(mode=0o600)
    pair.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair


def make_partner(folder: Path, name: str) -> Pair:
    """A pair, and its public half as a partner in `folder/certs/partners`."""
    pair = make_pair(folder / name.lower(), name)
    directory = folder / "certs" / "partners" / name.lower()
    directory.mkdir(parents=True)
    (directory / "partner.toml").write_text(f'as2_id = "{name}"\n')
    (directory / "public.pem").write_bytes(pair.chain_file.read_bytes())
    return pair


@dataclass(frozen=True, slots=True)
class Rig:
    """A running daemon, one partner's keys, and our AS2 certificate."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int
    partner: Pair
    organization: Pair

    def cpu_seconds(self) -> float:
        """User and system time that the daemon has used, in all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def thread_seconds(self) -> dict[int, float]:
        """What each thread of the daemon has used, by its id; the main thread's is the process's."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}

    def memory(self, field: str) -> int:
        """`VmRSS` or `VmHWM`, in octets."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise KeyError(field)

    def connect(self) -> http.client.HTTPSConnection:
        """A connection with the partner's certificate."""
        context = ssl.create_default_context(cafile=str(self.folder / "certs" / "hosts" / HOST / "chain.pem"))
        context.load_cert_chain(self.partner.chain_file, self.partner.key_file)
        connection = _Connection(HOST, self.port, context=context, timeout=600)
        connection.connect()
        return connection


class _Connection(http.client.HTTPSConnection):
    """Connects to loopback, whatever the host's name."""

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]
        self.sock = context.wrap_socket(plain, server_hostname=self.host)


@contextmanager
def running(*under: str, configuration: str = CONFIGURATION) -> Iterator[Rig]:
    """A daemon with one host, one partner, and a backend that accepts connections and never answers.

    `under` are arguments of Python that come before the program's, such as those of a profiler.
    """
    with TemporaryDirectory(prefix="mtlsd-bench-") as name, _silent_backend() as backend:
        folder = Path(name)
        make_pair(folder / "certs" / "hosts" / HOST, HOST, chain="chain.pem")
        organization = make_pair(folder / "certs" / "organizations" / "EXAMPLE", "EXAMPLE")
        partner = make_partner(folder, "ACME")
        port = _free_port()
        (folder / "virtualhosts.toml").write_text(configuration.format(port=port, backend=backend))
        with _daemon(folder, under) as process:
            yield Rig(process, folder, port, partner, organization)


@contextmanager
def _daemon(folder: Path, under: tuple[str, ...]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, *under, "-m", "mtlsd", "run", "--config", str(folder / "virtualhosts.toml")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait_for_start(folder / "log", process)
            yield process
        finally:
            process.kill()


def _wait_for_start(log: Path, process: "subprocess.Popen[bytes]") -> None:
    while '"started"' not in log.read_text():
        if process.poll() is not None:
            sys.exit(f"the daemon did not start:\n{log.read_text()}")
        time.sleep(0.02)


@contextmanager
def _silent_backend() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
