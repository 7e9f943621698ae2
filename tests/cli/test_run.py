"""`mtlsd run`: it starts, or it says every mistake and exits with 78."""

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Tree
from tests.support.site import Site, mtlsd


def test_it_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    daemon = Daemon(Tree(tmp_path))
    daemon.wait_for("started")
    assert daemon.stop() == 0


def test_every_mistake_is_said_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "virtualhosts.toml"
    file.write_text('[server]\nadmin = "0.0.0.0:1"\ncolour = 1\n[[virtualhost]]\nname = "a.example"\n')
    result = mtlsd("run", "--config", file)
    assert (result.exit_code, result.stdout) == (78, "")
    lines = result.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{file}:2", "server.admin"],
        [f"{file}:3", "server.colour"],
        [f"{file}:4", "virtualhost.listen"],
    ]


def test_a_missing_key_keeps_it_from_starting(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.certs / "hosts" / "as2.example.com" / "key.pem").unlink()
    result = mtlsd("run", "--config", tree.configuration)
    assert (result.exit_code, "key.pem: cannot be read" in result.stderr) == (78, True)
    assert not tree.state.exists()


def test_a_state_directory_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.state.write_bytes(b"a file")
    words = f"cannot use {tree.state}: File exists: look at its disk, and make it belong to the user of mtlsd"
    assert refusal(tree) == ("journal_unavailable", words)


def test_a_damaged_journal_is_named_with_what_helps(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.state.mkdir()
    (tree.state / "journal.sqlite").write_bytes(b"not a database" * 1000)
    words = "file is not a database: restore it from a backup, or move it away for a new one, which then knows of no"
    assert refusal(tree) == ("journal_unavailable", f"cannot use {tree.state / 'journal.sqlite'}: {words} message")


def test_a_journal_of_a_newer_version_is_named(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.state.mkdir()
    with closing(sqlite3.connect(tree.state / "journal.sqlite")) as db:
        db.execute("PRAGMA user_version = 999")
    reason, detail = refusal(tree)
    assert reason == "journal_unavailable"
    assert detail.startswith(f"cannot use {tree.state / 'journal.sqlite'}: the journal has version 999, from a newer")


def refusal(tree: Tree) -> tuple[str, str]:
    """Why a daemon does not start: the reason, and the detail of the last line of its log."""
    daemon = Daemon(tree)
    assert daemon.wait() == 1
    return daemon.log[-1]["reason"], daemon.log[-1]["detail"]


def test_a_second_daemon_on_one_state_is_no_mistake_in_the_configuration(site: Site, tmp_path: Path) -> None:
    tree = Tree(tmp_path, server=f'state = "{site.daemon.tree.state}"')
    reason, detail = refusal(tree)
    assert (reason, detail) == (
        "state_in_use",
        f"another mtlsd uses {site.daemon.tree.state}: stop it, or set another `state`",
    )


def test_an_address_in_use_is_said(site: Site, tmp_path: Path) -> None:
    tree = Tree(tmp_path, address=site.daemon.address)
    daemon = Daemon(tree)
    assert daemon.wait() == 78
    assert str(site.daemon.address[1]) in json.dumps(daemon.log)


@pytest.mark.parametrize(("options", "environment"), [((), {}), ((), {"NO_COLOR": "1"}), (("--verbose",), {})])
def test_a_terminal_gets_lines_for_people(
    tmp_path: Path, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    tree = Tree(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mtlsd", "run", "--config", str(tree.configuration), *options]
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | environment
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables) as process:
        os.close(theirs)
        text = ""
        while " started " not in re.sub(r"\x1b\[\d*m", "", text):
            text += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        os.close(ours)
    assert not text.startswith("{")
    assert ("\x1b[" in text) is not bool(environment)
    short = bool(re.search(r"^\S*\d\d:\d\d:\d\d\S* started listening=", text, re.MULTILINE))
    assert short is not bool(options)
