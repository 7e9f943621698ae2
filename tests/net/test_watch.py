"""Seeing that a file changed, in each of the ways in which files change, and whose file it is."""

import os
import select
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from mtlsd.errors import ConfigurationError
from mtlsd.net.watch import TreeWatch
from mtlsd.snapshot.snapshot import Changes, load_snapshot
from tests.support.daemon import Tree

ACME = Changes(partners=frozenset({"acme"}))
NEWCO = Changes(partners=frozenset({"newco"}))
MOUNTED = Changes(partners=frozenset({"k8s"}))
OWN = Changes(own=True)


def partners(tree: Tree) -> Path:
    return tree.certs / "partners"


def write(tree: Tree) -> None:
    (partners(tree) / "acme" / "tls" / "client.pem").write_text("2")


def rename_over(tree: Tree) -> None:
    (tree.root / "new").write_text("2")
    (tree.root / "new").rename(partners(tree) / "acme" / "tls" / "client.pem")


def rename_inside(tree: Tree) -> None:
    folder = partners(tree) / "acme" / "tls"
    (folder / ".client.new").write_text("2")
    (folder / ".client.new").rename(folder / "client.pem")


def remove(tree: Tree) -> None:
    (partners(tree) / "acme" / "tls" / "client.pem").unlink()


def take_permissions(tree: Tree) -> None:
    (partners(tree) / "acme" / "tls" / "client.pem").chmod(0)


