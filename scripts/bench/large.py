"""Memory and speed of the daemon with one large message, over mutual TLS to the spool."""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from scripts.bench.figures import Figure
from scripts.bench.messages import MIB, Keys, large_message
from scripts.bench.rig import Rig, running

MAX_GROWTH = 64 * MIB
RATE = 150  # MB/s
PEER_MIB = 256  # `openssl cms` holds the whole message in memory: it gets no larger one


def figures(mib: int, *, ber: bool) -> Iterator[Figure]:
    """Memory and speed with one message of this size."""
    check_disk(mib)
    with running() as rig:
        keys = Keys(rig.partner, rig.organization)
        before = rig.memory("VmRSS")
        with PeakMemory(rig) as peak:
            seconds, cpu = send(rig, *large_message(keys, mib, ber=ber))
        growth = peak.highest - before
        peer_mib = min(mib, PEER_MIB)
        peer = peer_mib * MIB / 1e6 / decrypt(rig, keys, peer_mib, ber=ber)
    name, speed = f"{mib} MiB in {'BER' if ber else 'DER'}", mib * MIB / 1e6 / seconds
    yield Figure(f"{name}, growth of memory", "below 64 MiB", f"{growth / MIB:.1f} MiB", "", growth < MAX_GROWTH)
    beside = f"`openssl cms -decrypt`, {peer_mib} MiB: {peer:.0f} MB/s"
    yield Figure(f"{name}, mTLS to spool", f"{RATE} MB/s", f"{speed:.0f} MB/s", beside, speed >= RATE)
    yield Figure(f"{name}, CPU in the daemon", "", f"{cpu:.1f} s of {seconds:.1f} s")


def check_disk(mib: int) -> None:
    """The spool keeps the message and the payload: twice its size; they are removed in the end."""
    folder, needed = tempfile.gettempdir(), (2 * mib + 2 * PEER_MIB) * MIB
    free = shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(f"{folder} has {free // MIB} MiB free, and this needs {needed // MIB} MiB: set TMPDIR, or take --size")


def send(rig: Rig, length: int, octets: Iterator[bytes]) -> tuple[float, float]:
    """Seconds until the MDN is there, and CPU seconds of the daemon."""
    connection = rig.connect()
    fields = {
        "AS2-From": "ACME",
        "AS2-To": "EXAMPLE",
        "Message-ID": "<large@bench.example>",
        "Disposition-Notification-To": "acme",
        "Disposition-Notification-Options": "signed-receipt-protocol=required,pkcs7-signature; "
        "signed-receipt-micalg=required,sha-256",
        "Content-Type": "application/pkcs7-mime; smime-type=enveloped-data",
        "Content-Length": str(length),
    }
    cpu, began = rig.cpu_seconds(), time.perf_counter()
    connection.request("POST", "/as2", body=octets, headers=fields)
    check(connection.getresponse())
    return time.perf_counter() - began, rig.cpu_seconds() - cpu


def check(response: http.client.HTTPResponse) -> None:
    body = response.read()
    if response.status != 200 or b"MDN-sent-automatically; processed\r\n" not in body:
        sys.exit(f"not processed: {response.status}\n{body.decode(errors='replace')}")


def decrypt(rig: Rig, keys: Keys, mib: int, *, ber: bool) -> float:
    """Seconds that `openssl cms -decrypt` takes, without looking at the signature."""
    body, pair = rig.folder / "body", rig.organization
    with body.open("wb") as file:
        file.writelines(large_message(keys, mib, ber=ber)[1])
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", body, "-out", os.devnull]
    command += ["-recip", pair.chain_file, "-inkey", pair.key_file]
    began = time.perf_counter()
    subprocess.run([str(each) for each in command], check=True)
    return time.perf_counter() - began


class PeakMemory:
    """The highest resident memory of the daemon while the block runs, looked at a hundred times a second."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.highest = 0

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.highest = max(self.highest, self._rig.memory("VmRSS"))
