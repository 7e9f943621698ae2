"""Payloads and originals: complete on disk, or not there."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.spool import Spool, SpoolFile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(root: Path) -> Spool:
    return Spool(root)


def write_and_keep(spool: Spool, file: SpoolFile, content: bytes, id_: str = "0001") -> str:
    file.write(content)
    return spool.keep(id_, {"payload": file})["payload"]


def kept(spool: Spool, id_: str, content: bytes = b"UNA:+.? '") -> str:
    return write_and_keep(spool, spool.create(), content, id_)


def files_under(directory: Path) -> list[Path]:
    return [each for each in directory.rglob("*") if each.is_file()]


def read(spool: Spool, name: str) -> bytes:
    with spool.open(name) as file:
        return file.read()


def test_what_is_kept_can_be_read(spool: Spool, root: Path) -> None:
    payload, original = spool.create(), spool.create()
    payload.write(b"pay")
    payload.write(b"load")
    original.write(b"original")
    names = spool.keep("0001", {"payload": payload, "original": original})
    assert names.keys() == {"payload", "original"}
    assert read(spool, names["payload"]) == b"payload"
    assert read(spool, names["original"]) == b"original"
    assert payload.size == 7
    assert files_under(root / "tmp") == []


def test_a_probe_leaves_nothing(spool: Spool, root: Path) -> None:
    spool.probe()
    assert files_under(root) == []


def test_a_probe_of_a_spool_that_is_gone_fails(spool: Spool, root: Path) -> None:
    (root / "tmp").rmdir()
    with pytest.raises(JournalUnavailable):
        spool.probe()


def test_the_room_is_that_of_the_file_system(spool: Spool, root: Path) -> None:
    space = spool.space()
    assert 0 < space.free <= space.size
    with pytest.raises(JournalUnavailable):
        Spool.space(_gone(spool, root))


def _gone(spool: Spool, root: Path) -> Spool:
    root.rename(root.with_name("elsewhere"))
    return spool


def test_kept_files_survive_a_restart(spool: Spool, root: Path) -> None:
    name = kept(spool, "0001")
    assert read(Spool(root), name) == b"UNA:+.? '"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("piece", [1_000, 65_536, 200_000])
def test_every_byte_arrives_in_order_whatever_the_pieces(spool: Spool, size: int, piece: int) -> None:
    content = os.urandom(size)
    file = spool.create()
    for start in range(0, size, piece):
        file.write(memoryview(content)[start : start + piece])
    assert file.size == size
    assert read(spool, spool.keep("0001", {"payload": file})["payload"]) == content


def test_a_short_write_is_completed(spool: Spool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, True)
    file = SpoolFile(Path("unused"), writing)
    with ThreadPoolExecutor(1) as thread, os.fdopen(reading, "rb") as pipe:
        content = os.urandom(3_000_000)  # more than a pipe takes at once
        whole = thread.submit(pipe.read, len(content))
        file.write(content)
        assert whole.result() == content
        os.close(file._fd)


def test_a_flush_hands_over_what_is_gathered(spool: Spool, root: Path) -> None:
    file = spool.create()
    file.write(b"early")
    assert file.path.read_bytes() == b""
    file.flush()
    assert file.path.read_bytes() == b"early"
    file.discard()


def test_a_discarded_file_is_gone(spool: Spool, root: Path) -> None:
    file = spool.create()
    file.write(b"forged")
    file.discard()
    file.discard()
    assert files_under(root) == []


def test_to_discard_a_kept_file_does_nothing(spool: Spool) -> None:
    file = spool.create()
    names = spool.keep("0001", {"payload": file})
    file.discard()
    assert read(spool, names["payload"]) == b""


def test_the_files_are_for_the_owner_only(spool: Spool, root: Path) -> None:
    kept(spool, "0001")
    file = spool.create()
    modes = {stat.S_IMODE(each.stat().st_mode) for each in files_under(root)}
    directories = {stat.S_IMODE(each.stat().st_mode) for each in [root, *root.rglob("*")] if each.is_dir()}
    assert (modes, directories) == ({0o600}, {0o700})
    file.discard()


def test_a_removed_file_is_gone(spool: Spool) -> None:
    name = kept(spool, "0001")
    spool.remove(name)
    spool.remove(name)
    with pytest.raises(JournalUnavailable):
        spool.open(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../secret",
        "messages/../../secret",
        "messages/00/../../secret",
        "messages/00/a.payload/../b.payload",
        "messages/00/a.payload\n",
        "messages/00/.payload",
        "tmp/file",
    ],
)
def test_a_name_that_leaves_the_kept_files_is_refused(spool: Spool, name: str) -> None:
    for use in (spool.open, spool.remove):
        with pytest.raises(JournalUnavailable, match="not a name in the spool"):
            use(name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # no example changes the spool
@given(name=st.text() | st.from_regex(r"messages/[0-9a-f]{2}/\w+\.\w+"))
def test_any_name_of_nothing_is_refused_with_our_own_error(spool: Spool, name: str) -> None:
    with pytest.raises(JournalUnavailable):
        spool.open(name)


def test_a_link_is_not_followed(spool: Spool, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "messages" / "00" / "a.payload").symlink_to(tmp_path / "secret")
    with pytest.raises(JournalUnavailable):
        spool.open("messages/00/a.payload")


def test_a_sweep_removes_what_nobody_knows(spool: Spool, root: Path) -> None:
    known, unknown = kept(spool, "0001"), kept(spool, "0002")
    received = spool.create()
    received.write(b"half a mess")
    removed = Spool(root).sweep({known})
    assert sorted(removed) == sorted([unknown, f"tmp/{received.path.name}"])
    assert read(spool, known) == b"UNA:+.? '"
    assert files_under(root) == [root / known]
    received.discard()


def test_a_sweep_leaves_alone_what_another_node_keeps_or_receives(spool: Spool, root: Path) -> None:
    other = Spool(root, "host-2")
    name, received = kept(other, "0001"), other.create()  # and the journal knows nothing of them yet
    received.write(b"half a message")
    (root / "messages" / "stray").touch()
    assert Spool(root, "host").sweep(()) == []
    assert spool.sweep(()) == []
    late = other.keep("0002", {"payload": received})["payload"]
    assert (read(spool, name), read(spool, late)) == (b"UNA:+.? '", b"half a message")
    assert Spool(root, "host-2").sweep({name}) == [late]  # which is the same node, after a crash


def test_a_sweep_of_a_clean_spool_removes_nothing(spool: Spool) -> None:
    name = kept(spool, "0001")
    assert spool.sweep({name}) == []


@pytest.mark.parametrize("size", [10, 100_000], ids=["when it is kept", "at once"])
def test_a_full_disk_is_spool_full(spool: Spool, size: int) -> None:
    file = SpoolFile(Path("/dev/full"), os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(SpoolFull):
        write_and_keep(spool, file, bytes(size))
    os.close(file._fd)


def test_a_root_below_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable):
        Spool(tmp_path / "file" / "spool")


def test_a_spool_that_we_may_not_write_is_unavailable(tmp_path: Path) -> None:
    script = """
import os, pathlib
from mtlsd.errors import JournalUnavailable
from mtlsd.journal.spool import Spool
spool = Spool(pathlib.Path("spool"))
os.chmod("spool/tmp", 0o555)
if os.getuid() == 0:
    os.chown("spool", 65534, 65534)
    os.setuid(65534)  # root may write anywhere
try:
    spool.create()
except JournalUnavailable as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("[Errno 13] Permission denied"), done.stderr


def test_a_file_that_cannot_grow_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    script = """
import pathlib, resource
from mtlsd.errors import JournalUnavailable
from mtlsd.journal.spool import Spool
spool = Spool(pathlib.Path("spool"))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
file = spool.create()
try:
    file.write(bytes(150_000))
except JournalUnavailable:
    file.discard()
    print([str(each) for each in pathlib.Path("spool").rglob("*") if each.is_file()])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
