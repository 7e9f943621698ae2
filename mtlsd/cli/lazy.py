"""A group of commands that imports the module of a command only to run the command, or to show its help.

Every module of the command line imports what it needs at its top, and `mtlsd --help` still answers at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is not imported yet."""

    place: str  # below `mtlsd.cli`, as `module:name`
    summary: str  # the first sentence of its help

    def load(self) -> click.Command:
        """Import the command."""
        command = resolve_name(f"mtlsd.cli.{self.place}")
        assert isinstance(command, click.Command)
        return command


class LazyCommands(Mapping[str, click.Command]):
    """Commands by name; reading a value imports its module, listing the names does not."""

    def __init__(self, table: Mapping[str, Lazy]) -> None:
        self._table = table

    def __getitem__(self, name: str) -> click.Command:
        return self._table[name].load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class LazyGroup(click.Group):
    """A group with a table of its commands."""

    def __init__(self, *arguments: Any, table: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*arguments, **{**options, "commands": LazyCommands(table)})
        self.table = table

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's
        """Import the command; an error of its module stays what it is, and is no unknown command."""
        entry = self.table.get(cmd_name)
        return entry.load() if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the summaries of the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name].summary) for name in self.list_commands(ctx)])
