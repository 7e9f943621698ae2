"""Daemons that start in no time: forked from a process that has imported everything, and is itself left alone.

`python -m tests.support.forked` is that process. For each start it gets a JSON line over its socket, with it the file
that becomes the daemon's stderr, and a socket of the start's own, over which it tells the process id and the exit
status.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from select import select
from typing import IO, Protocol, Self

from tests.support import steps
from tests.support.steps import Plan, Steps, When

LINE = 65536  # octets of an order, at most


@dataclass(frozen=True, slots=True)
class Order:
    """What a daemon is to be: its configuration, and where its steps are counted, which are those of `plan`."""

    configuration: str
    state: str
    notes: str
    plan: Plan | None = None

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        values = json.loads(line)
        plan = values.pop("plan")
        return cls(**values, plan=plan and Plan(**{**plan, "when": When(plan["when"])}))

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Child:
    """A daemon that was forked: what `Daemon` asks of a process."""

    def __init__(self, stderr: IO[str], answers: socket.socket) -> None:
        self.stderr: IO[str] | None = stderr
        self._answers = answers.makefile("rb", buffering=0)
        answers.close()
        self._status: int | None = None
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        return self._status if self._status is not None or not self._ready(0) else self.wait()

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            assert self._ready(timeout), f"process {self.pid} does not end"
            self._status = int(self._answers.readline())
            self._answers.close()
        return self._status

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended, and we are about to be told
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ready(self, timeout: float | None) -> bool:
        return bool(select([self._answers], (), (), timeout)[0])


class Tree(Protocol):
    """Where the files of a daemon are."""

    @property
    def root(self) -> Path: ...
    @property
    def configuration(self) -> Path: ...
    @property
    def state(self) -> Path: ...


def starting(plan: Plan | None = None) -> Callable[[Tree], Child]:
    """How to start a daemon that follows the plan; its steps are noted in `steps` beside its configuration."""

    def start(tree: Tree) -> Child:
        notes = tree.root / "steps"
        notes.unlink(missing_ok=True)
        order = Order(str(tree.configuration), str(tree.state), str(notes), plan)
        read, write = os.pipe()
        ours, its = socket.socketpair()
        with its:
            socket.send_fds(_parent(), [order.line()], [write, its.fileno()])
        os.close(write)
        return Child(os.fdopen(read), ours)

    return start


@cache
def _parent() -> socket.socket:
    """The process from which all daemons of this test run are forked."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, "-m", "tests.support.forked"]
        process = subprocess.Popen(command, stdin=its.fileno(), stdout=subprocess.DEVNULL)
    atexit.register(_end, process, ours)
    return ours


def _end(process: "subprocess.Popen[bytes]", orders: socket.socket) -> None:
    orders.close()
    process.wait()


# --- In that process ----------------------------------------------------------------------------------------------


def main() -> None:
    """Fork for each order, until there are no more."""
    from mtlsd import app, cli  # noqa: F401  # all that a daemon imports, but for PostgreSQL's library

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch
    orders = socket.socket(fileno=os.dup(0))
    while (order := socket.recv_fds(orders, LINE, 2))[0]:
        line, (stderr, answers), *_ = order
        if not os.fork():
            _watch(Order.from_line(line), stderr, answers)
        os.close(stderr)
        os.close(answers)


def _watch(order: Order, stderr: int, answers: int) -> None:
    """Be the parent of one daemon; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if not (daemon := os.fork()):
        os._exit(_run(order, stderr))
    os.close(stderr)
    os.write(answers, b"%d\n" % daemon)
    status = os.waitpid(daemon, 0)[1]
    os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _run(order: Order, stderr: int) -> int:
    from mtlsd.cli.root import main as mtlsd

    os.dup2(stderr, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.closerange(3, 64)
    if order.plan:
        steps.install(Steps(order.plan, order.state, order.notes))
    try:
        mtlsd(["run", "--config", order.configuration])
    except SystemExit as ending:
        sys.stderr.flush()
        return ending.code if isinstance(ending.code, int) else 1
    return 0


if __name__ == "__main__":
    main()
