"""What systemd sees of the daemon: ready, reloading, alive, stopping, and exit codes that say whether to try again."""

import configparser
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mtlsd.config.model import Limits
from tests.support import pki

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "scripts" / "mtlsd.service"
HOST = "as2.example.com"
PATIENCE = 20  # seconds that a slow machine may take for anything here
EXIT_CONFIGURATION = 78
DOCUMENT = b"UNB+UNOA:1+ACME+EXAMPLE+261121:1200+1'"


@dataclass
class Daemon:
    """A running mtlsd, and what it tells its service manager."""

    process: subprocess.Popen[bytes]
    notifications: socket.socket
    port: int
    folder: Path
    told: list[dict[str, str]] = field(default_factory=list)

    def next_told(self) -> dict[str, str]:
        """The next notification, as its assignments."""
        datagram = self.notifications.recv(4096).decode()
        return dict(line.split("=", 1) for line in datagram.splitlines())

    def told_next(self, name: str) -> dict[str, str]:
        """The next notification with this name; those before it are kept in `told`."""
        while name not in (state := self.next_told()):
            self.told.append(state)
        return state

    def told_nothing(self) -> bool:
        self.notifications.setblocking(False)
        try:
            self.notifications.recv(4096)
        except BlockingIOError:
            return True
        return False

    def ends(self) -> int:
        return self.process.wait(PATIENCE)

    def connect(self) -> ssl.SSLSocket:
        """A connection as the partner, whose handshake is complete."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / "acme.pem", self.folder / "acme.key")
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return context.wrap_socket(plain, server_hostname=HOST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with one host, one organization and one partner, who need not sign."""
    today = datetime.now(UTC)
    dates: dict[str, Any] = {"start": today - pki.DAY, "end": today + pki.DAY}
    ca = pki.root(**dates)
    host = pki.leaf(ca, HOST, eku=(pki.SERVER,), san=(f"dns:{HOST}",), **dates)
    host.write(tmp_path / "certs" / "hosts" / HOST)
    pki.self_signed("EXAMPLE", **dates).write(tmp_path / "certs" / "organizations" / "EXAMPLE", "cert.pem")
    acme = pki.self_signed("edi.acme.example", **dates)
    acme.write(tmp_path, "acme.pem", "acme.key")
    acme.write(tmp_path / "certs" / "partners" / "acme", "acme.crt", "unused")
    (tmp_path / "certs" / "partners" / "acme" / "unused").unlink()
    (tmp_path / "certs" / "partners" / "acme" / "partner.toml").write_text('as2_id = "ACME"\nrequire = []\n')
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    configure(tmp_path, free_port())
    return tmp_path


