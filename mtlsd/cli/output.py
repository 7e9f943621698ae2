"""What goes to a terminal. Text of peers is never trusted with it: control characters become escapes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import click

WIDE = 1000  # columns, where nobody reads along and lines must not be broken


def printable(text: str) -> str:
    r"""The text with an escape such as \x1b for every character that is not visible, line ends included."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def say(text: str = "") -> None:
    """Write one line."""
    click.echo(printable(text))


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


def say_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, fold: str = "") -> None:
    """Write a table; on a narrow terminal, only the column with the heading `fold` is broken into lines."""
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=heading != fold, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if each is None else printable(str(each))) for each in row))
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    for line in _lines(console, table):
        click.echo(line)


def iso(seconds: float | None) -> str | None:
    """Seconds of the epoch in ISO 8601, UTC."""
    return None if seconds is None else moment(datetime.fromtimestamp(seconds, UTC))


def moment(when: datetime) -> str:
    """A time in ISO 8601, UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lines(console: object, table: object) -> Iterator[str]:
    from rich.console import Console

    assert isinstance(console, Console)
    with console.capture() as captured:
        console.print(table)
    return (line.rstrip() for line in captured.get().splitlines())
