"""Writes to the terminal. Text of peers may hold control characters, which become escapes."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console, OverflowMethod
from rich.table import Table
from rich.text import Text

from mtlsd.text import printable

WIDE = 1000  # columns without a terminal, so that no line is broken
NARROW = 24  # columns at least for the column that may be broken
SHORT = 12  # columns at least for a column that may be shortened
GAP = 2  # columns between two cells


def say(text: str = "", *, err: bool = False) -> None:
    """Write one line, to stdout or stderr."""
    click.echo(printable(text), err=err)


def say_warnings(warnings: Iterable[object], *, err: bool = False) -> None:
    """Write one line for each warning."""
    for each in warnings:
        say(f"warning: {each}", err=err)


def say_fields(fields: Iterable[tuple[str, object]], indent: str = "") -> None:
    """Write `name  value` lines, the values below each other; a field without a value is left out."""
    present = [(name, str(value)) for name, value in fields if value not in (None, "", ())]
    width = max((len(name) for name, _ in present), default=0)
    for name, value in present:
        say(f"{indent}{name:<{width}}  {value}")


def say_text(text: str, indent: str) -> None:
    """Write text of several lines, each one made printable."""
    for line in text.splitlines():
        say(f"{indent}{line}".rstrip())


def say_json(value: object) -> None:
    """Write one JSON value, in ASCII."""
    click.echo(json.dumps(value, indent=2))


def values_of(about: object, *names: str) -> dict[str, Any]:
    """The attributes with these names, as values of JSON."""
    return {name: getattr(about, name) for name in names}


def say_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    fold: str = "",
    cut: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> None:
    """Write a table, whole if stdout is not a terminal.

    On a narrow terminal the column with the heading `fold` is broken into lines. The columns `cut` are shortened, each
    with an ellipsis at its end, and as long as the table is still too wide, the columns `left_out` are left out in
    their order; a line below the table names them.
    """
    cells = [["-" if each is None else printable(str(each)) for each in row] for row in rows]
    columns = {heading: column for heading, *column in zip(headings, *cells, strict=True)}
    console = Console(highlight=False, color_system=None, width=None if sys.stdout.isatty() else WIDE)
    widths = {heading: max(map(cell_len, (heading, *column))) for heading, column in columns.items()}
    fitting = fitted(widths, console.width, cut, left_out) if cut and sys.stdout.isatty() else widths
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for heading, width in fitting.items():
        is_cut = width < widths[heading]
        least = min(width, NARROW) if heading == fold else width
        overflow: OverflowMethod = "ellipsis" if is_cut else "fold"
        most = width if is_cut else None
        table.add_column(heading, no_wrap=heading != fold, overflow=overflow, min_width=least, max_width=most)
    for row in zip(*(columns[heading] for heading in fitting), strict=True):
        table.add_row(*map(Text, row))
    needed = sum(min(width, NARROW) if heading == fold else width for heading, width in fitting.items())
    console.width = max(console.width, needed + GAP * len(fitting))
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
    if missing := [each for each in headings if each not in fitting]:
        say(f"left out, because the terminal is too narrow: {', '.join(missing)}; --json has everything")


def fitted(widths: Mapping[str, int], width: int, cut: Sequence[str], left_out: Sequence[str]) -> dict[str, int]:
    """The widths of the columns that fit into `width` columns of a terminal; see `say_table`."""
    fitting = dict(widths)
    for heading in (*left_out, ""):
        least = {name: min(wide, SHORT) if name in cut else wide for name, wide in fitting.items()}
        if sum(least.values()) + GAP * (len(least) - 1) <= width:
            break
        fitting.pop(heading, None)
    while sum(fitting.values()) + GAP * (len(fitting) - 1) > width:
        longest = max((each for each in fitting if each in cut), key=fitting.__getitem__, default="")
        if fitting.get(longest, SHORT) <= SHORT:
            break
        fitting[longest] -= 1
    return fitting


def iso(seconds: float | None) -> str | None:
    """Seconds of the epoch in ISO 8601, UTC."""
    return None if seconds is None else moment(datetime.fromtimestamp(seconds, UTC))


def moment(when: datetime) -> str:
    """A time in ISO 8601, UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
