"""The options that commands share, and how errors in the configuration end a command."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field, fields
from functools import partial, wraps
from getpass import getuser
from pathlib import Path
from typing import IO, Any

import click

from mtlsd.config.load import read_configuration
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.text import printable

PATH = click.Path(path_type=Path)
Command = Callable[..., None]
Decorator = Callable[[Command], Command]
EXIT_CONFIGURATION = 78  # sysexits.h: EX_CONFIG

with_config = click.option(
    "--config",
    "file",
    type=PATH,
    default=Path("virtualhosts.toml"),
    show_default=True,
    envvar="MTLSD_CONFIG",
    show_envvar=True,
    help="The configuration file.",
)
with_yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
with_json = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")


# --- Options as one value ---------------------------------------------------------------------------------------------


def argument(**settings: Any) -> Any:
    """A field of a dataclass for `with_options`: an argument of the command."""
    return field(default=None, metadata={"declare": partial(click.argument, **settings)})


def option(text: str | None, name: str | None = None, *, default: Any = None, **settings: Any) -> Any:
    """A field of a dataclass for `with_options`: an option with this help text, which is named after the field."""
    if default is not None:
        settings |= {"default": default, "show_default": True}

    def declare(dest: str) -> Decorator:
        return click.option(name or f"--{dest.replace('_', '-')}", dest, help=text, **settings)

    return field(default=default, metadata={"declare": declare})


def with_options(kind: type[Any]) -> Decorator:
    """The options that a dataclass declares; the command gets them as one value, `options`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_value(*arguments: Any, **given: Any) -> None:
            options = kind(**{each.name: given.pop(each.name) for each in fields(kind)})
            command(*arguments, **given, options=options)

        declared: Command = with_value
        for each in reversed(fields(kind)):
            declared = each.metadata["declare"](each.name)(declared)
        return declared

    return decorate


# --- Errors -----------------------------------------------------------------------------------------------------------


class Problems(click.ClickException):
    """Ends the command, and writes each error in the configuration to stderr, one per line."""

    exit_code = EXIT_CONFIGURATION

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("the configuration has errors")
        self.problems = problems

    def show(self, file: IO[Any] | None = None) -> None:
        for problem in self.problems:
            click.echo(printable(str(problem)), file=file, err=file is None)


@contextmanager
def usage_of(parameter: str) -> Iterator[None]:
    """Wrong usage if the value of this parameter raises a ValueError."""
    try:
        yield
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=parameter) from error


@contextmanager
def problems() -> Iterator[None]:
    """End the command if a ConfigurationError is raised."""
    try:
        yield
    except ConfigurationError as error:
        raise Problems(error.problems) from error


def with_configuration(command: Command) -> Command:
    """The option --config; the command gets the `Configuration` first. Errors in the file end the command."""

    @with_config
    @wraps(command)
    def with_file(file: Path, **given: Any) -> None:
        with problems():
            configuration = read_configuration(file)
        command(configuration, **given)

    return with_file


def credentials() -> Path | None:
    """The directory of systemd's credentials, if there is one."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def user_name() -> str:
    """The name of the user who runs the command, for the journal; `uid 1000` if the system has no name for the user."""
    try:
        return getuser()
    except (KeyError, OSError):  # since Python 3.13 OSError
        return f"uid {os.getuid()}"
