"""Other users of the machine cannot open what the daemon writes, whatever the umask is, and are told of if they can."""

import os
import stat
from pathlib import Path

import pytest

from tests.support.backend import Backend
from tests.support.daemon import Tree, running
from tests.support.messages import EDI
from tests.support.partner import disposition, layered, message, send
from tests.support.site import mtlsd


def open_to_others(directory: Path) -> dict[str, str]:
    """The modes that are not 0600 or 0700, by path."""
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in (directory, *directory.rglob("*"))}
    return {str(each): oct(mode) for each, mode in modes.items() if mode != (0o700 if each.is_dir() else 0o600)}


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_every_file_and_directory_is_closed(tmp_path: Path, backend: Backend, mask: int) -> None:
    tree = Tree(tmp_path, backend.url)
    stray = tree.certs / "partners" / "acme" / "tls" / "stray.pem"
    stray.write_bytes(b"no certificate")  # which leaves a note in state/trust
    before, sent = os.umask(mask), message("<large@acme.example>", layered(payload=EDI * 20_000))
    try:
        with running(tree) as daemon:
            assert disposition(send(daemon, sent), sent) == "processed"
            assert open_to_others(tree.state) == {}
    finally:
        os.umask(before)
    assert open_to_others(tree.state) == {}
    names = {each.name for each in tree.state.rglob("*")}
    assert {"journal.sqlite", "lock", "node", "node.key", "spool", "tmp", "trust", "checkpoints"} <= names
    assert [each for each in names if each.endswith(".jsonl")]
    assert [each for each in names if each.endswith(".why")]


def test_a_directory_that_others_can_open_is_named(tmp_path: Path) -> None:
    tree = Tree(tmp_path, server=f'spool = "{tmp_path}/documents"')
    with running(tree):
        pass
    check = ("check", "--config", tree.configuration)
    assert "other users" not in mtlsd(*check).stdout
    tree.state.chmod(0o755)
    (tmp_path / "documents").chmod(0o710)
    said = mtlsd(*check).stdout
    assert f"server.state: other users of this machine can open {tree.state} (mode 0755)" in said
    assert f"server.spool: other users of this machine can open {tmp_path}/documents (mode 0710)" in said
    assert said.count("chmod 700") == 2
    with running(tree) as daemon:
        assert "mode 0755" in daemon.wait_for("configuration_warning", key="server.state")["detail"]
