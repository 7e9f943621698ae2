"""CPU time in the daemon for one exchange, beside RSA's own cost and pyas2lib in memory, in the same run."""

import argparse
import http.client
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from mtlsd.as2 import BuiltMessage, Sender
from scripts.bench.rig import Rig, running

SIZE = 10_000
WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="exchanges to measure")
    count: int = parser.parse_args().count
    with running() as rig:
        message = build(rig)
        connection = rig.connect()
        exchange(connection, message, range(WARM_UP))
        before, began = rig.cpu_seconds(), time.perf_counter()
        exchange(connection, message, range(WARM_UP, WARM_UP + count))
        elapsed, cpu = time.perf_counter() - began, rig.cpu_seconds() - before
        peer = time_rsa(rig)
    print(f"exchanges                           {count}")
    print(f"CPU in the daemon, one exchange     {cpu / count * 1000:7.3f} ms   (to reach: 2.0 ms)")
    print(
        f"RSA-2048 alone in it                {peer * 1000:7.3f} ms   (one decryption, one signature, one verification)"
    )
    print(f"time of one exchange, one after another {elapsed / count * 1000:7.3f} ms")


def build(rig: Rig) -> BuiltMessage:
    """One message; its copies differ in Message-ID only."""
    sender = Sender("ACME", rig.partner.key, rig.partner.certificate, "EXAMPLE", rig.organization.certificate)
    payload = bytes(range(256)) * (SIZE // 256 + 1)
    return sender.build(
        payload[:SIZE],
        content_type="application/octet-stream",
        filename="bench.bin",
        subject="bench",
        message_id="bench",
        sign="sha256",
        encrypt="aes256-cbc",
        compress=False,
        mdn="signed",
    )


def exchange(connection: http.client.HTTPSConnection, message: BuiltMessage, numbers: range) -> None:
    """Send copies of the message, one after another, and read each MDN."""
    for number in numbers:
        fields = dict(message.headers) | {"Message-ID": f"<{number}@bench.example>"}
        connection.request("POST", "/as2", body=message.body, headers=fields)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200 or b"MDN-sent-automatically; processed\r\n" not in body:
            sys.exit(f"not processed: {response.status}\n{body.decode(errors='replace')}")


def time_rsa(rig: Rig, rounds: int = 200) -> float:
    """CPU seconds of the RSA operations that one exchange needs."""
    key = rig.organization.key
    wrapped = key.public_key().encrypt(bytes(32), padding.PKCS1v15())
    began = time.process_time()
    for _ in range(rounds):
        key.decrypt(wrapped, padding.PKCS1v15())
        signature = key.sign(b"mdn", padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, b"mdn", padding.PKCS1v15(), hashes.SHA256())
    return (time.process_time() - began) / rounds


if __name__ == "__main__":
    main()
