"""Encrypts to a passphrase (PasswordRecipientInfo: RFC 5652, section 6.2.4; RFC 3211) or a certificate, and decrypts.

`openssl cms -decrypt` also decrypts these values, with `-pwri_password` or with the recipient's key. They are whole and
in memory: this is for our own bundles, not for messages.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from mtlsd.as2.cms import reader as cms
from mtlsd.as2.cms.decrypt import CBC, GCM
from mtlsd.as2.cms.der import Element, context, encode_integer, encode_oid
from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS, TAG, authenticated_enveloped, seal
from mtlsd.as2.cms.reader import (
    AlgorithmIdentifier,
    ContentInfoEnded,
    ContentInfoReader,
    ContentReceived,
    EnvelopedDataStarted,
)
from mtlsd.as2.cms.recipients import content_key
from mtlsd.errors import AS2DecryptFailed, AS2MIMEMalformed
from mtlsd.pki.ber import NULL, OCTET_STRING, SEQUENCE, SET, encode
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair

PBKDF2 = "1.2.840.113549.1.5.12"
HMAC_SHA256 = "1.2.840.113549.2.9"
PWRI_KEK = "1.2.840.113549.1.9.16.3.9"
CIPHER = "aes256-gcm"
ITERATIONS = 600_000
MAX_ITERATIONS = 5_000_000  # in a value that somebody else made: takes seconds
KEY = 32  # octets
BLOCK = 16
SALT = 16

FindKey = Callable[[bytes, EnvelopedDataStarted], bytes | None]


def seal_to(content: bytes, recipient: Certificate) -> bytes:
    """An AuthEnvelopedData with AES-256-GCM, to a certificate; raises ValueError if its key cannot encrypt."""
    is_rsa = isinstance(recipient.x509.public_key(), rsa.RSAPublicKey)
    return seal(content, recipient, CIPHER, "oaep-sha256" if is_rsa else None)


def seal_with(content: bytes, passphrase: bytes, iterations: int = ITERATIONS) -> bytes:
    """An AuthEnvelopedData with AES-256-GCM, to a passphrase."""
    key, salt, iv = os.urandom(KEY), os.urandom(SALT), os.urandom(BLOCK)
    prf = encode(SEQUENCE, encode_oid(HMAC_SHA256), encode(NULL))
    parameters = encode(SEQUENCE, encode(OCTET_STRING, salt), encode_integer(iterations), encode_integer(KEY), prf)
    derivation = encode(context(0), encode_oid(PBKDF2), parameters)
    cbc = encode(SEQUENCE, encode_oid(ENCRYPT_ALGORITHMS["aes256-cbc"]), encode(OCTET_STRING, iv))
    encrypted = encode(OCTET_STRING, _wrap(_derived(passphrase, salt, iterations), iv, key))
    wrapped = (encode(SEQUENCE, encode_oid(PWRI_KEK), cbc), encrypted)
    info = encode(context(3), encode_integer(0), derivation, *wrapped)
    return authenticated_enveloped(content, key, info, ENCRYPT_ALGORITHMS[CIPHER])


def open_with_key(sealed: bytes, pairs: Sequence[KeyPair], now: datetime) -> bytes:
    """The content that was sealed to one of these certificates that is not retired; raises an AS2Refused."""
    return _opened(sealed, lambda _, started: content_key(started.recipients, pairs, KEY, now)[0])


def open_with_passphrase(sealed: bytes, passphrase: bytes) -> bytes:
    """The content that was sealed to a passphrase; raises an AS2Refused."""
    return _opened(sealed, lambda whole, _: _unlocked(whole, passphrase))


def _opened(sealed: bytes, find_key: FindKey) -> bytes:
    reader = ContentInfoReader()
    reader.receive_data(sealed)
    reader.close()
    started, pieces, ended = None, [], None
    for event in _events(reader):
        match event:
            case EnvelopedDataStarted():
                started = event
            case ContentReceived():
                pieces.append(event.data)
            case ContentInfoEnded():
                ended = event
    if started is None or ended is None or not started.is_authenticated or started.algorithm.oid not in GCM:
        raise AS2MIMEMalformed("not an AuthEnvelopedData with AES-GCM")
    if ended.authenticated_attributes is not None or len(ended.tag) != TAG:
        raise AS2MIMEMalformed("authenticated attributes, or a tag that is too short: not one of ours")
    key = find_key(sealed, started)
    try:
        return AESGCM(key or os.urandom(KEY)).decrypt(_nonce(started), b"".join(pieces) + ended.tag, None)
    except (InvalidTag, ValueError) as error:
        raise AS2DecryptFailed("wrong key or passphrase, or the data were altered on the way") from error


def _events(reader: ContentInfoReader) -> Iterator[cms.Event]:
    while event := reader.next_event():
        yield event


def _nonce(started: EnvelopedDataStarted) -> bytes:
    parameters = started.algorithm.parameters
    fields = parameters.expect(SEQUENCE).children() if parameters else []
    return fields[0].expect(OCTET_STRING).content if fields else b""


def _unlocked(sealed: bytes, passphrase: bytes) -> bytes | None:
    """The content key in the first PasswordRecipientInfo; None if the passphrase is wrong."""
    for info in _recipient_infos(sealed):
        if info.tag == context(3):
            match info.children():
                case [_, derivation, how, encrypted] if derivation.tag == context(0):
                    salt, iterations = _derivation(derivation)
                    return _unwrap(_derived(passphrase, salt, iterations), _iv(how), encrypted.octets())
    raise AS2DecryptFailed("not sealed to a passphrase")


def _recipient_infos(sealed: bytes) -> list[Element]:
    content_info = Element.parse(sealed).expect(SEQUENCE).children()
    if len(content_info) != 2:
        raise AS2MIMEMalformed("not a ContentInfo")
    fields = content_info[1].expect(context(0)).only_child().expect(SEQUENCE).children()
    return next((each.children() for each in fields if each.tag == SET), [])


def _derivation(derivation: Element) -> tuple[bytes, int]:
    match derivation.children():
        case [oid, parameters] if oid.oid() == PBKDF2:
            fields = parameters.expect(SEQUENCE).children()
        case _:
            raise AS2DecryptFailed("a key derivation that is not PBKDF2")
    if len(fields) < 3 or AlgorithmIdentifier.parse(fields[-1]).oid != HMAC_SHA256:
        raise AS2DecryptFailed("PBKDF2 without HMAC-SHA-256")
    salt, iterations = fields[0].expect(OCTET_STRING).content, fields[1].integer()
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise AS2DecryptFailed("PBKDF2 with a count of iterations that is not accepted")
    return salt, iterations


def _iv(how: Element) -> bytes:
    algorithm = AlgorithmIdentifier.parse(how)
    inner = AlgorithmIdentifier.parse(algorithm.parameters) if algorithm.parameters else None
    iv = inner.parameters.octets() if inner and inner.parameters else b""
    is_ours = algorithm.oid == PWRI_KEK and inner and CBC.get(inner.oid) == CBC[ENCRYPT_ALGORITHMS["aes256-cbc"]]
    if not is_ours or len(iv) != BLOCK:
        raise AS2DecryptFailed("a key wrap that is not id-alg-PWRI-KEK with AES-256-CBC")
    return iv


def _derived(passphrase: bytes, salt: bytes, iterations: int) -> bytes:
    return PBKDF2HMAC(SHA256(), KEY, salt, iterations).derive(passphrase)


def _wrap(kek: bytes, iv: bytes, key: bytes) -> bytes:
    """Wrap a key (RFC 3211, section 2.3.1): encrypt twice, the second time with the last block of the first as IV."""
    block = bytes([len(key), *(each ^ 0xFF for each in key[:3])]) + key
    block += os.urandom(-len(block) % BLOCK)
    first = _cbc(kek, iv).encryptor().update(block)
    return _cbc(kek, first[-BLOCK:]).encryptor().update(first)


def _unwrap(kek: bytes, iv: bytes, wrapped: bytes) -> bytes | None:
    """Unwrap a key (RFC 3211, section 2.3.2); None if the passphrase is wrong."""
    if len(wrapped) < 2 * BLOCK or len(wrapped) % BLOCK:
        return None
    last = _cbc(kek, wrapped[-2 * BLOCK : -BLOCK]).decryptor().update(wrapped[-BLOCK:])
    first = _cbc(kek, last).decryptor().update(wrapped[:-BLOCK]) + last
    block = _cbc(kek, iv).decryptor().update(first)
    count, check, key = block[0], block[1:4], block[4 : 4 + block[0]]
    if count != KEY or len(key) != KEY or bytes(each ^ 0xFF for each in key[:3]) != check:
        return None
    return key


def _cbc(key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    return Cipher(AES(key), modes.CBC(iv))