def keep_the_times(tree: Tree) -> None:
    path = partners(tree) / "acme" / "partner.toml"
    stat = path.stat()
    path.write_text(path.read_text().replace("ACME", "ECMA"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def remove_directory(tree: Tree) -> None:
    shutil.rmtree(partners(tree) / "acme")


def move_away(tree: Tree) -> None:
    (partners(tree) / "acme").rename(tree.root / "acme")


def add_directory(tree: Tree) -> None:
    (partners(tree) / "newco" / "tls").mkdir(parents=True)
    (partners(tree) / "newco" / "tls" / "b.pem").write_text("1")


def move_in(tree: Tree) -> None:
    (partners(tree) / ".newco").mkdir()
    (partners(tree) / ".newco" / "b.pem").write_text("1")
    (partners(tree) / ".newco").rename(partners(tree) / "newco")


def swap_a_link(tree: Tree) -> None:
    (partners(tree) / "k8s" / "..data_tmp").symlink_to("..two")
    (partners(tree) / "k8s" / "..data_tmp").rename(partners(tree) / "k8s" / "..data")


def remove_the_configuration(tree: Tree) -> None:
    tree.configuration.unlink()


def replace_the_configuration(tree: Tree) -> None:
    tree.limits = "max_connections = 7"
    tree.configure()


def write_the_configuration_in_place(tree: Tree) -> None:
    with tree.configuration.open("a") as file:
        file.write("# a line\n")
        file.flush()
        file.write("# and another one\n")


def touch_our_key(tree: Tree) -> None:
    (tree.certs / "hosts" / "as2.example.com" / "key.pem").chmod(0o400)


Change = Callable[[Tree], None]
CHANGES: dict[Change, Changes] = {
    **dict.fromkeys((write, rename_over, rename_inside, remove, take_permissions, keep_the_times), ACME),
    **dict.fromkeys((remove_directory, move_away), ACME),
    **dict.fromkeys((add_directory, move_in), NEWCO),
    **dict.fromkeys((remove_the_configuration, replace_the_configuration, touch_our_key), OWN),
    write_the_configuration_in_place: OWN,
    swap_a_link: MOUNTED,
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    for name in ("..one", "..two"):
        folder = partners(tree) / "k8s" / name
        folder.mkdir(parents=True)
        (folder / "partner.toml").write_text(f'as2_id = "{name}"\n')
    (partners(tree) / "k8s" / "..data").symlink_to("..one")
    (partners(tree) / "k8s" / "partner.toml").symlink_to("..data/partner.toml")
    return tree


class Site:
    """A tree with the snapshot that is in force, as the daemon has it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.snapshot = load_snapshot(tree.configuration, None, time.time())

    async def changes(self, watch: TreeWatch, seconds: float) -> Changes:
        """All that changed within so many seconds; a change in several steps may be seen in several."""
        found = Changes()
        with trio.move_on_after(seconds):
            while True:
                found |= (changes := await watch.changed())
                self.reload(changes)
        return found

    def reload(self, changes: Changes) -> None:
        with suppress(ConfigurationError):
            self.snapshot = load_snapshot(self.tree.configuration, None, time.time(), self.snapshot, changes)


class Blind(TreeWatch):
    """A watch for which the system has no watches left."""

    def _watch(self, directory: str | Path, mark: object) -> None:
        self.limited = True


async def watched(tree: Tree, change: Change, kind: type[TreeWatch]) -> Changes:
    site = Site(tree)
    with kind(lambda: site.snapshot, rescan_seconds=0.2) as watch:
        await site.changes(watch, 0.5)  # what was written when the snapshot was made may not have settled
        change(tree)
        with trio.fail_after(10):
            first = await watch.changed()
        site.reload(first)
        return first | await site.changes(watch, 0.5)


@pytest.mark.parametrize("kind", [TreeWatch, Blind])
@pytest.mark.parametrize("change", CHANGES)
async def test_every_kind_of_change_is_seen_and_whose_it_is(tree: Tree, change: Change, kind: type[TreeWatch]) -> None:
    assert await watched(tree, change, kind) == CHANGES[change]


async def test_what_changed_before_the_watch_began_is_seen(tree: Tree) -> None:
    site = Site(tree)
    write(tree)
    replace_the_configuration(tree)
    with TreeWatch(lambda: site.snapshot) as watch, trio.fail_after(10):
        changes = await watch.changed()
    assert changes.own
    assert "acme" in changes.partners


async def test_a_configuration_that_is_removed_and_comes_back_is_seen_twice(tree: Tree) -> None:
    site = Site(tree)
    with TreeWatch(lambda: site.snapshot) as watch, trio.fail_after(10):
        await site.changes(watch, 0.5)
        remove_the_configuration(tree)
        assert (await watch.changed()).own
        tree.configure()
        assert (await watch.changed()).own


@pytest.mark.parametrize("name", ["mtlsd.log", "certs/README.md", "certs/partners/README.md", "certs/partners/.new"])
async def test_other_files_wake_nobody(tree: Tree, name: str) -> None:
    site = Site(tree)
    with TreeWatch(lambda: site.snapshot) as watch:
        await site.changes(watch, 0.5)
        (tree.root / name).write_text("a line")
        with trio.move_on_after(1) as waiting:
            await watch.changed()
    assert waiting.cancelled_caught


@pytest.mark.parametrize("place", [".", "certs", "certs/partners"])
async def test_a_line_of_a_log_is_not_even_an_event(tree: Tree, place: str) -> None:
    site = Site(tree)
    with (tree.root / place / "mtlsd.log").open("a") as file, TreeWatch(lambda: site.snapshot) as watch:
        await site.changes(watch, 0.5)
        file.write("a line\n")
        file.flush()
        assert not select.select([watch._fd], [], [], 0)[0]
        (tree.root / place / "other").touch()
        assert select.select([watch._fd], [], [], 0)[0]  # another event of this directory is one


async def test_a_partner_that_comes_and_goes_leaves_no_watch(tree: Tree) -> None:
    site = Site(tree)
    with TreeWatch(lambda: site.snapshot) as watch, trio.fail_after(15):
        await site.changes(watch, 0.5)
        before = len(watch._marks)
        add_directory(tree)
        await site.changes(watch, 0.7)
        assert len(watch._marks) == before + 2
        shutil.rmtree(partners(tree) / "newco")
        await site.changes(watch, 0.7)
        assert len(watch._marks) == before
