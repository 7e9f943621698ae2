"""Makes an envelope to one recipient: EnvelopedData (RFC 5652, section 6) or AuthEnvelopedData (RFC 5083).

For the messages of the test partner, whole and in memory; `decrypt` and `recipients` open such envelopes.
"""

import os

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlsd.as2.cms import reader
from mtlsd.as2.cms.algorithms import EC_PUBLIC_KEY, HASHES, RSA_ENCRYPTION
from mtlsd.as2.cms.decrypt import CBC, GCM, ContentCipher
from mtlsd.as2.cms.der import context, encode_integer, encode_oid
from mtlsd.as2.cms.recipients import AGREEMENTS, RSAES_OAEP, WRAPS, shared_info
from mtlsd.as2.cms.sign import algorithm_identifier, digest_and_mask
from mtlsd.pki.ber import BIT_STRING, OCTET_STRING, SEQUENCE, SET, encode
from mtlsd.pki.certificate import Certificate

ENCRYPT_ALGORITHMS = {cipher.name: oid for oid, cipher in (*CBC.items(), *GCM.items())}
_OAEP = {f"oaep-{digest}": digest for digest in HASHES}
_ECDH = {f"ecdh-{kdf.name}": oid for oid, kdf in AGREEMENTS.items()}
KEY_ALGORITHMS = ("rsa", *_OAEP, *_ECDH)
NONCE = 12  # octets (RFC 5084, section 3.2)
TAG = 16  # octets


def seal(content: bytes, recipient: Certificate, cipher: str, key_algorithm: str | None = None) -> bytes:
    """A ContentInfo that only the recipient can open.

    `cipher` is one of `ENCRYPT_ALGORITHMS`. `key_algorithm`, one of `KEY_ALGORITHMS`, encrypts the content key; None is
    the usual one for the recipient's kind of key. Raises ValueError if it does not fit the key.
    """
    oid = ENCRYPT_ALGORITHMS[cipher]
    with_it = (GCM if oid in GCM else CBC)[oid]
    key = os.urandom(with_it.key_length)
    version, recipient_info = _recipient_info(key, recipient, key_algorithm)
    if oid in GCM:
        return authenticated_enveloped(content, key, recipient_info, oid)
    recipients = encode(SET, recipient_info)
    iv = os.urandom(with_it.block_length)
    encrypted = _encrypted_content(oid, encode(OCTET_STRING, iv), _cbc(content, with_it, key, iv))
    body = encode(SEQUENCE, encode_integer(version), recipients, encrypted)
    return encode(SEQUENCE, encode_oid(reader.ENVELOPED_DATA), encode(context(0), body))


def authenticated_enveloped(content: bytes, key: bytes, recipient_info: bytes, oid: str) -> bytes:
    """A ContentInfo with an AuthEnvelopedData, for a content key, the RecipientInfo with it, and a cipher of `GCM`."""
    nonce = os.urandom(NONCE)
    sealed = AESGCM(key).encrypt(nonce, content, None)
    parameters = encode(SEQUENCE, encode(OCTET_STRING, nonce), encode_integer(TAG))
    encrypted = _encrypted_content(oid, parameters, sealed[:-TAG])
    recipients, tag = encode(SET, recipient_info), encode(OCTET_STRING, sealed[-TAG:])
    body = encode(SEQUENCE, encode_integer(0), recipients, encrypted, tag)
    return encode(SEQUENCE, encode_oid(reader.AUTH_ENVELOPED_DATA), encode(context(0), body))


def is_authenticated(cipher: str) -> bool:
    """Whether this cipher is used in an AuthEnvelopedData."""
    return ENCRYPT_ALGORITHMS[cipher] in GCM


def _cbc(content: bytes, cipher: ContentCipher, key: bytes, iv: bytes) -> bytes:
    padder = PKCS7(cipher.block_length * 8).padder()
    encryptor = Cipher(cipher.algorithm(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()


def _encrypted_content(oid: str, parameters: bytes, ciphertext: bytes) -> bytes:
    algorithm = encode(SEQUENCE, encode_oid(oid), parameters)
    return encode(SEQUENCE, encode_oid(reader.DATA), algorithm, encode(context(0, constructed=False), ciphertext))


def _recipient_info(key: bytes, recipient: Certificate, algorithm: str | None) -> tuple[int, bytes]:
    """The version that the envelope must have (RFC 5652, section 6.1), and the RecipientInfo."""
    public_key = recipient.x509.public_key()
    identifier = encode(SEQUENCE, recipient.issuer_der, encode_integer(recipient.serial))
    if isinstance(public_key, rsa.RSAPublicKey) and algorithm in (None, "rsa", *_OAEP):
        return 0, _key_trans(key, public_key, identifier, algorithm or "rsa")
    if isinstance(public_key, ec.EllipticCurvePublicKey) and algorithm in (None, *_ECDH):
        return 2, _key_agree(key, public_key, identifier, algorithm or "ecdh-sha256")
    raise ValueError(f"the receiver's key ({type(public_key).__name__}) does not support {algorithm or 'encryption'}")


def _key_trans(key: bytes, public_key: rsa.RSAPublicKey, identifier: bytes, algorithm: str) -> bytes:
    if algorithm == "rsa":
        how, encrypted = algorithm_identifier(RSA_ENCRYPTION), public_key.encrypt(key, padding.PKCS1v15())
    else:
        digest = _OAEP[algorithm]
        how = encode(SEQUENCE, encode_oid(RSAES_OAEP), encode(SEQUENCE, digest_and_mask(digest)))
        scheme = padding.OAEP(padding.MGF1(HASHES[digest]), HASHES[digest], None)
        encrypted = public_key.encrypt(key, scheme)
    return encode(SEQUENCE, encode_integer(0), identifier, how, encode(OCTET_STRING, encrypted))


def _key_agree(key: bytes, public_key: ec.EllipticCurvePublicKey, identifier: bytes, algorithm: str) -> bytes:
    """KeyAgreeRecipientInfo with an ephemeral key (RFC 5753, section 3.1); the key wrap is AES of 128 or 256 bits."""
    length = 16 if len(key) == 16 else 32
    wrap = encode(SEQUENCE, encode_oid(next(oid for oid, octets in WRAPS.items() if octets == length)))
    ephemeral = ec.generate_private_key(public_key.curve)
    secret = ephemeral.exchange(ec.ECDH(), public_key)
    agreement = _ECDH[algorithm]
    wrapping_key = X963KDF(AGREEMENTS[agreement], length, shared_info(wrap, None, length)).derive(secret)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    ours = (encode(SEQUENCE, encode_oid(EC_PUBLIC_KEY)), encode(BIT_STRING, b"\0", point))
    return encode(
        context(1),
        encode_integer(3),
        encode(context(0), encode(context(1), *ours)),
        encode(SEQUENCE, encode_oid(agreement), wrap),
        encode(SEQUENCE, encode(SEQUENCE, identifier, encode(OCTET_STRING, aes_key_wrap(wrapping_key, key)))),
    )
