"""The commands, run in this process, and what the partner ACME needs to send to a daemon."""

import codecs
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mtlsd.cli.root import main
from tests.support.backend import Backend
from tests.support.daemon import Daemon, Tree
from tests.support.pki import Issued


def mtlsd(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run a command; an exception that is not the end of the command fails the test."""
    result = CliRunner().invoke(main, [str(each) for each in arguments], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def mtlsd_json(*arguments: object) -> Any:
    """Run a command with --json and return what it wrote."""
    return json.loads(mtlsd(*arguments, "--json").stdout)


def on_a_terminal(*arguments: object, columns: int = 80, typed: str = "") -> tuple[int, str]:
    """Run a command in a process of its own on a terminal; the exit code, and all that the terminal got."""
    ours, its = os.openpty()
    command = [sys.executable, "-m", "mtlsd", *map(str, arguments)]
    env = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)}  # a dumb one gets no progress bar
    os.write(ours, typed.encode())
    process = subprocess.Popen(command, env=env, stdin=its, stdout=its, stderr=its)
    os.close(its)
    written = b""
    with suppress(OSError):  # EIO: the process has ended
        while data := os.read(ours, 65536):
            written += data
    os.close(ours)
    return process.wait(), written.decode().replace("\r\n", "\n")


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may read everything, so be nobody for a while; whoever else runs the tests is nobody enough."""
    before = os.geteuid()
    codecs.lookup("utf-8-sig")  # nobody may not be able to read Python's own files
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@dataclass(frozen=True)
class Site:
    """A running daemon, its backend, and the files that the partner ACME has."""

    tree: Tree
    daemon: Daemon
    backend: Backend
    folder: Path

    def send(self, *more: object, host: str = "as2.example.com", as2_from: str = "ACME", path: str = "/as2") -> Result:
        """Send order.edi as ACME does; options that are given again count."""
        return mtlsd(*self.arguments(*more, host=host, as2_from=as2_from, path=path))

    def arguments(
        self, *more: object, host: str = "as2.example.com", as2_from: str = "ACME", path: str = "/as2"
    ) -> tuple[object, ...]:
        address, port = self.daemon.address
        options = {
            "--as2-from": as2_from,
            "--as2-to": "EXAMPLE",
            "--sign-cert": self.folder / "as2.pem",
            "--sign-key": self.folder / "as2.key",
            "--encrypt-to": self.folder / "example.pem",
            "--ca": self.tree.certs / "hosts" / host / "chain.pem",
            "--resolve": address,
        }
        given = (each for option in options.items() for each in option)
        return "send", f"https://{host}:{port}{path}", self.folder / "order.edi", *given, *more

    @property
    def tls(self) -> tuple[object, ...]:
        return "--cert", self.folder / "tls.pem", "--key", self.folder / "tls.key"


def issued(pair: Any) -> Issued:
    """A key pair of the messages' tests, in a form that can write itself."""
    return Issued(pair.certificate, pair.private_key)
