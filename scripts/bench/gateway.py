"""CPU time of a new mTLS 1.3 connection of a known client with one small POST, and of an https delivery.

Beside the daemon: nginx with a proxied POST, if it is installed; the least that Python can do (`bare`); and with
`--against` the daemon of another checkout. The rounds take turns, and the smallest of each counts.
"""

import argparse
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from mtlsd.config.addresses import Backend
from mtlsd.net.client.connections import IdleConnections
from mtlsd.net.client.http import send
from mtlsd.net.client.tls_context import ClientContexts
from mtlsd.relay.request import Credentials
from mtlsd.snapshot.snapshot import Snapshot, load_snapshot
from scripts.bench.figures import Figure, table
from tests.support import pki
from tests.support.daemon import LONG, Tree
from tests.support.pki import CLIENT, SERVER, Issued

HOST = "as2.example.com"
BODY = b"x" * 2048
HEAD = f"POST /as2 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n".encode()
RATIO = 1.7  # to nginx
DELIVERY_MS = 1.0  # with a kept connection
START_SECONDS = 30
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {chain}; ssl_certificate_key {key};
    ssl_client_certificate {root}; ssl_verify_client on; ssl_verify_depth 3; ssl_session_tickets off;
    location / {{ proxy_pass http://127.0.0.1:{behind}; }}
  }}
  server {{ listen 127.0.0.1:{behind}; return 400; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A server, and the address where it takes connections."""

    process: "subprocess.Popen[bytes]"
    address: tuple[str, int]

    def cpu_seconds(self) -> float:
        """User and system time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few connections: does it work at all")
    parser.add_argument("--against", type=Path, help="another checkout, whose daemon is measured in the same run")
    options = parser.parse_args()
    connections, rounds = (20, 2) if options.quick else (200, 4)
    figures = [*new_connections(options.against, connections, rounds), *deliveries(connections // 10, rounds)]
    print(table(figures))
    sys.exit(any(figure.reached is False for figure in figures))


# --- New connections ------------------------------------------------------------------------------------------


def new_connections(against: Path | None, count: int, rounds: int) -> Iterator[Figure]:
    """The CPU time of one connection with its request, of each server."""
    root = pki.root("Bench Root", **LONG)
    client = pki.leaf(pki.intermediate(root, **LONG), "edi.bench.example", eku=(CLIENT,), **LONG)
    with TemporaryDirectory(prefix="mtlsd-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        servers = {"mtlsd": stack.enter_context(_mtlsd(folder / "mtlsd", Path.cwd(), client))}
        if against:
            servers[against.name] = stack.enter_context(_mtlsd(folder / "against", against, client))
        servers["bare"] = stack.enter_context(_bare(folder, root))
        if shutil.which("nginx"):
            servers["nginx"] = stack.enter_context(_nginx(folder, root))
        context = _context(folder, client)
        best = _best(servers, context, count, rounds)
    beside = ", ".join(f"{each} {ms:.2f} ms" for each, ms in best.items() if each != "mtlsd")
    goal, reached = "", None
    if "nginx" in best:
        goal, reached = f"{RATIO} x nginx", best["mtlsd"] <= RATIO * best["nginx"]
    else:
        beside += "; nginx is not installed"
    yield Figure("new connection and a POST of 2 kB, CPU", goal, f"{best['mtlsd']:.2f} ms", beside, reached)


def _best(servers: Mapping[str, Running], context: ssl.SSLContext, count: int, rounds: int) -> dict[str, float]:
    """Milliseconds for one connection, the smallest of all rounds; the first round only warms up."""
    best = dict.fromkeys(servers, float("inf"))
    for number in range(rounds + 1):
        for name, server in servers.items():
            before = server.cpu_seconds()
            for _ in range(count):
                _post(server.address, context)
            spent = (server.cpu_seconds() - before) / count * 1000
            best[name] = min(best[name], spent) if number else best[name]
    return best


def _post(address: tuple[str, int], context: ssl.SSLContext) -> None:
    with (
        socket.create_connection(address, timeout=START_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        secure.sendall(HEAD + BODY)
        answer = secure.recv(65536)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        with suppress(OSError):
            while secure.recv(65536):
                pass


def _context(folder: Path, client: Issued) -> ssl.SSLContext:
    client.write(folder / "client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the servers are ours
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "client" / "chain.pem", folder / "client" / "key.pem")
    return context


@contextmanager
def _mtlsd(folder: Path, checkout: Path, client: Issued) -> Iterator[Running]:
    folder.mkdir()
    tree = Tree(folder)
    tree.add("bench", "BENCH", client)
    command = ["-m", "mtlsd", "run", "--config", str(tree.configuration)]
    with _started(command, checkout, tree.address) as running:
        yield running


@contextmanager
def _bare(folder: Path, root: Issued) -> Iterator[Running]:
    files = _server_files(folder, root)
    address = ("127.0.0.1", _free_port())
    command = ["-m", "scripts.bench.bare", str(address[1]), *map(str, files)]
    with _started(command, Path.cwd(), address) as running:
        yield running


@contextmanager
def _nginx(folder: Path, root: Issued) -> Iterator[Running]:
    chain, key, roots = _server_files(folder, root)
    address, file = ("127.0.0.1", _free_port()), folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=address[1], behind=_free_port(), chain=chain, key=key, root=roots))
    with _started(["-c", str(file)], folder, address, program="nginx") as running:
        yield running


def _server_files(folder: Path, root: Issued) -> tuple[Path, Path, Path]:
    place = folder / "server"
    pki.issue(HOST, eku=(SERVER,), san=(f"dns:{HOST}",), **LONG).write(place)
    (folder / "root.pem").write_bytes(root.pem)
    return place / "chain.pem", place / "key.pem", folder / "root.pem"


@contextmanager
def _started(
    arguments: list[str], checkout: Path, address: tuple[str, int], program: str = sys.executable
) -> Iterator[Running]:
    with subprocess.Popen([program, *arguments], cwd=checkout, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _accepts(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{arguments}: the server did not start")
                time.sleep(0.05)
            yield Running(process, address)
        finally:
            process.kill()


def _accepts(address: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


# --- Deliveries -----------------------------------------------------------------------------------------------


def deliveries(count: int, rounds: int) -> Iterator[Figure]:
    """The CPU time of this process for one https delivery of 2 kB; the server's is another process's."""
    root = pki.root("Bench Backend Root", **LONG)
    server = pki.issue("127.0.0.1", issuer=root, eku=(SERVER,), san=("ip:127.0.0.1",), **LONG)
    with TemporaryDirectory(prefix="mtlsd-bench-") as name:
        tree, pem, port = Tree(Path(name)), Path(name, "backend.pem"), _free_port()
        pem.write_bytes(server.chain_pem + server.key_pem)
        mdn = tree.certs / "partners" / "acme" / "mdn"
        mdn.mkdir()
        (mdn / "root.pem").write_bytes(root.pem)
        snapshot = load_snapshot(tree.configuration, None, time.time())
        command = ["-m", "scripts.bench.https_backend", str(port), str(pem)]
        with _started(command, Path.cwd(), ("127.0.0.1", port)):
            best = trio.run(_delivered, Backend.parse(f"https://127.0.0.1:{port}/in"), snapshot, count, rounds)
    beside = f"new connection {best['reconnected']:.2f} ms, and new context {best['unprepared']:.2f} ms"
    kept = best["kept"]
    yield Figure("https delivery of 2 kB, CPU", f"{DELIVERY_MS} ms", f"{kept:.2f} ms", beside, kept <= DELIVERY_MS)


async def _delivered(backend: Backend, snapshot: Snapshot, count: int, rounds: int) -> dict[str, float]:
    """Milliseconds for one delivery: with everything kept, with a new connection, and with a new context as well."""
    best = dict.fromkeys(("kept", "reconnected", "unprepared"), float("inf"))
    contexts, connections = ClientContexts(), IdleConnections()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connections.run)
        for number in range(rounds + 1):
            for name in best:
                before = time.process_time()
                for _ in range(count):
                    made = ClientContexts() if name == "unprepared" else contexts
                    await _deliver(backend, snapshot, made, connections if name == "kept" else None)
                spent = (time.process_time() - before) / count * 1000
                best[name] = min(best[name], spent) if number else best[name]
        nursery.cancel_scope.cancel()
    return best


async def _deliver(
    backend: Backend, snapshot: Snapshot, contexts: ClientContexts, connections: IdleConnections | None
) -> None:
    context = await contexts.get(Credentials(HOST, "acme"), snapshot, datetime.now(UTC))
    fields = [("Content-Length", str(len(BODY)))]
    answer = await send(
        backend, "POST", fields, [BODY], timeout=START_SECONDS, context=context, connections=connections
    )
    assert answer.status == 200, answer


if __name__ == "__main__":
    main()
