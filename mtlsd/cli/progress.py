"""A progress bar for commands that may take long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar

PATIENCE = 2.0  # seconds without a bar

Progress = Callable[[int], None]  # is given the number of further steps that are done


@contextmanager
def progress(what: str, total: int, patience: float = PATIENCE) -> Iterator[Progress]:
    """A progress bar on stderr, if stderr is a terminal; the bar appears if the work takes longer than `patience`."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = Bar(console=Console(stderr=True), transient=True)
    task, begun, started = bar.add_task(what, total=total), time.monotonic(), False

    def advance(done: int) -> None:
        nonlocal started
        bar.advance(task, done)
        if not started and time.monotonic() - begun >= patience:
            bar.start()
            started = True

    try:
        yield advance
    finally:
        if started:
            bar.stop()
