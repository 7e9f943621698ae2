"""What scripts/test says while the tests run."""

from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.progress import Progress


def run(tests: int, seconds: float) -> list[str]:
    """The lines of a run whose tests take so many seconds each, in two processes."""
    now, lines = [0.0], list[str]()
    progress = Progress(lines.append, lambda: now[0])
    for _ in range(2):
        progress.pytest_xdist_node_collection_finished(object(), [str(number) for number in range(tests)])
    for _ in range(tests):
        for when in ("setup", "call", "teardown"):
            progress.pytest_runtest_logreport(report(when))
        now[0] += seconds
    return lines


def report(when: str, *, passed: bool = True) -> pytest.TestReport:
    return cast("pytest.TestReport", SimpleNamespace(when=when, passed=passed))


def test_each_step_is_said_once_with_the_time_that_is_left() -> None:
    lines = run(1000, 0.5)
    assert len(lines) == 20
    assert lines[0] == "5 % of 1000 tests after 24 s, about 7 min 46 s left"
    assert lines[-1] == "100 % of 1000 tests after 8 min 20 s"


def test_a_few_tests_need_few_lines() -> None:
    assert [line.split(",")[0] for line in run(2, 70.0)] == [
        "50 % of 2 tests after 0 s",
        "100 % of 2 tests after 1 min 10 s",
    ]


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_only_what_failed_is_shown_beside(when: str) -> None:
    progress = Progress(print, lambda: 0.0)
    assert progress.pytest_report_teststatus(report(when, passed=False)) is None
    assert progress.pytest_report_teststatus(report(when)) == (("passed", "", "") if when == "call" else None)
