"""Memory and speed with one large message, made by `openssl cms`; beside it, what `openssl cms` takes to decrypt it."""

import argparse
import http.client
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from scripts.bench.messages import MIB, Keys, large_message, pieces
from scripts.bench.rig import Rig, running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the document in MiB")
    parser.add_argument("--ber", action="store_true", help="indefinite lengths, as streaming senders write them")
    options = parser.parse_args()
    with running() as rig:
        body = large_message(rig.folder, Keys(rig.partner, rig.organization), options.mib, ber=options.ber)
        before = rig.memory("VmRSS")
        with PeakMemory(rig) as peak:
            seconds, cpu = send(rig, body)
        print(f"document                            {options.mib} MiB, {'BER' if options.ber else 'DER'}")
        print(f"growth of the daemon's memory       {(peak.highest - before) / MIB:7.1f} MiB   (to stay below: 64 MiB)")
        print(
            f"from the first octet to the MDN     {options.mib * MIB / 1e6 / seconds:7.0f} MB/s  (to reach: 100 MB/s)"
        )
        print(f"CPU in the daemon                   {cpu:7.2f} s of {seconds:.2f} s")
        print(f"`openssl cms -decrypt` of the same  {options.mib * MIB / 1e6 / decrypt(rig, body):7.0f} MB/s")


def send(rig: Rig, body: Path) -> tuple[float, float]:
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
        "Content-Length": str(body.stat().st_size),
    }
    cpu, began = rig.cpu_seconds(), time.perf_counter()
    connection.request("POST", "/as2", body=pieces(body), headers=fields)
    check(connection.getresponse())
    return time.perf_counter() - began, rig.cpu_seconds() - cpu


def check(response: http.client.HTTPResponse) -> None:
    body = response.read()
    if response.status != 200 or b"MDN-sent-automatically; processed\r\n" not in body:
        sys.exit(f"not processed: {response.status}\n{body.decode(errors='replace')}")


def decrypt(rig: Rig, body: Path) -> float:
    """Seconds that `openssl cms -decrypt` takes, without looking at the signature."""
    began = time.perf_counter()
    pair = rig.organization
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", body, "-out", os.devnull]
    command += ["-recip", pair.chain_file, "-inkey", pair.key_file]
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


if __name__ == "__main__":
    main()
