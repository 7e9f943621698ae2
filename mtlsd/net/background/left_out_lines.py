"""Logs once a minute how many lines were left out of the log, for each address that caused too many."""

import trio

from mtlsd import log
from mtlsd.access.line_limit import SECONDS
from mtlsd.net.services.state import State


async def count_left_out_lines(state: State) -> None:
    """Report every minute until cancelled, and then what is left to report."""
    try:
        while True:
            await trio.sleep(SECONDS)
            report(state)
    finally:
        report(state)


def report(state: State) -> None:
    """Log one line for each address with lines that were left out."""
    for address, count in state.lines.left_out(trio.current_time()):
        state.log.warning(log.LINES_LEFT_OUT, client=address, count=count)
