"""`mtlsd run`: it starts, or it says every mistake and exits with 78."""

import json
from pathlib import Path

from tests.cli.site import Site, mtlsd
from tests.daemon import Daemon, Tree


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
    daemon = Daemon(tree)
    assert daemon.wait() == 1
    assert daemon.log[-1]["reason"] == "journal_unavailable"


def test_an_address_in_use_is_said(site: Site, tmp_path: Path) -> None:
    tree = Tree(tmp_path, address=site.daemon.address)
    daemon = Daemon(tree)
    assert daemon.wait() == 78
    assert str(site.daemon.address[1]) in json.dumps(daemon.log)
