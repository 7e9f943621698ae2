"""Writes to the terminal. Text of peers may hold control characters, which become escapes."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtlsd.text import printable

WIDE = 1000  # columns without a terminal, so that no line is broken
NARROW = 24  # columns at least for the column that may be broken
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


def say_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, fold: str) -> None:
    """Write a table. On a terminal the column with the heading `fold` is broken into lines; nothing is ever cut."""
    cells = [["-" if each is None else printable(str(each)) for each in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    needed = 0
    for heading, *column in zip(headings, *cells, strict=True):
        widest = max(map(cell_len, (heading, *column)))
        width = min(widest, NARROW) if heading == fold else widest
        table.add_column(heading, no_wrap=heading != fold, overflow="fold", min_width=width)
        needed += width + GAP
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, color_system=None, width=None if sys.stdout.isatty() else WIDE)
    console.width = max(console.width, needed)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def iso(seconds: float | None) -> str | None:
    """Seconds of the epoch in ISO 8601, UTC."""
    return None if seconds is None else moment(datetime.fromtimestamp(seconds, UTC))


def moment(when: datetime) -> str:
    """A time in ISO 8601, UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
