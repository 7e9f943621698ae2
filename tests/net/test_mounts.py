"""A ConfigMap or Secret of Kubernetes, mounted at each place where one would: new files are a swapped link `..data`."""

import shutil
from pathlib import Path

import pytest

from tests.support.client import opened, request
from tests.support.daemon import Daemon, Tree, acme, authority, certificate, replace, running
from tests.support.pki import Issued

HEAD = request("HEAD")
OLD = certificate(authority("Mounted"), "old.example")
NEW = certificate(OLD.issuers[0], "new.example")


def mount(directory: Path) -> None:
    """Lay a directory out as a volume: the files in a dated directory, `..data` to it, and links by way of `..data`."""
    names = [each.name for each in directory.iterdir()]
    (directory / "..2026_01").mkdir()
    for name in names:
        (directory / name).rename(directory / "..2026_01" / name)
        (directory / name).symlink_to(f"..data/{name}")
    (directory / "..data").symlink_to("..2026_01")


def update(directory: Path, file: str, data: bytes) -> None:
    """Write a new dated directory, swap `..data`, and remove the old one, as the kubelet does."""
    shutil.copytree(directory / "..2026_01", directory / "..2026_02")
    (directory / "..2026_02" / file).write_bytes(data)
    (directory / "..data_tmp").symlink_to("..2026_02")
    (directory / "..data_tmp").rename(directory / "..data")
    shutil.rmtree(directory / "..2026_01")


def status(daemon: Daemon, issued: Issued) -> int:
    with opened(daemon.address, issued) as client:
        return client.request(HEAD, head=True).status


@pytest.mark.parametrize(
    "place", ["partners/mounted/tls", "partners/mounted", "partners", ""], ids=["tls", "a partner", "partners", "certs"]
)
def test_a_mounted_certificate_is_renewed(tmp_path: Path, place: str) -> None:
    tree = Tree(tmp_path)
    tree.add("mounted", "MOUNTED", OLD)
    mount(tree.certs / place)
    with running(tree) as daemon:
        assert (status(daemon, OLD), status(daemon, NEW), status(daemon, acme())) == (200, 400, 200)
        file = str(Path("partners/mounted/tls/client.pem").relative_to(place))
        update(tree.certs / place, file, NEW.pem)
        while (status(daemon, OLD), status(daemon, NEW)) != (400, 200):
            daemon.wait_for("reloaded")
        assert status(daemon, acme()) == 200
        assert not [line for line in daemon.log if line["event"] == "configuration_problem"]


def test_a_link_that_leads_out_of_a_mount_is_refused(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    folder = tree.add("mounted", "MOUNTED", OLD)
    mount(tree.certs / "partners")
    (tmp_path / "outside.pem").write_bytes(NEW.pem)
    with running(tree) as daemon:
        (folder / "tls" / "more.pem").symlink_to(tmp_path / "outside.pem")
        line = daemon.wait_for("configuration_problem")
        assert (line["file"], line["detail"]) == (
            str(folder / "tls" / "more.pem"),
            "a symbolic link that leads out of the partner's directory",
        )
        assert (status(daemon, OLD), status(daemon, NEW)) == (200, 400)


def test_all_partners_vanish_and_come_back(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    partners = tree.certs / "partners"
    with running(tree) as daemon, opened(daemon.address, acme()) as client:
        assert client.request(HEAD, head=True).status == 200
        partners.rename(tree.certs / "away")
        gone = "cannot be read: No such file or directory"
        daemon.wait_for("configuration_problem", file=str(partners), detail=gone)
        daemon.wait_for("reloaded", partners=0)
        assert client.request(HEAD, head=True).status == 400
        (tree.certs / "away").rename(partners)
        daemon.wait_for("reloaded", added=["acme", "globex"])
        assert status(daemon, acme()) == 200
        renewed = certificate(acme().issuers[0], "renewed.example")
        replace(partners / "acme" / "tls" / "client.pem", renewed.pem)  # it is watched again
        daemon.wait_for("reloaded", changed=["acme"])
        assert status(daemon, renewed) == 200


def test_a_change_waits_for_a_broken_configuration_to_be_mended(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    good = tree.configuration.read_bytes()
    with running(tree) as daemon:
        replace(tree.configuration, b"nonsense = ")
        daemon.wait_for("reload_failed")
        tree.add("mounted", "MOUNTED", OLD)
        daemon.wait_for("reload_failed")
        assert (status(daemon, OLD), status(daemon, acme())) == (400, 200)
        replace(tree.configuration, good)
        while status(daemon, OLD) != 200:
            daemon.wait_for("reloaded")
