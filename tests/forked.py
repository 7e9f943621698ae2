"""Daemons that start in no time: forked from a server that has imported everything. See `tests/steps.py`."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from select import select
from typing import IO

from tests.daemon import Process, Tree
from tests.steps import Plan, Start


@dataclass
class Child:
    """A process that the server has forked: what `Daemon` asks of a process."""

    stderr: IO[str] | None
    _answers: IO[bytes]
    pid: int = field(init=False)
    _status: int | None = None

    def __post_init__(self) -> None:
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        return self._status if self._status is not None or not self._ready(0) else self.wait()

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            assert self._ready(timeout), f"process {self.pid} does not end"
            self._status = int(self._answers.readline())
        return self._status

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended, and the server is about to say so
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ready(self, timeout: float | None) -> bool:
        return bool(select([self._answers], (), (), timeout)[0])


class ForkServer:
    """Starts daemons, one at a time."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.steps"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def starting(self, plan: Plan | None = None) -> Callable[[Tree], Process]:
        """How to start a daemon that follows the plan; its steps are noted in `steps` beside its configuration."""

        def start(tree: Tree) -> Process:
            log, steps = tree.root / "log", tree.root / "steps"
            if not log.exists():
                os.mkfifo(log)
            steps.unlink(missing_ok=True)
            order = Start(str(tree.configuration), str(tree.state), str(log), str(steps), plan or Plan())
            assert self._server.stdin
            assert self._server.stdout
            self._server.stdin.write(order.line().encode())
            return Child(log.open(), self._server.stdout)

        return start

    def close(self) -> None:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    try:
        yield server
    finally:
        server.close()
