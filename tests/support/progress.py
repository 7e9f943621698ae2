"""A plugin of pytest: says how far the tests are and about how long they will still take, instead of dots."""

import time
from collections.abc import Callable
from typing import Any

import pytest

STEP = 5  # per cent between two lines
PASSED = "passed"


class Progress:
    """Counts the tests that have ended. `write` takes a line, `clock` gives seconds."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()
        self._total = 0
        self._ended = 0
        self._said = 0  # steps

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In one process: these tests will run."""
        self._begin(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        """In several processes: each of them collects all tests."""
        self._begin(len(ids))

    def _begin(self, total: int) -> None:
        self._total, self._began = total, self._clock()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test when its last step has ended."""
        if report.when != "teardown" or not self._total:
            return
        self._ended += 1
        share = 100 * self._ended // self._total
        if share // STEP > self._said:
            self._said = share // STEP
            self._write(self._line(share))

    def _line(self, share: int) -> str:
        elapsed = self._clock() - self._began
        left = elapsed * (self._total - self._ended) / self._ended
        rest = f", about {_minutes(left)} left" if self._ended < self._total else ""
        return f"{share} % of {self._total} tests after {_minutes(elapsed)}{rest}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Write no dot for a test that passed."""
        return (PASSED, "", "") if report.passed and report.when == "call" else None


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Count in the process that reports, and not in those that run tests for it."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")

    def write(line: str) -> None:
        reporter.write_line(line)
        reporter.flush()  # for somebody who reads a file or a pipe

    if reporter is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(write, time.monotonic), "progress")
