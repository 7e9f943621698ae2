"""`mtlsd run` in its own process: its log as events to wait for, and its journal."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any

Event = dict[str, Any]

START_SECONDS = 30
STOP_SECONDS = 15
LAST_LINES = 12


class DaemonGone(Exception):
    """The daemon exited unexpectedly."""


class Daemon:
    """A running daemon. Each line of its log is written to `log_file` and passed to those who wait for an event."""

    def __init__(self, configuration: Path) -> None:
        self.log_file = configuration.with_name("mtlsd.log")
        self._journal = configuration.with_name("state") / "journal.sqlite"
        self._changed = Condition()
        self._events: list[Event] = []
        self._ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mtlsd", "run", "--config", str(configuration)],
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C goes to the demo only, which then stops the daemon
        )
        assert self._process.stderr is not None
        Thread(target=self._read_log, args=(self._process.stderr,), daemon=True).start()

    def mark(self) -> int:
        """The current position in the log, from which a wait can begin."""
        with self._changed:
            return len(self._events)

    def wait_for(self, name: str, seconds: float, since: int = 0, **facts: object) -> Event | None:
        """The first event with this name and these facts; None if it is not logged in time."""
        found: list[Event] = []

        def looked() -> bool:
            found[:] = [each for each in self._events[since:] if _fits(each, name, facts)]
            return bool(found) or self._ended

        with self._changed:
            self._changed.wait_for(looked, seconds)
            if not found and self._ended:
                raise DaemonGone("\n".join((f"mtlsd exited with code {self._process.wait()}:", *self.last_lines())))
        return found[0] if found else None

    def deliveries(self) -> list[str]:
        """The state of each delivery in the journal, oldest first."""
        with closing(sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True)) as journal:
            return [state for (state,) in journal.execute("SELECT state FROM deliveries ORDER BY created_at")]

    def last_lines(self, count: int = LAST_LINES) -> list[str]:
        return self.log_file.read_text(encoding="utf-8").splitlines()[-count:]

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> int:
        """Send SIGTERM, wait until open exchanges have finished, and return the exit code."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _read_log(self, stream: IO[str]) -> None:
        with self.log_file.open("a", encoding="utf-8") as file:
            for line in stream:
                file.write(line)
                file.flush()
                self._add(_event(line))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()


@contextmanager
def running(configuration: Path) -> Iterator[Daemon]:
    """A daemon that is ready to serve, and is stopped at the end."""
    daemon = Daemon(configuration)
    try:
        if daemon.wait_for("started", START_SECONDS) is None:
            raise DaemonGone(f"mtlsd was not ready within {START_SECONDS} s")
        yield daemon
    finally:
        daemon.stop()


def _fits(event: Event, name: str, facts: dict[str, object]) -> bool:
    return event.get("event") == name and all(event.get(key) == value for key, value in facts.items())


def _event(line: str) -> Event:
    """A line of the log; a line that is not JSON, such as one of a traceback, is an event without a name."""
    try:
        event = json.loads(line)
    except ValueError:
        return {"text": line}
    return event if isinstance(event, dict) else {"text": line}
