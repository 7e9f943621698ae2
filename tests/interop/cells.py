"""The cells of the matrix, and what each of them gets from us.

A cell is one message: its layers from the inside out (c compressed, s signed, E encrypted), its algorithms, and the
receipt that it asks for.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product

PROCESSED = "processed"
TOO_WEAK = "processed/error: insufficient-message-security"
UNDECRYPTABLE = "processed/error: decryption-failed"

DIGESTS = (None, "sha1", "sha256", "sha384", "sha512")
CIPHERS = (None, "3des", "aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm")

# What a message with this algorithm gets; SHA-1 and Triple DES are relaxed for the partner of these tests.
SERVED = {**dict.fromkeys(filter(None, DIGESTS), PROCESSED), **dict.fromkeys(filter(None, CIPHERS), PROCESSED)}


class Receipt(StrEnum):
    """Which MDN a message asks for."""

    NONE = "none"
    UNSIGNED = "us"
    SIGNED = "ss"
    UNSIGNED_LATER = "ua"
    SIGNED_LATER = "sa"

    @property
    def is_signed(self) -> bool:
        return self in (Receipt.SIGNED, Receipt.SIGNED_LATER)

    @property
    def is_asynchronous(self) -> bool:
        return self in (Receipt.UNSIGNED_LATER, Receipt.SIGNED_LATER)


@dataclass(frozen=True, slots=True)
class Cell:
    """One message of the matrix."""

    id: str
    layers: str
    receipt: Receipt = Receipt.SIGNED
    digest: str | None = "sha256"
    cipher: str | None = "aes256-cbc"

    @property
    def expected(self) -> str:
        """The disposition: of the first algorithm that is refused, or `processed`."""
        used = [each for each in (self.cipher, self.digest) if each]
        return next((SERVED[each] for each in used if SERVED[each] != PROCESSED), PROCESSED)


def permutations() -> list[tuple[str, str]]:
    """The rows: compressed, signed, encrypted, each 0 or 1, then compressed after signing; with the layers."""
    rows = [(f"P-{c}{s}{e}", "c" * c + "s" * s + "E" * e) for c, s, e in product((0, 1), repeat=3)]
    return [*rows, ("P-CS0", "sc"), ("P-CS1", "scE")]


PERMUTATIONS = [
    Cell(
        f"{row}-{receipt}",
        layers,
        receipt,
        "sha256" if "s" in layers else None,
        "aes256-cbc" if "E" in layers else None,
    )
    for row, layers in permutations()
    for receipt in Receipt
]


def algorithm_id(digest: str | None, cipher: str | None) -> str:
    return f"ALG-{digest or 'none'}-{cipher or 'none'}"


ALGORITHMS = [
    Cell(algorithm_id(digest, cipher), "s" * bool(digest) + "E" * bool(cipher), digest=digest, cipher=cipher)
    for digest, cipher in product(DIGESTS, CIPHERS)
]
COMPRESSED = [
    Cell(f"{algorithm_id(digest, cipher)}-compressed", "csE", digest=digest, cipher=cipher)
    for digest, cipher in (("sha256", "aes128-cbc"), ("sha384", "aes192-cbc"), ("sha512", "aes256-cbc"))
]
