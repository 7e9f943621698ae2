"""Files change while the daemon runs: what is good goes live at once, what is bad disturbs nobody."""

import io
import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd import log
from mtlsd.config.addresses import Address
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.net.reload import Reload
from mtlsd.net.server.listeners import Listeners
from mtlsd.net.services.state import State
from mtlsd.snapshot.snapshot import load_snapshot
from tests.support import pki
from tests.support.client import Answer, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, authority, certificate, globex, keys, replace, running
from tests.support.pki import SERVER, Issued

HEAD = request("HEAD")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(Tree(tmp_path_factory.mktemp("live"))) as daemon:
        yield daemon


def ask(daemon: Daemon, issued: Issued) -> Answer:
    with opened(daemon.address, issued) as client:
        return client.request(HEAD, head=True)


def served(daemon: Daemon, issued: Issued) -> bool:
    return ask(daemon, issued).status == 200


def partners(daemon: Daemon) -> Path:
    return daemon.tree.certs / "partners"


def until(daemon: Daemon, happened: Callable[[], bool]) -> None:
    """Wait for reloads until it happened: writing in several steps may be seen in several steps."""
    while not happened():
        daemon.wait_for("reloaded")


def write(daemon: Daemon, path: Path, data: bytes) -> None:
    """Change a file, so that what the log says next is about the change."""
    daemon.forget()
    replace(path, data)


@pytest.fixture(autouse=True)
def _fresh(live: Daemon) -> None:
    live.forget()


def test_a_partner_dropped_in_connects_and_nobody_is_dropped(live: Daemon) -> None:
    with opened(live.address, acme()) as client:
        assert client.request(HEAD, head=True).status == 200
        newcomer = certificate(authority("New"), "new.example")
        assert not served(live, newcomer)
        live.tree.add("newcomer", "NEWCOMER", newcomer)
        until(live, lambda: served(live, newcomer))
        assert client.request(HEAD, head=True).status == 200


def test_a_certificate_that_has_expired_or_soon_will_is_warned_of_at_each_reload(live: Daemon) -> None:
    place = live.tree.certs / "partners" / "acme" / "as2"
    place.mkdir(exist_ok=True)
    old = pki.self_signed("old.example", start=datetime(2020, 1, 1, tzinfo=UTC), end=datetime(2021, 1, 1, tzinfo=UTC))
    write(live, place / "old.pem", old.pem)
    try:
        for _ in range(2):
            line = live.wait_for("configuration_warning")
            assert (line["file"], line["level"]) == (str(place / "old.pem"), "warning")
            assert "CN=old.example" in line["detail"]
            assert line["detail"].endswith("expired on 2021-01-01")
            write(live, place / "again.pem", keys("ACME").certificate.x509.public_bytes(Encoding.PEM))
    finally:
        rmtree(place)


def test_a_partner_removed_is_refused_on_the_next_request_of_an_open_connection(live: Daemon) -> None:
    leaver = certificate(authority("Leaver"), "leaver.example")
    folder = live.tree.add("leaver", "LEAVER", leaver)
    until(live, lambda: served(live, leaver))
    with opened(live.address, leaver) as client, opened(live.address, acme()) as other:
        assert client.request(HEAD, head=True).status == 200
        assert other.request(HEAD, head=True).status == 200
        shutil.rmtree(folder)
        until(live, lambda: not served(live, leaver))
        answer = client.request(HEAD, head=True)
        assert (answer.status, answer.closes) == (400, True)
        assert client.is_closed()
        assert other.request(HEAD, head=True).status == 200


def test_one_certificate_of_several_is_removed(live: Daemon) -> None:
    root = authority("Several")
    first, second = certificate(root, "first.example"), certificate(root, "second.example")
    folder = live.tree.add("several", "SEVERAL", first)
    (folder / "tls" / "second.pem").write_bytes(second.pem)
    until(live, lambda: served(live, first) and served(live, second))
    (folder / "tls" / "client.pem").unlink()
    until(live, lambda: not served(live, first))
    assert served(live, second)


def test_a_certificate_replaced_by_a_rename(live: Daemon) -> None:
    root = authority("Replaced")
    old, new = certificate(root, "old.example"), certificate(root, "new.example")
    folder = live.tree.add("replaced", "REPLACED", old)
    until(live, lambda: served(live, old))
    replace(folder / "tls" / "client.pem", new.pem)
    until(live, lambda: served(live, new))
    assert not served(live, old)


