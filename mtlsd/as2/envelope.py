"""Opening an EnvelopedData: our key unwraps the content key, the content key decrypts (RFC 5652, section 6).

A failed unwrap is never told apart from a damaged content: a random content key takes the place of the one that we
could not unwrap, and the failure shows where a damaged content would show (RFC 3218, section 2.3.2).
"""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, CipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from mtlsd.as2.cms import AlgorithmIdentifier, EnvelopedDataStarted, KeyIdentifier, KeyTransRecipient
from mtlsd.as2.der import Element
from mtlsd.errors import AS2DecryptFailed, AS2SecurityTooLow
from mtlsd.identity import KeyPair

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A content-encryption algorithm in CBC mode: lengths in octets, and the relaxation that allows it."""

    name: str
    algorithm: type[AES | TripleDES]
    key_length: int
    block_length: int
    relax: str | None = None


CIPHERS = {
    "2.16.840.1.101.3.4.1.2": ContentCipher("aes128-cbc", AES, 16, 16),
    "2.16.840.1.101.3.4.1.22": ContentCipher("aes192-cbc", AES, 24, 16),
    "2.16.840.1.101.3.4.1.42": ContentCipher("aes256-cbc", AES, 32, 16),
    "1.2.840.113549.3.7": ContentCipher("3des", TripleDES, 24, 8, relax="3des"),
}


class Decryptor:
    """Ciphertext in, plaintext out, one block behind: the last block has the padding."""

    def __init__(self, cipher: ContentCipher, key: bytes | None, iv: bytes) -> None:
        self.name = cipher.name
        self._doomed = key is None
        algorithm: CipherAlgorithm = cipher.algorithm(key or os.urandom(cipher.key_length))
        assert isinstance(algorithm, BlockCipherAlgorithm)
        self._context = Cipher(algorithm, modes.CBC(iv)).decryptor()
        self._block_length = cipher.block_length
        self._held = b""

    def update(self, ciphertext: bytes) -> bytes:
        """Plaintext without the block that may be the last one."""
        plaintext = self._held + self._context.update(ciphertext)
        keep = len(plaintext) - self._block_length
        self._held = plaintext[max(keep, 0) :]
        return plaintext[: max(keep, 0)]

    def finalize(self) -> bytes:
        """The last block without its padding (RFC 5652, section 6.3); raises AS2DecryptFailed."""
        try:
            last = self._held + self._context.finalize()
        except ValueError:
            _refuse("the ciphertext is not a whole number of blocks")
        count = last[-1] if last else 0
        if self._doomed or not 1 <= count <= self._block_length or last[-count:] != bytes([count]) * count:
            _refuse("the content does not decrypt")
        return last[:-count]


def open_envelope(started: EnvelopedDataStarted, keys: Sequence[KeyPair], relax: Collection[str]) -> Decryptor:
    """The decryptor for this envelope; raises AS2DecryptFailed, or AS2SecurityTooLow by policy."""
    cipher = CIPHERS.get(started.algorithm.oid)
    if cipher is None:
        _refuse(f"content encryption {started.algorithm.oid} is not supported")
    if cipher.relax and cipher.relax not in relax:
        raise AS2SecurityTooLow(f"{cipher.name} is not allowed: the partner's `relax` does not list it")
    iv = _initialization_vector(started.algorithm.parameters, cipher)
    return Decryptor(cipher, _content_key(started.recipients, keys, cipher.key_length), iv)


def _initialization_vector(parameters: Element | None, cipher: ContentCipher) -> bytes:
    iv = parameters.octets() if parameters else b""
    if len(iv) != cipher.block_length:
        _refuse("the initialization vector has the wrong length")
    return iv


def _content_key(recipients: Iterable[KeyTransRecipient], keys: Sequence[KeyPair], length: int) -> bytes | None:
    recipient, pair = _ours(recipients, keys)
    _check_key_transport(recipient.algorithm)
    assert isinstance(pair.private_key, rsa.RSAPrivateKey)
    try:
        key = pair.private_key.decrypt(recipient.encrypted_key, padding.PKCS1v15())
    except ValueError:
        return None
    return key if len(key) == length else None


def _check_key_transport(algorithm: AlgorithmIdentifier) -> None:
    if algorithm.oid != RSA_ENCRYPTION:
        _refuse(f"key transport {algorithm.oid} is not supported")


def _ours(recipients: Iterable[KeyTransRecipient], keys: Sequence[KeyPair]) -> tuple[KeyTransRecipient, KeyPair]:
    pairs = [(recipient, pair) for recipient in recipients for pair in keys]
    for exactly in (True, False):  # some products encode the issuer's name anew: then the serial number decides
        for recipient, pair in pairs:
            if _means(recipient.identifier, pair, exactly=exactly):
                return recipient, pair
    wanted = ", ".join(sorted({str(recipient.identifier) for recipient, _ in pairs})) or "nobody"
    held = ", ".join(f"{pair.certificate.serial:x}" for pair in keys)
    raise AS2DecryptFailed(f"encrypted to {wanted}; we hold the serial numbers {held}")


def _means(identifier: KeyIdentifier, pair: KeyPair, *, exactly: bool) -> bool:
    if identifier.subject_key_identifier is not None:
        return identifier.subject_key_identifier == pair.certificate.subject_key_identifier
    if identifier.serial != pair.certificate.serial:
        return False
    return not exactly or identifier.issuer == pair.certificate.issuer_der


def _refuse(detail: str) -> NoReturn:
    raise AS2DecryptFailed(detail)
