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
from mtlsd.errors import AS2CipherUnsupported, AS2DecryptFailed, AS2RecipientUnknown, AS2SecurityTooLow
from mtlsd.pki.ber import OCTET_STRING, SEQUENCE, SET, encode
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.relaxations import Relax

MIN_TAG, MAX_TAG = 12, 16  # octets of an authentication tag (RFC 5084, section 3.2)


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
GCM = {  # RFC 5084; in AuthEnvelopedData, and with a relaxation in EnvelopedData
    "2.16.840.1.101.3.4.1.6": ContentCipher("aes128-gcm", AES, 16),
    "2.16.840.1.101.3.4.1.26": ContentCipher("aes192-gcm", AES, 24),
    "2.16.840.1.101.3.4.1.46": ContentCipher("aes256-gcm", AES, 32),
}


UNSUPPORTED = {  # what some products can send
    "2.16.840.1.101.3.4.1.7": "AES-128-CCM",
    "2.16.840.1.101.3.4.1.27": "AES-192-CCM",
    "2.16.840.1.101.3.4.1.47": "AES-256-CCM",
    "1.2.840.113549.1.9.16.3.18": "ChaCha20-Poly1305",
    "1.2.392.200011.61.1.1.1.2": "Camellia-128-CBC",
    "1.2.392.200011.61.1.1.1.3": "Camellia-192-CBC",
    "1.2.392.200011.61.1.1.1.4": "Camellia-256-CBC",
    "1.2.840.113549.3.2": "RC2",
    "1.2.840.113549.3.4": "RC4",
    "1.3.14.3.2.7": "DES",
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
    cipher = _cipher(started, agreement)
    parameters = started.algorithm.parameters
    is_gcm = started.algorithm.oid in GCM
    iv = _nonce(parameters) if is_gcm else _initialization_vector(parameters, cipher)
    tag_length = _tag_length(parameters) if is_gcm and not started.is_authenticated else 0
    try:
        key, pair = content_key(started.recipients, agreement.organization.decryption, cipher.key_length, now)
    except AS2RecipientUnknown as refusal:
        if not _is_for_backend(started, agreement):
            raise
        return Sealed(cipher.name, refusal)
    if is_gcm:
        return GCMDecryptor(cipher, key, iv, pair.certificate, hints, tag_length)
    return CBCDecryptor(cipher, key, iv, pair.certificate)


def _cipher(started: EnvelopedDataStarted, agreement: Agreement) -> ContentCipher:
    """The content cipher; raises AS2CipherUnsupported, or AS2SecurityTooLow if the partner may not use it."""
    oid, relax = started.algorithm.oid, agreement.partner.relax
    cipher = GCM.get(oid) if started.is_authenticated else CBC.get(oid)
    if cipher is None and oid in GCM:
        if Relax.GCM_IN_ENVELOPED_DATA not in relax:
            _forbid(
                f"{GCM[oid].name} in EnvelopedData",
                "send AuthEnvelopedData (RFC 5084) or AES-CBC",
                Relax.GCM_IN_ENVELOPED_DATA,
            )
        cipher = GCM[oid]
    if cipher is None:
        what = UNSUPPORTED.get(oid) or (CBC[oid].name if oid in CBC else oid)
        kind = "AuthEnvelopedData" if started.is_authenticated else "EnvelopedData"
        raise AS2CipherUnsupported(
            f"encrypted with {what} in {kind}, which is not supported: encrypt with AES in CBC or GCM mode"
        )
    if cipher.relax and cipher.relax not in relax:
        _forbid(cipher.name, "encrypt with AES", cipher.relax)
    return cipher


def _forbid(what: str, instead: str, relax: Relax) -> NoReturn:
    raise AS2SecurityTooLow(
        f"encrypted with {what}, which is not allowed: {instead}, or ask us to allow it for you (`relax`: {relax})"
    )


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

    The attributes follow the content and must be hashed before it: if there are any, the body is read again. In
    EnvelopedData, the tag is the last `tag_length` octets of the content, and there are no attributes.
    """

    is_authenticated = True

    def __init__(
        self,
        cipher: ContentCipher,
        key: bytes | None,
        nonce: bytes,
        recipient: Certificate,
        hints: Hints,
        tag_length: int = 0,
    ) -> None:
        self.name = cipher.name
        self.recipient: Certificate | None = recipient
        self._hints = hints
        mode = modes.GCM(nonce, tag=None, min_tag_length=MIN_TAG)
        self._context = Cipher(AES(key or os.urandom(cipher.key_length)), mode).decryptor()
        self._context.authenticate_additional_data(hints.authenticated_attributes)
        self._tag_length = tag_length
        self._held = b""  # may be the tag

    def update(self, ciphertext: bytes) -> bytes:
        """Decrypt; what may be the tag is held back."""
        if not self._tag_length:
            return self._context.update(ciphertext)
        self._held += ciphertext
        count = max(len(self._held) - self._tag_length, 0)
        ciphertext, self._held = self._held[:count], self._held[count:]
        return self._context.update(ciphertext)

    def finalize(self, ended: ContentInfoEnded) -> bytes:
        """Check the tag; there is no more plaintext."""
        attributes = ended.authenticated_attributes
        encoded = encode(SET, attributes.content) if attributes else b""  # RFC 5083, section 2.2
        if encoded != self._hints.authenticated_attributes:
            raise ReadAgain(replace(self._hints, authenticated_attributes=encoded))
        tag = self._held if self._tag_length else ended.tag
        if self._tag_length and len(tag) != self._tag_length:
            _refuse("the content is shorter than its authentication tag")
        try:
            return self._context.finalize_with_tag(tag)
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


def _tag_length(parameters: Element | None) -> int:
    """The octets of a tag inside of EnvelopedData: aes-ICVlen of GCMParameters, or 16, as products have it."""
    fields = parameters.expect(SEQUENCE).children() if parameters else []
    length = fields[1].integer() if len(fields) > 1 else MAX_TAG
    if not MIN_TAG <= length <= MAX_TAG:
        _refuse("the authentication tag has a length that is not supported")
    return length


def _refuse(detail: str) -> NoReturn:
    raise AS2DecryptFailed(detail)