def configure(folder: Path, port: int, extra: str = "", name: str = "virtualhosts.toml") -> None:
    server = "" if "[server]" in extra else 'server.admin = "127.0.0.1:0"\n'
    (folder / name).write_text(
        f'{server}[[virtualhost]]\nname = "{HOST}"\nlisten = "127.0.0.1:{port}"\n'
        '[[virtualhost.route]]\npath = "/as2"\nhandler = "as2"\norganization = "EXAMPLE"\n'
        f'backend = "http://127.0.0.1:{free_port()}/inbound"\n{extra}'
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, name: str = "virtualhosts.toml", **environment: str) -> Iterator[Daemon]:
    """The daemon, from its start until the test is done with it."""
    file, address = folder / name, folder / f"{name}.notify"
    port = int(re.findall(r"listen = .*:(\d+)", file.read_text())[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications, (folder / "log").open("ab") as log:
        notifications.bind(str(address))
        notifications.settimeout(PATIENCE)
        command = [sys.executable, "-m", "mtlsd", "run", "--config", str(file)]
        inherited = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        variables = {**inherited, "NOTIFY_SOCKET": str(address), **environment}
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield Daemon(process, notifications, port, folder)
        finally:
            process.kill()
            process.wait()


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()


def request(*fields: str) -> bytes:
    head = ["POST /as2 HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(DOCUMENT)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


AS2_FIELDS = ("AS2-From: ACME", "AS2-To: EXAMPLE", "Message-ID: <1@acme.example>", "Content-Type: application/edifact")


def test_ready_is_said_when_the_listener_accepts(folder: Path) -> None:
    with running(folder) as daemon:
        state = daemon.next_told()
        assert state["READY"] == "1"
        assert state["STATUS"] == "1 hosts, 1 partners"
        with daemon.connect() as connection:
            assert connection.version() == "TLSv1.3"


def test_the_watchdog_hears_of_us_twice_in_its_time(folder: Path) -> None:
    with running(folder, WATCHDOG_USEC="400000") as daemon:
        daemon.told_next("WATCHDOG")
        before = time.monotonic()
        for _ in range(4):
            daemon.told_next("WATCHDOG")
        assert time.monotonic() - before < PATIENCE
        assert {"READY"} <= {name for state in daemon.told for name in state}


def test_the_watchdog_of_another_process_is_not_ours(folder: Path) -> None:
    with running(folder, WATCHDOG_USEC="1000", WATCHDOG_PID="1") as daemon:
        daemon.told_next("READY")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.told_next("STOPPING")
        assert daemon.ends() == 0
        assert not any("WATCHDOG" in state for state in daemon.told)


def test_a_reload_is_told_with_its_time_and_ends_with_ready(folder: Path) -> None:
    with running(folder) as daemon:
        daemon.told_next("READY")
        before = microseconds()
        daemon.process.send_signal(signal.SIGHUP)
        state = daemon.next_told()
        assert state["RELOADING"] == "1"
        assert before <= int(state["MONOTONIC_USEC"]) <= microseconds()
        assert daemon.next_told()["READY"] == "1"


def test_a_reload_of_a_broken_file_ends_with_ready_and_serves_on(folder: Path) -> None:
    with running(folder) as daemon:
        daemon.told_next("READY")
        (folder / "virtualhosts.toml").write_text("[serve]\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.told_next("RELOADING")
        assert daemon.told_next("READY")["STATUS"] == "1 hosts, 1 partners"
        daemon.connect().close()
        assert "reload_failed" in log_of(folder)


def test_stopping_is_told_and_an_open_exchange_is_finished(folder: Path) -> None:
    with running(folder) as daemon:
        daemon.told_next("READY")
        with daemon.connect() as connection:
            connection.sendall(request(*AS2_FIELDS, "Expect: 100-continue"))
            assert connection.recv(4096).startswith(b"HTTP/1.1 100")
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.told_next("STOPPING") == {"STOPPING": "1"}
            connection.sendall(DOCUMENT)
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b"Connection: close" in answer
        assert daemon.ends() == 0


def test_an_idle_connection_does_not_hold_a_stop_up(folder: Path) -> None:
    configure(folder, free_port(), "[limits]\nshutdown_seconds = 3600\nidle_seconds = 3600\n")
    with running(folder) as daemon:
        daemon.told_next("READY")
        with daemon.connect() as connection:
            connection.sendall(b"HEAD /as2 HTTP/1.1\r\nHost: as2.example.com\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            daemon.process.send_signal(signal.SIGTERM)
            assert connection.recv(4096) == b""
        assert daemon.ends() == 0


def test_an_exchange_that_stalls_is_cut_off_at_the_deadline(folder: Path) -> None:
    configure(folder, free_port(), "[limits]\nshutdown_seconds = 1\n")
    with running(folder) as daemon:
        daemon.told_next("READY")
        with daemon.connect() as connection:
            connection.sendall(request(*AS2_FIELDS, "Expect: 100-continue"))
            assert connection.recv(4096).startswith(b"HTTP/1.1 100")
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.ends() == 0


def test_a_mistake_in_the_configuration_is_said_with_its_line_and_is_not_to_be_tried_again(folder: Path) -> None:
    configure(folder, free_port(), "[limits]\nidle_secs = 5\n")
    with running(folder) as daemon:
        assert daemon.ends() == EXIT_CONFIGURATION
        assert daemon.told_nothing()
    assert re.search(rf"{folder}/virtualhosts\.toml:\d+: limits\.idle_secs: unknown key", log_of(folder))


def test_a_port_in_use_is_said_and_never_ready(folder: Path) -> None:
    with running(folder) as first:
        first.told_next("READY")
        configure(folder, first.port, '[server]\nadmin = "127.0.0.1:0"\nstate = "other"\n', name="second.toml")
        with running(folder, "second.toml") as second:
            assert second.ends() == EXIT_CONFIGURATION
            assert second.told_nothing()
        assert f"cannot listen on 127.0.0.1:{first.port}: another program listens there" in log_of(folder)
        first.connect().close()


def test_keys_may_be_credentials(folder: Path) -> None:
    credentials = folder / "credentials"
    credentials.mkdir()
    (folder / "certs" / "hosts" / HOST / "key.pem").rename(credentials / f"host.{HOST}.key")
    (folder / "certs" / "organizations" / "EXAMPLE" / "key.pem").rename(credentials / "organization.EXAMPLE.key")
    with running(folder, CREDENTIALS_DIRECTORY=str(credentials)) as daemon:
        daemon.told_next("READY")
        daemon.connect().close()


def microseconds() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


# --- The unit file ----------------------------------------------------------------------------------------------------

SETTINGS = {
    "Type": "notify",
    "ExecStart": "/opt/mtlsd/.venv/bin/mtlsd run --config /etc/mtlsd/virtualhosts.toml",
    "ExecReload": "/bin/kill -HUP $MAINPID",
    "Restart": "on-failure",
    "RestartPreventExitStatus": str(EXIT_CONFIGURATION),
    "StateDirectory": "mtlsd",
    "StateDirectoryMode": "0700",
    "ConfigurationDirectory": "mtlsd",
    "UMask": "0077",
    "LimitCORE": "0",
    "CapabilityBoundingSet": "CAP_NET_BIND_SERVICE",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "MemoryDenyWriteExecute": "no",
}


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.parametrize(("key", "value"), SETTINGS.items())
def test_the_unit_says(key: str, value: str) -> None:
    assert unit()[key] == value


def test_the_unit_gives_us_longer_to_stop_than_we_take() -> None:
    assert int(unit()["TimeoutStopSec"]) > Limits().shutdown_seconds


def test_the_unit_has_room_for_every_connection() -> None:
    assert int(unit()["LimitNOFILE"]) > 4 * Limits().max_connections  # a socket, and the files of an exchange


def test_the_unit_shows_how_keys_become_credentials() -> None:
    text = UNIT.read_text()
    assert f"#LoadCredential=host.{HOST}.key:" in text
    assert "#LoadCredential=organization.EXAMPLE.key:" in text
