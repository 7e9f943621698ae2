"""The AS2 receiver alone, in 64 KiB pieces, beside AES-256-CBC decryption and SHA-256 over the same octets."""

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from mtlsd.as2 import Agreement, AS2Headers, Limits, Receiver
from mtlsd.identity import Certificate, KeyPair, Organization, Partner, Require
from scripts.bench.messages import Keys, large_message
from scripts.bench.rig import Pair, make_pair

MIB = 1024 * 1024
PIECE = 64 * 1024
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256, help="size of the document in MiB")
    mib: int = parser.parse_args().mib
    with TemporaryDirectory(prefix="mtlsd-bench-") as name:
        folder = Path(name)
        keys = Keys(make_pair(folder / "acme", "ACME"), make_pair(folder / "example", "EXAMPLE"))
        peer = best(lambda: decrypt_and_hash(mib))
        print(f"AES-256-CBC and SHA-256 alone          {rate(mib, peer):6.0f} MB/s")
        for form, ber, wanted in (("DER", False, 40), ("BER, indefinite lengths", True, 25)):
            body = large_message(folder, keys, mib, ber=ber)
            seconds = best(lambda body=body: receive(body, keys))  # type: ignore[misc]
            share = f"{peer / seconds:4.0%} of it (to reach: {wanted} %)"
            print(f"the receiver, {form:24} {rate(mib, seconds):6.0f} MB/s  {share}")


def best(once: Callable[[], object]) -> float:
    """CPU seconds of the quickest of a few rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        once()
        times.append(time.process_time() - began)
    return min(times)


def rate(mib: int, seconds: float) -> float:
    return mib * MIB / 1e6 / seconds


def decrypt_and_hash(mib: int) -> None:
    piece, digest = os.urandom(PIECE), hashlib.sha256()
    decryptor = Cipher(AES256(bytes(32)), modes.CBC(bytes(16))).decryptor()
    for _ in range(mib * MIB // PIECE):
        digest.update(decryptor.update(piece))


def receive(body: Path, keys: Keys) -> None:
    """Have the receiver read the message; its payload goes nowhere."""
    us, them = key_pair(keys.recipient), key_pair(keys.signer).certificate
    partner = Partner("ACME", ("ACME",), None, frozenset(Require), frozenset(), (), None, (), (), (), (them,))
    agreement = Agreement(Organization("EXAMPLE", "EXAMPLE", us, (us,)), partner, frozenset(Require))
    fields = {
        "AS2-From": "ACME",
        "AS2-To": "EXAMPLE",
        "Message-ID": "<1@bench>",
        "Content-Type": "application/pkcs7-mime",
    }
    headers = AS2Headers.parse(fields.items())
    receiver = Receiver(headers, agreement, Limits(1 << 40, 100), datetime.now(UTC))
    with body.open("rb") as file:
        while data := file.read(PIECE):
            receiver.receive_data(data)
            for _ in receiver.events():
                pass
    receiver.finish()


def key_pair(pair: Pair) -> KeyPair:
    return KeyPair(Certificate.from_der(pair.der), (), pair.key)


if __name__ == "__main__":
    main()
