"""Seeing that a file changed, in each of the ways in which files change."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mtlsd.net.watch import TreeWatch


def write(tree: Path) -> None:
    (tree / "certs" / "acme" / "a.pem").write_text("2")


def rename_over(tree: Path) -> None:
    (tree / "new").write_text("2")
    (tree / "new").rename(tree / "certs" / "acme" / "a.pem")


def remove(tree: Path) -> None:
    (tree / "certs" / "acme" / "a.pem").unlink()


def add_directory(tree: Path) -> None:
    (tree / "certs" / "newco").mkdir()
    (tree / "certs" / "newco" / "b.pem").write_text("1")


def remove_directory(tree: Path) -> None:
    remove(tree)
    (tree / "certs" / "acme").rmdir()


def swap_a_link(tree: Path) -> None:
    (tree / "certs" / "k8s" / "..new").symlink_to("two")
    (tree / "certs" / "k8s" / "..new").rename(tree / "certs" / "k8s" / "..data")


def keep_the_times(tree: Path) -> None:
    path = tree / "certs" / "acme" / "a.pem"
    stat = path.stat()
    path.write_text("9")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def remove_the_configuration(tree: Path) -> None:
    (tree / "virtualhosts.toml").unlink()


CHANGES = [write, rename_over, remove, add_directory, remove_directory, swap_a_link, keep_the_times]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("acme", "k8s/one", "k8s/two"):
        (tmp_path / "certs" / name).mkdir(parents=True)
    (tmp_path / "certs" / "acme" / "a.pem").write_text("1")
    (tmp_path / "certs" / "k8s" / "..data").symlink_to("one")
    (tmp_path / "virtualhosts.toml").write_text("")
    return tmp_path


def roots(tree: Path) -> list[Path]:
    return [tree / "virtualhosts.toml", tree / "certs"]


@pytest.mark.parametrize("change", [*CHANGES, remove_the_configuration])
def test_every_kind_of_change_is_seen(tree: Path, change: Callable[[Path], None]) -> None:
    async def main() -> None:
        with TreeWatch(roots(tree), time.time()) as watch, trio.fail_after(10):
            change(tree)
            await watch.changed()

    trio.run(main)


def test_a_configuration_that_is_removed_and_comes_back_is_seen_twice(tree: Path) -> None:
    async def main() -> None:
        with TreeWatch(roots(tree), time.time()) as watch, trio.fail_after(10):
            remove_the_configuration(tree)
            await watch.changed()
            (tree / "virtualhosts.toml").write_text("again")
            await watch.changed()

    trio.run(main)


def test_what_changed_before_the_watch_began_is_seen(tree: Path) -> None:
    async def main() -> None:
        with TreeWatch(roots(tree), seen_before=0.0) as watch, trio.fail_after(10):
            await watch.changed()

    trio.run(main)


def test_other_files_beside_the_configuration_wake_nobody(tree: Path) -> None:
    async def main() -> bool:
        with TreeWatch(roots(tree), time.time()) as watch:
            (tree / "mtlsd.log").write_text("a line")
            with trio.move_on_after(1):
                await watch.changed()
                return True
            return False

    assert trio.run(main) is False
