"""Opens an envelope: decrypts the content with the content key, piece by piece (RFC 5652, section 6; RFC 5083).

A content key that cannot be unwrapped looks like damaged content: a random key replaces it, and the decryption fails at
the point at which damaged content would fail (RFC 3218, section 2.3.2).
"""

import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from mtlsd.as2.agreement import Agreement
from mtlsd.as2.cms.der import Element
from mtlsd.as2.cms.reader import ContentInfoEnded, EnvelopedDataStarted
from mtlsd.as2.cms.recipients import content_key, means
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.errors import AS2DecryptFailed, AS2RecipientUnknown, AS2SecurityTooLow
from mtlsd.pki.ber import OCTET_STRING, SEQUENCE, SET, encode
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.relaxations import Relax

MIN_TAG = 12  # octets of an authentication tag (RFC 5084, section 3.2)


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A content-encryption algorithm; lengths in octets. `relax` is the relaxation that it needs, if any."""

    name: str
    algorithm: type[AES | TripleDES]
    key_length: int
    block_length: int = 16
    relax: Relax | None = None


CBC = {
    "2.16.840.1.101.3.4.1.2": ContentCipher("aes128-cbc", AES, 16),
    "2.16.840.1.101.3.4.1.22": ContentCipher("aes192-cbc", AES, 24),
    "2.16.840.1.101.3.4.1.42": ContentCipher("aes256-cbc", AES, 32),
    "1.2.840.113549.3.7": ContentCipher("3des", TripleDES, 24, block_length=8, relax=Relax.TRIPLE_DES),
}
GCM = {  # RFC 5084; in AuthEnvelopedData only
    "2.16.840.1.101.3.4.1.6": ContentCipher("aes128-gcm", AES, 16),
    "2.16.840.1.101.3.4.1.26": ContentCipher("aes192-gcm", AES, 24),
    "2.16.840.1.101.3.4.1.46": ContentCipher("aes256-gcm", AES, 32),
}


class Decryptor(Protocol):
    """Ciphertext in, plaintext out. The plaintext proves nothing before `finalize` has returned."""

    name: str
    is_authenticated: bool  # whether nobody without the key can have changed the plaintext
    recipient: Certificate | None  # our certificate that the envelope is encrypted to

    def update(self, ciphertext: bytes) -> bytes: ...

    def finalize(self, ended: ContentInfoEnded) -> bytes:
        """The rest of the plaintext; raises AS2DecryptFailed or ReadAgain."""


def open_envelope(started: EnvelopedDataStarted, agreement: Agreement, hints: Hints, now: datetime) -> Decryptor:
    """The decryptor for an envelope; raises AS2DecryptFailed, AS2RecipientUnknown or AS2SecurityTooLow."""
    cipher = (GCM if started.is_authenticated else CBC).get(started.algorithm.oid)
    if cipher is None:
        _refuse(f"content encryption {started.algorithm.oid} is not supported here")
    if cipher.relax and cipher.relax not in agreement.partner.relax:
        raise AS2SecurityTooLow(f"{cipher.name} is not allowed: the partner's `relax` does not list it")
    parameters = started.algorithm.parameters
    iv = _nonce(parameters) if started.is_authenticated else _initialization_vector(parameters, cipher)
    try:
        key, pair = content_key(started.recipients, agreement.organization.decryption, cipher.key_length, now)
    except AS2RecipientUnknown as refusal:
        if not _is_for_backend(started, agreement):
            raise
        return Sealed(cipher.name, refusal)
    if started.is_authenticated:
        return GCMDecryptor(cipher, key, iv, pair.certificate, hints)
    return CBCDecryptor(cipher, key, iv, pair.certificate)


def _is_for_backend(started: EnvelopedDataStarted, agreement: Agreement) -> bool:
    """Whether the backend has the key: its certificate is registered, and named by one of the recipients."""
    if not agreement.may_stay_sealed:
        return False
    certificates = agreement.organization.backend_certificates
    return any(means(each.identifier, held) for each in started.recipients for held in certificates)


class CBCDecryptor:
    """Decrypts CBC, and holds back one block, because the last one has the padding."""

    is_authenticated = False

    def __init__(self, cipher: ContentCipher, key: bytes | None, iv: bytes, recipient: Certificate) -> None:
        self.name = cipher.name
        self.recipient: Certificate | None = recipient
        self._doomed = key is None
        self._context = Cipher(cipher.algorithm(key or os.urandom(cipher.key_length)), modes.CBC(iv)).decryptor()
        self._block_length = cipher.block_length
        self._held = b""

    def update(self, ciphertext: bytes) -> bytes:
        """Decrypt; the block that may be the last one is held back."""
        plaintext = self._held + self._context.update(ciphertext)
        keep = len(plaintext) - self._block_length
        self._held = plaintext[max(keep, 0) :]
        return plaintext[: max(keep, 0)]

    def finalize(self, ended: ContentInfoEnded) -> bytes:
        """The last block without its padding (RFC 5652, section 6.3)."""
        assert not ended.tag
        try:
            last = self._held + self._context.finalize()
        except ValueError:
            _refuse("the ciphertext is not a whole number of blocks")
        count = last[-1] if last else 0
        if self._doomed or not 1 <= count <= self._block_length or last[-count:] != bytes([count]) * count:
            _refuse("the content does not decrypt")
        return last[:-count]


class GCMDecryptor:
    """Decrypts GCM, whose tag, at the end, authenticates the content and the attributes.

    The attributes follow the content and must be hashed before it: if there are any, the body is read again.
    """

    is_authenticated = True

    def __init__(
        self, cipher: ContentCipher, key: bytes | None, nonce: bytes, recipient: Certificate, hints: Hints
    ) -> None:
        self.name = cipher.name
        self.recipient: Certificate | None = recipient
        self._hints = hints
        mode = modes.GCM(nonce, tag=None, min_tag_length=MIN_TAG)
        self._context = Cipher(AES(key or os.urandom(cipher.key_length)), mode).decryptor()
        self._context.authenticate_additional_data(hints.authenticated_attributes)

    def update(self, ciphertext: bytes) -> bytes:
        return self._context.update(ciphertext)

    def finalize(self, ended: ContentInfoEnded) -> bytes:
        """Check the tag; there is no more plaintext."""
        attributes = ended.authenticated_attributes
        encoded = encode(SET, attributes.content) if attributes else b""  # RFC 5083, section 2.2
        if encoded != self._hints.authenticated_attributes:
            raise ReadAgain(replace(self._hints, authenticated_attributes=encoded))
        try:
            return self._context.finalize_with_tag(ended.tag)
        except (InvalidTag, ValueError):
            _refuse("the content does not decrypt")


class Sealed:
    """Stands for an envelope that somebody else opens: gives no plaintext."""

    is_authenticated = False

    def __init__(self, name: str, refusal: AS2RecipientUnknown) -> None:
        self.name = name
        self.recipient: Certificate | None = None
        self.refusal = refusal

    def update(self, _: bytes) -> bytes:
        return b""

    def finalize(self, _: ContentInfoEnded) -> bytes:
        return b""


def _initialization_vector(parameters: Element | None, cipher: ContentCipher) -> bytes:
    iv = parameters.octets() if parameters else b""
    if len(iv) != cipher.block_length:
        _refuse("the initialization vector has the wrong length")
    return iv


def _nonce(parameters: Element | None) -> bytes:
    """The nonce of GCMParameters (RFC 5084, section 3.2)."""
    fields = parameters.expect(SEQUENCE).children() if parameters else []
    nonce = fields[0].expect(OCTET_STRING).content if fields else b""
    if not 8 <= len(nonce) <= 64:
        _refuse("the nonce has a length that is not supported")
    return nonce


def _refuse(detail: str) -> NoReturn:
    raise AS2DecryptFailed(detail)
