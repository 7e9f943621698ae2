"""Certificates come and go while requests run: none fails, and the new one serves within two seconds."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import opened, request
from tests.support.daemon import Daemon, Tree, acme, authority, certificate, globex, replace, running
from tests.support.pki import Issued, ec_key

HEAD = request("HEAD")
SECONDS = 2.0
FORMS = [pytest.param(20, id="short"), pytest.param(1000, id="long", marks=pytest.mark.long)]


class Asking:
    """Asks all the time, on connections that are kept for a while, and keeps what was not answered with 200."""

    def __init__(self, daemon: Daemon, issued: Issued, keep: int, failures: list[object]) -> None:
        self._issued = issued
        self._failures = failures
        self.count = 0
        self._daemon = daemon
        self._keep = keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with opened(self._daemon.address, self._issued) as client:
                    for _ in range(self._keep):
                        answer = client.request(HEAD, head=True)
                        self.count += 1
                        if answer.status != 200:
                            self._failures.append(answer)
            except (OSError, EOFError) as error:
                self._failures.append(error)
                return

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def asking(daemon: Daemon, failures: list[object], *each: tuple[Issued, int]) -> Iterator[list[Asking]]:
    several = [Asking(daemon, issued, keep, failures) for issued, keep in each]
    try:
        yield several
    finally:
        for one in several:
            one.stop()


def is_served(daemon: Daemon, issued: Issued) -> bool:
    with opened(daemon.address, issued) as client:
        return client.request(HEAD, head=True).status == 200


def seconds_until(daemon: Daemon, issued: Issued, served: bool) -> float:
    began = time.monotonic()
    while is_served(daemon, issued) is not served:
        assert time.monotonic() - began < 20, (daemon.log[-5:], served)
    return time.monotonic() - began


def change(folder: Path, number: int, new: Issued) -> None:
    """Put a certificate in, in one of the ways in which people and programs do it."""
    path = folder / "tls" / f"client-{number}.pem"
    match number % 3:
        case 0:
            replace(path, new.pem)
        case 1:
            path.write_bytes(new.pem)
        case 2:
            with path.open("wb", buffering=0) as file:
                file.write(new.pem[:300])
                file.write(new.pem[300:])


@pytest.mark.parametrize("changes", FORMS)
def test_no_request_fails_while_certificates_change(tmp_path: Path, changes: int) -> None:
    tree, root, key = Tree(tmp_path), authority("Rolling"), ec_key("rolling")
    issued = certificate(root, "rolling-0.example", key=key)
    folder = tree.add("rolling", "ROLLING", issued)
    path, waits = folder / "tls" / "client.pem", []
    failures: list[object] = []
    with running(tree) as daemon, asking(daemon, failures, (acme(), 50), (globex(), 1), (issued, 1)) as several:
        for number in range(1, changes + 1):
            renewed = certificate(root, f"rolling-{number}.example", key=key, serial=number)
            change(folder, number, renewed)
            waits.append(seconds_until(daemon, renewed, served=True))
            several[2].stop()
            several[2] = Asking(daemon, renewed, 1, failures)  # the partner changes over, and then the old one goes
            path.unlink()
            path, old, issued = folder / "tls" / f"client-{number}.pem", issued, renewed
        assert seconds_until(daemon, old, served=False) < 20
        assert is_served(daemon, issued)
        reloads = sum(line["event"] == "reloaded" for line in daemon.log)
    assert failures == []
    assert all(each.count > changes for each in several[:2])
    assert sorted(waits)[len(waits) // 2] < SECONDS, waits
    assert reloads >= changes