def test_a_certificate_written_in_two_steps(live: Daemon) -> None:
    slow = certificate(authority("Slow"), "slow.example")
    folder = live.tree.add("slow", "SLOW", slow)
    until(live, lambda: served(live, slow))
    renewed = certificate(slow.issuers[0], "renewed.example")
    with (folder / "tls" / "client.pem").open("wb", buffering=0) as file:
        file.write(renewed.pem[:500])
        live.wait_for("configuration_problem")  # half a file is no certificate, and nobody else is disturbed
        assert served(live, acme())
        file.write(renewed.pem[500:])
    until(live, lambda: served(live, renewed))


def test_the_symlinks_of_kubernetes_are_swapped(live: Daemon) -> None:
    root = authority("Kubernetes")
    old, new = certificate(root, "old.example"), certificate(root, "new.example")
    folder = partners(live) / "kubernetes"
    for version, issued in (("..2026_01", old), ("..2026_02", new)):
        (folder / version).mkdir(parents=True)
        (folder / version / "client.pem").write_bytes(issued.pem)
        (folder / version / "root.pem").write_bytes(root.pem)
        (folder / version / "partner.toml").write_text('as2_id = "KUBERNETES"\n')
    for name in ("client.pem", "root.pem", "partner.toml"):
        (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data").symlink_to("..2026_01")
    until(live, lambda: served(live, old))
    (folder / "..data_tmp").symlink_to("..2026_02")
    (folder / "..data_tmp").rename(folder / "..data")
    until(live, lambda: served(live, new))
    assert not served(live, old)


def test_files_that_are_no_certificates_are_named_and_disturb_nobody(live: Daemon) -> None:
    odd = certificate(authority("Odd"), "odd.example")
    folder = live.tree.add("odd", "ODD", odd) / "tls"
    until(live, lambda: served(live, odd))
    folder.joinpath("empty.pem").write_bytes(b"")
    folder.joinpath("page.pem").write_bytes(b"<html>404</html>")
    folder.joinpath("key.pem").write_bytes(odd.key_pem)
    folder.joinpath("half.pem").write_bytes(odd.pem[:300])
    folder.joinpath("loop.pem").symlink_to("loop.pem")
    folder.joinpath("out.pem").symlink_to("/etc/passwd")
    folder.joinpath(".hidden.pem").write_bytes(b"nonsense")
    os.mkfifo(folder / "fifo.pem")
    for name in ("empty.pem", "page.pem", "key.pem", "half.pem", "loop.pem", "out.pem", "fifo.pem"):
        line = live.wait_for("configuration_problem", file=str(folder / name))
        assert "PRIVATE KEY" not in str(line)
    assert served(live, odd)
    assert served(live, acme())
    shutil.rmtree(folder.parent)


def test_a_partner_toml_with_a_mistake_disables_that_partner_alone(live: Daemon) -> None:
    typist = certificate(authority("Typist"), "typist.example")
    folder = live.tree.add("typist", "TYPIST", typist)
    until(live, lambda: served(live, typist))
    write(live, folder / "partner.toml", b'as2_id = "TYPIST"\nrequires = []\n')
    line = live.wait_for("configuration_problem", file=str(folder / "partner.toml"))
    assert (line["line"], line["key"]) == (2, "requires")
    live.wait_for("reloaded")
    assert ask(live, typist).reason == "partner_disabled"
    assert served(live, acme())
    (folder / "partner.toml").write_text('as2_id = "TYPIST"\n')
    until(live, lambda: served(live, typist))


def test_the_log_says_what_a_reload_changed(live: Daemon) -> None:
    newcomer = certificate(authority("Newcomer"), "newcomer.example")
    live.forget()
    folder = live.tree.add("newcomer", "NEWCOMER", newcomer)
    until(live, lambda: served(live, newcomer))
    assert any(line.get("added") == ["newcomer"] for line in live.log if line["event"] == "reloaded")
    (folder / "partner.toml").write_text('as2_id = "NEWCOMER"\nrequire = ["sign"]\n')
    assert live.wait_for("reloaded", changed=["newcomer"])
    rmtree(folder)
    until(live, lambda: not served(live, newcomer))
    assert any(line.get("removed") == ["newcomer"] for line in live.log if line["event"] == "reloaded")


def test_two_partners_with_one_certificate_are_both_nobody(live: Daemon) -> None:
    twin = certificate(authority("Twin"), "twin.example")
    live.tree.add("castor", "CASTOR", twin)
    until(live, lambda: served(live, twin))
    folder = live.tree.add("pollux", "POLLUX", twin)
    until(live, lambda: ask(live, twin).reason == "cert_ambiguous_mapping")
    shutil.rmtree(folder)
    until(live, lambda: served(live, twin))


@pytest.mark.parametrize("text", ["nonsense = ", "unknown = 1\n", ""], ids=["no TOML", "an unknown key", "empty"])
def test_a_broken_configuration_keeps_the_running_one(live: Daemon, text: str) -> None:
    good = live.tree.configuration.read_bytes()
    write(live, live.tree.configuration, text.encode())
    live.wait_for("reload_failed", file=str(live.tree.configuration))
    assert served(live, acme())
    write(live, live.tree.configuration, good)
    live.wait_for("reloaded")
    assert served(live, acme())


@pytest.mark.parametrize("name", ["key.pem", "chain.pem"])
def test_a_broken_host_certificate_keeps_the_running_one(live: Daemon, name: str) -> None:
    path = live.tree.certs / "hosts" / "as2.example.com" / name
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    line = live.wait_for("reload_failed", file=str(path))
    assert "BEGIN" not in line["detail"]
    assert served(live, acme())
    write(live, path, good)
    live.wait_for("reloaded")


def test_a_renewed_host_certificate_is_used_for_new_connections(live: Daemon) -> None:
    with opened(live.address, acme()) as client:
        renewed = pki.issue("as2.example.com", eku=(SERVER,), san=("dns:as2.example.com",), serial=4711, **LONG)
        renewed.write(live.tree.certs / "hosts" / "as2.example.com")
        until(live, lambda: server_certificate(live) == renewed.certificate.der)
        assert client.request(HEAD, head=True).status == 200


def server_certificate(daemon: Daemon) -> bytes | None:
    with opened(daemon.address) as client:
        assert isinstance(client.stream, ssl.SSLSocket)
        return client.stream.getpeercert(binary_form=True)


def test_an_organization_s_key_that_is_replaced_by_garbage(live: Daemon) -> None:
    path = live.tree.certs / "organizations" / "EXAMPLE" / "key.pem"
    good = path.read_bytes()
    path.write_bytes(keys("ANOTHER").certificate.der)
    live.wait_for("reload_failed", file=str(path))
    assert served(live, acme())
    write(live, path, good)
    live.wait_for("reloaded")


def test_a_host_that_is_taken_away_is_misdirected_on_open_connections(live: Daemon) -> None:
    hosts = dict(live.tree.hosts)
    with opened(live.address, sni="drop.example.com") as client:
        head = request("HEAD", host="drop.example.com")
        assert client.request(head, head=True).status == 200
        del live.tree.hosts["drop.example.com"]
        live.forget()
        live.tree.configure()
        live.wait_for("reloaded")
        assert client.request(head, head=True).status == 421
    live.tree.hosts = hosts
    live.forget()
    live.tree.configure()
    live.wait_for("reloaded")


def test_a_policy_that_is_tightened_holds_on_open_connections(live: Daemon) -> None:
    with opened(live.address, sni="maybe.example.com") as client:
        head = request("HEAD", host="maybe.example.com")
        assert client.request(head, head=True).status == 200
        live.tree.hosts["maybe.example.com"] = "required"
        live.forget()
        live.tree.configure()
        live.wait_for("reloaded")
        assert client.request(head, head=True).reason == "client_cert_missing"
    live.tree.hosts["maybe.example.com"] = "optional"
    live.forget()
    live.tree.configure()
    live.wait_for("reloaded")


def test_an_address_is_added_and_taken_away(live: Daemon) -> None:
    host, port = live.tree.address
    good = live.tree.configuration.read_text()
    name = 'name = "drop.example.com"\nlisten = '
    moved = good.replace(f'{name}"{host}:{port}"', f'{name}"{host}:{port + 1}"')
    assert moved != good
    write(live, live.tree.configuration, moved.encode())
    live.wait_for("reloaded")
    with opened((host, port + 1), sni="drop.example.com") as client:
        assert client.request(request("HEAD", host="drop.example.com"), head=True).status == 200
    write(live, live.tree.configuration, good.encode())
    live.wait_for("reloaded")
    with pytest.raises(ConnectionError), opened((host, port + 1)):
        pass
    assert served(live, acme())


def test_an_address_that_is_taken_keeps_the_running_configuration(live: Daemon) -> None:
    host, port = live.tree.address
    good = live.tree.configuration.read_text()
    with socket.socket() as squatter:
        squatter.bind((host, port + 2))
        squatter.listen()
        write(live, live.tree.configuration, good.replace(f"{host}:{port}", f"{host}:{port + 2}").encode())
        line = live.wait_for("reload_failed")
        assert "another program listens there" in line["detail"]
        assert served(live, acme())
    write(live, live.tree.configuration, good.encode())
    live.wait_for("reloaded")


@pytest.mark.parametrize(
    "setting", ['state = "other"', 'journal = "postgresql://127.0.0.1:9/x"', 'spool = "other"', 'certs = "other"']
)
def test_what_needs_a_restart_is_said_and_the_running_configuration_stays(live: Daemon, setting: str) -> None:
    good = live.tree.configuration.read_text()
    changed = f"server.{setting}\n{good}"
    if "certs" in setting:
        (live.tree.root / "other").symlink_to("certs")
    write(live, live.tree.configuration, changed.encode())
    line = live.wait_for("reload_failed")
    assert "can be changed with a restart only" in line["detail"]
    assert f"`{setting.split()[0]}" in line["detail"]
    assert served(live, acme())
    write(live, live.tree.configuration, good.encode())
    live.wait_for("reloaded")


class BrokenListeners(Listeners):
    """Listeners with a bug."""

    def bind(self, addresses: Iterable[Address]) -> dict[Address, trio.SocketListener]:
        raise RuntimeError("a bug of ours")


async def test_a_bug_that_a_reload_meets_is_loud_and_keeps_the_running_configuration(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    tree, text = Tree(tmp_path), io.StringIO()
    snapshot = load_snapshot(tree.configuration, None, time.time())
    with closing(SQLiteJournal(tree.state / "journal.sqlite")) as journal:
        logger = log.configure(text, console=False)
        daemon = State(snapshot, journal, Spool(tree.state / "spool"), logger)
        await Reload(daemon, BrokenListeners(daemon, nursery), None).reload()
        assert daemon.snapshot is snapshot
    line = json.loads(text.getvalue())
    assert line["event"] == "internal_error"
    assert "RuntimeError: a bug of ours" in line["exception"]


def test_reloads_under_load_drop_nothing(live: Daemon) -> None:
    stop = threading.Event()
    failures: list[object] = []
    counts: list[int] = []

    def keep_asking(issued: Issued, keep: bool) -> None:
        done = 0
        try:
            while not stop.is_set():
                with opened(live.address, issued) as client:
                    for _ in range(20 if keep else 1):
                        failures.extend(a for a in [client.request(HEAD, head=True)] if a.status != 200)
                        done += 1
        except (OSError, EOFError) as error:
            failures.append(error)
        counts.append(done)

    threads = [threading.Thread(target=keep_asking, args=each) for each in ((acme(), True), (globex(), False))]
    for thread in threads:
        thread.start()
    for _ in range(5):
        live.reload()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(count > 5 for count in counts)


def test_a_thousand_partners_are_read_and_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("thousand"))
    root = authority("Thousand")
    key = pki.ec_key("thousand")
    for number in range(1000):
        folder = tree.certs / "partners" / f"p{number}"
        folder.mkdir()
        issued = certificate(root, f"p{number}.example", key=key)
        (folder / "client.pem").write_bytes(issued.pem + root.pem)
        (folder / "partner.toml").write_text(f'as2_id = "P{number}"\n')
    with running(tree) as daemon:
        assert served(daemon, issued)
        assert served(daemon, acme())
        daemon.reload()
        assert served(daemon, issued)
