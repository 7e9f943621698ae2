"""The AS2 receiver alone, in 64 KiB pieces, beside AES-256-CBC decryption and SHA-256 over as many octets."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.headers import AS2Headers
from mtlsd.as2.receiver import Receiver
from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import Require
from scripts.bench.figures import Figure
from scripts.bench.messages import MIB, PIECE, Keys, key_pair, large_message
from scripts.bench.rig import make_pair

ROUNDS = 3
FORMS = (("DER", False, 0.40), ("BER, indefinite length", True, 0.25))


def figures(mib: int) -> Iterator[Figure]:
    """Each form of a message of this size."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as name:
        folder = Path(name)
        keys = Keys(make_pair(folder / "acme", "ACME"), make_pair(folder / "example", "EXAMPLE"))
        for form, ber, share in FORMS:
            body = list(large_message(keys, mib, ber=ber)[1])
            peer, ours = best(lambda: decrypt_and_hash(mib), lambda body=body: receive(body, keys))  # type: ignore[misc]
            yield Figure(
                f"receiver alone, {form}, {mib} MiB",
                f"{share:.0%} of it",
                f"{peer / ours:.0%}, {rate(mib, ours):.0f} MB/s",
                f"AES-256-CBC and SHA-256 alone: {rate(mib, peer):.0f} MB/s",
                peer / ours >= share,
            )


def best(*programs: Callable[[], object]) -> list[float]:
    """CPU seconds of the quickest of a few rounds, of each; they take turns, because machines are noisy."""
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(ROUNDS):
        for program, taken in zip(programs, times, strict=True):
            began = time.process_time()
            program()
            taken.append(time.process_time() - began)
    return list(map(min, times))


def rate(mib: int, seconds: float) -> float:
    return mib * MIB / 1e6 / seconds


def decrypt_and_hash(mib: int) -> None:
    piece, digest = os.urandom(PIECE), hashlib.sha256()
    decryptor = Cipher(AES256(bytes(32)), modes.CBC(bytes(16))).decryptor()
    for _ in range(mib * MIB // PIECE):
        digest.update(decryptor.update(piece))


def receive(body: Iterable[bytes], keys: Keys) -> None:
    """Have the receiver read the message; its payload goes nowhere."""
    us, them = key_pair(keys.recipient), key_pair(keys.signer).certificate
    partner = Partner("ACME", ("ACME",), None, frozenset(Require), frozenset(), (), None, (), (), (), (them,))
    agreement = Agreement(Organization("EXAMPLE", "EXAMPLE", us, (us,)), partner, frozenset(Require), is_proven=True)
    fields = {
        "AS2-From": "ACME",
        "AS2-To": "EXAMPLE",
        "Message-ID": "<1@bench>",
        "Content-Type": "application/pkcs7-mime",
    }
    headers = AS2Headers.parse(fields.items())
    receiver = Receiver(headers, agreement, MessageLimits(1 << 40, 100), datetime.now(UTC))
    for data in body:
        receiver.receive_data(data)
        for _ in receiver.events():
            pass
    receiver.finish()
