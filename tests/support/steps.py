"""A daemon whose steps of input and output are counted, and which ends itself with SIGKILL at one of them.

A step is what changes anything outside of the process: a file made, written, synced, renamed or removed, a directory
made, a statement of SQLite that writes or commits, and octets on a socket. Reading is none: to die before it is to die
before the next step. Each step is noted in a file, which outlives the process.

`tests.support.forked` starts such daemons.
"""

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import trio

WRITE = os.write  # which is replaced


class When(StrEnum):
    """Where within a step the process dies; what cannot be done by half is not done at all."""

    BEFORE = "before"
    HALF = "half"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Plan:
    """Die at the `at`-th step, or at none (0), or at the first whose new path has `to` in it.

    Steps count from the first connection on, or `from_start`.
    """

    at: int = 0
    when: When = When.BEFORE
    from_start: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, to what (a path, a statement, so many octets), and the new path or the peer."""

    kind: str
    what: str
    to: str = ""


class Steps:
    """Counts, notes, and kills."""

    def __init__(self, plan: Plan, state: str, notes: str) -> None:
        """The steps in the directory `state` are noted in the file `notes`."""
        self._plan = plan
        self._state = state
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._number = 0
        self._lock = threading.Lock()
        self.counts = plan.from_start

    @contextmanager
    def step(self, kind: str, what: str, to: str = "", cut: Callable[[], object] | None = None) -> Iterator[None]:
        """One step; `cut` does a part of it."""
        dies = self._note(kind, what, to) == self._plan.at or bool(self._plan.to and self._plan.to in to)
        if dies and self._plan.when is When.HALF and cut:
            cut()
        if dies and self._plan.when is not When.AFTER:
            _die()
        yield
        if dies:
            _die()

    def concerns(self, path: object) -> bool:
        """Whether it is the state directory, something in it, or what holds it."""
        return self.counts and (str(path).startswith(self._state) or str(path) == str(Path(self._state).parent))

    def _note(self, kind: str, what: str, to: str) -> int:
        with self._lock:
            WRITE(self._notes, (json.dumps([kind, what, to]) + "\n").encode())
            self._number += 1
            return self._number


def read(notes: Path) -> list[Step]:
    """The steps that a daemon made."""
    return [Step(*json.loads(line)) for line in notes.read_text().splitlines()]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def install(steps: Steps) -> None:
    """Have every step of this process counted."""
    _install_files(steps)
    _install_sqlite(steps)
    _install_sockets(steps)


def _install_files(steps: Steps) -> None:
    fsync, open_file = os.fsync, os.open

    def counted_write(fd: int, data: Any) -> int:
        if not steps.concerns(path := _path(fd)):
            return WRITE(fd, data)
        with steps.step("write", path, cut=lambda: WRITE(fd, data[: len(data) // 2])):
            return WRITE(fd, data)

    def counted_fsync(fd: int) -> None:
        if not steps.concerns(path := _path(fd)):
            return fsync(fd)
        with steps.step("fsync", path):
            return fsync(fd)

    def counted_open(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if not flags & os.O_CREAT or not steps.concerns(path):
            return open_file(path, flags, *more, **options)
        with steps.step("create", str(path)):
            return open_file(path, flags, *more, **options)

    changed = {"write": counted_write, "fsync": counted_fsync, "open": counted_open}
    for name in ("rename", "replace", "unlink", "mkdir"):
        changed[name] = _counted(steps, name, getattr(os, name))
    for name, function in changed.items():
        setattr(os, name, function)


def _counted(steps: Steps, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
    def counted(path: Any, *more: Any, **options: Any) -> Any:
        if not steps.concerns(path):
            return act(path, *more, **options)
        with steps.step(name, str(path), str(more[0]) if name in ("rename", "replace") else ""):
            return act(path, *more, **options)

    return counted


def _install_sqlite(steps: Steps) -> None:
    class Counted(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if not steps.counts or statement.lstrip().startswith("SELECT"):
                return super().execute(statement, *values)
            with steps.step("sql", statement):
                return super().execute(statement, *values)

        def executemany(self, statement: str, values: Any) -> sqlite3.Cursor:
            if not steps.counts:
                return super().executemany(statement, values)
            with steps.step("sql", statement):
                return super().executemany(statement, values)

    connect = sqlite3.connect

    def counted_connect(*places: Any, **options: Any) -> sqlite3.Connection:
        return connect(*places, **options, factory=Counted)

    setattr(sqlite3, "connect", counted_connect)  # noqa: B010  # it has overloads


def _install_sockets(steps: Steps) -> None:
    send_all, opened = trio.SocketStream.send_all, trio.SocketStream.__init__

    def counted_init(stream: trio.SocketStream, socket: Any) -> None:
        steps.counts = True
        opened(stream, socket)

    async def counted_send(stream: trio.SocketStream, data: Any) -> None:
        half = data[: len(data) // 2]
        sends = steps.step("send", f"{len(data)} octets", _peer(stream), lambda: WRITE(stream.socket.fileno(), half))
        with sends:
            await send_all(stream, data)

    setattr(trio.SocketStream, "__init__", counted_init)  # noqa: B010  # as above
    setattr(trio.SocketStream, "send_all", counted_send)  # noqa: B010


def _peer(stream: trio.SocketStream) -> str:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return "gone"
    return f"{host}:{port}"


def _path(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())
