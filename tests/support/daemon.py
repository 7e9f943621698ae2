"""A whole daemon for the tests: its tree of files, and the process, whose log is read as it comes.

Each tree has a loopback address of its own, so that daemons never disturb each other.
"""

import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from mtlsd.journal.spool import TRIAL
from mtlsd.pki.key_pair import KeyPair
from tests.support import messages, pki
from tests.support.forked import starting
from tests.support.pki import CLIENT, SERVER, Issued

TIMEOUT = 20  # seconds; only a failing test waits so long
LONG: dict[str, Any] = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2099, 1, 1, tzinfo=UTC)}
COMMAND = (sys.executable, "-m", "mtlsd", "run", "--config")
HOSTS = {"as2.example.com": "required", "maybe.example.com": "optional", "drop.example.com": "none"}
LOG_ALL = "max_stranger_lines_per_minute = 1_000_000"  # a test may wait for the line of its 61st stranger
SETTINGS = "[limits]\n{limits}\n[delivery]\nfirst_retry_seconds = 1\nmax_retry_seconds = 1\n{delivery}\n"


def authority(name: str, **options: Any) -> Issued:
    """A root whose dates suit the real clock; its key is on a curve, which is made in no time."""
    return pki.root(name, **{"key": pki.ec_key(name), **LONG, **options})


def certificate(issuer: Issued | None, name: str, **options: Any) -> Issued:
    """A client certificate whose dates suit the real clock."""
    return pki.issue(name, **{"issuer": issuer, "key": pki.ec_key(name), "eku": (CLIENT,), **LONG, **options})


def keys(name: str) -> KeyPair:
    """The AS2 key pair of a partner or of ours; the same name gives the same one."""
    return messages.key_pair(name, days=36500)


