"""The front door: help that a stranger can use, at once, and exit codes that a script can."""

import os
import pwd
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mtlsd import __version__, app
from mtlsd.cli.lazy import Lazy, LazyGroup
from mtlsd.cli.options import EXIT_CONFIGURATION, user_name
from mtlsd.cli.root import main
from tests.support.site import mtlsd

COMMANDS = (
    (),
    ("run",),
    ("check",),
    ("send",),
    ("partner",),
    ("partner", "list"),
    ("journal",),
    ("journal", "list"),
    ("journal", "show"),
    ("journal", "replay"),
    ("journal", "drop"),
    ("journal", "payload"),
)
SLOW = ("cryptography", "trio", "pydantic", "h11", "OpenSSL", "structlog", "rich", "asn1crypto", "sqlite3", "ssl")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    result = mtlsd(*words, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"mtlsd {' '.join(words)}".strip() in result.output


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_that_does_something_names_its_exit_codes(words: tuple[str, ...]) -> None:
    if words not in {("partner",), ("journal",)}:
        assert "Exit codes:" in mtlsd(*words, "--help").output


def test_the_list_of_commands_cuts_no_sentence_short() -> None:
    listed = mtlsd("--help").output.partition("Commands:")[2]
    assert "..." not in listed
    assert set(main.commands) == {line.split()[0] for line in listed.strip().splitlines()}


def test_help_loads_nothing_slow() -> None:
    code = "import sys; from mtlsd.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(SLOW) & set(loaded)


def test_the_version_is_said() -> None:
    assert mtlsd("--version").output == f"mtlsd {__version__}\n"


@pytest.mark.parametrize(
    ("words", "meant"),
    [(("chek",), "check"), (("jurnal",), "journal"), (("journal", "lst"), "list"), (("check", "--confg"), "--config")],
)
def test_a_mistyped_word_gets_a_suggestion(words: tuple[str, ...], meant: str) -> None:
    result = mtlsd(*words)
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
    assert meant in result.stderr


def test_the_exit_code_of_a_bad_configuration_is_the_same_everywhere() -> None:
    assert app.EXIT_CONFIGURATION == EXIT_CONFIGURATION


def test_every_command_with_a_configuration_takes_it_from_the_environment() -> None:
    groups = [command for command in main.commands.values() if isinstance(command, click.Group)]
    commands = [*main.commands.values(), *(each for group in groups for each in group.commands.values())]
    for command in commands:
        for option in command.params:
            if option.name == "file":
                assert option.envvar == "MTLSD_CONFIG"
                assert str(option.default) == "virtualhosts.toml"


def test_the_list_of_commands_has_the_first_sentence_of_each_help() -> None:
    groups = [main, *(each for each in main.commands.values() if isinstance(each, click.Group))]
    for group in groups:
        assert isinstance(group, LazyGroup)
        first = {name: command.get_short_help_str(limit=1000) for name, command in group.commands.items()}
        assert {name: each.summary for name, each in group.table.items()} == first


def test_an_error_in_the_module_of_a_command_is_no_unknown_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Lazy) -> click.Command:
        raise KeyError("a bug")

    monkeypatch.setattr(Lazy, "load", broken)
    assert isinstance(CliRunner().invoke(main, ["check"]).exception, KeyError)


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root takes a user id that has no name for a moment; anybody else keeps theirs."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    real, effective, _ = os.getresuid()
    taken = 54321 if effective == 0 else real
    os.setresuid(taken, -1, -1)
    try:
        named = user_name()
    finally:
        os.setresuid(real, -1, -1)
    assert named == {each.pw_uid: each.pw_name for each in pwd.getpwall()}.get(taken, f"uid {taken}")