@dataclass
class Tree:
    """The files of one daemon: virtual hosts on one address, ACME and GLOBEX as partners."""

    root: Path
    backend: str = "http://127.0.0.1:9/nobody"  # discard: nothing listens there
    limits: str = ""
    delivery: str = ""
    route: str = ""  # more settings of each route
    virtualhost: str = ""  # more settings of each host
    server: str = ""  # settings of the process
    hosts: dict[str, str] = field(default_factory=lambda: dict(HOSTS))
    address: tuple[str, int] = field(default_factory=lambda: _loopback_address())

    def __post_init__(self) -> None:
        self.configure()
        for name in self.hosts:
            pki.issue(name, eku=(SERVER,), san=(f"dns:{name}",), **LONG).write(self.certs / "hosts" / name)
        self._organization("EXAMPLE")
        self.add("acme", "ACME", acme())
        self.add("globex", "GLOBEX", globex())

    @property
    def certs(self) -> Path:
        return self.root / "certs"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def configuration(self) -> Path:
        return self.root / "virtualhosts.toml"

    def configure(self, extra: str = "") -> None:
        """Write virtualhosts.toml anew."""
        listen = f"{self.address[0]}:{self.address[1]}"
        admin = f'admin = "{self.admin[0]}:{self.admin[1]}"\n'
        text = "".join(f"server.{line}\n" for line in (admin + self.server).splitlines()) + "".join(
            _virtual_host(name, listen, kind, self.backend, self.route, self.virtualhost)
            for name, kind in self.hosts.items()
        )
        text += SETTINGS.format(limits=self._limits(), delivery=self.delivery) + extra
        replace(self.configuration, text.encode())

    def _limits(self) -> str:
        return self.limits if "max_stranger_lines" in self.limits else f"{LOG_ALL}\n{self.limits}"

    @property
    def admin(self) -> tuple[str, int]:
        """The admin address: the same loopback address, another port."""
        return self.address[0], 9180

    def add(self, directory: str, as2_id: str, connection: Issued, settings: str = "", **files: bytes) -> Path:
        """A partner with its root, its certificate for connections and its own for messages."""
        folder = self.certs / "partners" / directory
        for name in ("tls", "as2"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for at, issuer in enumerate(connection.issuers):
            (folder / "tls" / f"issuer-{at}.pem").write_bytes(issuer.pem)
        (folder / "tls" / "client.pem").write_bytes(connection.pem)
        (folder / "as2" / "as2.cer").write_bytes(keys(as2_id).certificate.der)
        (folder / "partner.toml").write_text(f'as2_id = "{as2_id}"\n{settings}\n')
        return folder

    def _organization(self, name: str) -> None:
        folder = self.certs / "organizations" / name
        Issued(keys(name).certificate, keys(name).private_key).write(folder, "cert.pem")  # type: ignore[arg-type]


def replace(path: Path, data: bytes) -> None:
    """Write a file by renaming over it, as careful programs do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(data)
    temporary.rename(path)


def _virtual_host(name: str, listen: str, client_certificate: str, backend: str, route: str, more: str) -> str:
    return f"""[[virtualhost]]
name = "{name}"
listen = "{listen}"
client_certificate = "{client_certificate}"
{more}
[[virtualhost.route]]
path = "/as2"
handler = "as2"
organization = "EXAMPLE"
backend = "{backend}"
{route}
"""


@cache
def acme() -> Issued:
    """ACME's client certificate, under a root of its own, with RSA as most have it."""
    root = authority("ACME Root", key=pki.rsa_key("ACME Root"))
    return certificate(root, "edi.acme.example", key=pki.rsa_key("edi.acme.example"))


@cache
def globex() -> Issued:
    """GLOBEX's client certificate, under another root, behind an intermediate."""
    return certificate(pki.intermediate(authority("GLOBEX Root"), "GLOBEX CA", **LONG), "edi.globex.example")


def _loopback_address() -> tuple[str, int]:
    """One that no other test has: all of 127.0.0.0/8 is this machine."""
    return f"127.{secrets.randbelow(250) + 1}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 2}", 8443


Event = dict[str, Any]


class Process(Protocol):
    """What is asked of a daemon's process; `stderr` is its log."""

    pid: int
    stderr: IO[str] | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Daemon:
    """The running process. `log` is everything it said so far, one dict a line."""

    def __init__(
        self,
        tree: Tree,
        *,
        preexec: Callable[[], None] | None = None,
        start: "Callable[[Tree], Process] | None" = None,
        **environment: str,
    ) -> None:
        """`start` is another way to start the process."""
        self.tree = tree
        self.log: list[Event] = []
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._unread: list[Event] = []
        self.process: Process = start(tree) if start else _start(tree, preexec, environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def address(self) -> tuple[str, int]:
        return self.tree.address

    def wait_for(self, event: str, **facts: object) -> Event:
        """The next line of the log with this event and these facts; other lines are kept for later calls."""
        for line in self._unread:
            if _fits(line, event, facts):
                self._unread.remove(line)
                return line
        while (found := self._events.get(timeout=TIMEOUT)) is not None:
            if _fits(found, event, facts):
                return found
            self._unread.append(found)
        raise AssertionError(f"the daemon ended without {event} {facts}: {self.log[-5:]}")

    def forget(self) -> None:
        """Let `wait_for` look at nothing that was said so far."""
        self._unread.clear()
        while not self._events.empty():
            self._events.get()

    def reload(self) -> None:
        self.forget()
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("reloaded", by="signal")  # and not one of a change before

    def stop(self) -> int:
        """Ask it to stop, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        code = self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        assert self.process.stderr
        self.process.stderr.close()
        return code

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(event := _parsed(line))
            self._events.put(event)
        self._events.put(None)


def _start(tree: Tree, preexec: Callable[[], None] | None, environment: dict[str, str]) -> Process:
    if not preexec and not environment:
        return starting()(tree)
    return subprocess.Popen(
        [*COMMAND, str(tree.configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        preexec_fn=preexec,  # it only sets resource limits
    )


def spooled(tree: Tree, folder: str = ".") -> list[Path]:
    """The files in the spool, but for the daemon's own trials of it, which come and go."""
    files = (each for each in (tree.state / "spool" / folder).rglob("*") if each.is_file())
    return [each for each in files if f".{TRIAL}" not in each.name]


def resident(daemon: Daemon) -> int:
    """Octets of memory that the daemon uses."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _parsed(line: str) -> Event:
    try:
        event: Event = json.loads(line)
    except ValueError:
        return {"event": "not JSON", "text": line}
    return event


def _fits(line: Event, event: str, facts: dict[str, object]) -> bool:
    return line.get("event") == event and all(line.get(name) == value for name, value in facts.items())


@contextmanager
def running(tree: Tree, **options: Any) -> Iterator[Daemon]:
    """A daemon that is up; in the end it must stop by itself, and its log must be clean of our own bugs."""
    daemon = Daemon(tree, **options)
    try:
        daemon.wait_for("started")
        yield daemon
        assert daemon.process.poll() is not None or daemon.stop() == 0
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    assert not [line for line in daemon.log if line["event"] in ("internal_error", "not JSON")], daemon.log
