"""Unwraps the content key of an envelope with one of our keys: key transport with RSA, or key agreement with ECDH.

If a key does not unwrap it, the result is None, and never an error that shows the cause (RFC 3218).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from mtlsd.as2.cms.algorithms import DIGEST_OIDS, HASHES, RSA_ENCRYPTION, mask_digest, tagged_fields
from mtlsd.as2.cms.der import Element, context
from mtlsd.as2.cms.reader import AlgorithmIdentifier, KeyAgreeRecipient, KeyIdentifier, KeyTransRecipient, Recipient
from mtlsd.errors import AS2DecryptFailed, AS2RecipientUnknown
from mtlsd.partners.rollover import not_in_use
from mtlsd.pki.ber import OCTET_STRING, SEQUENCE, encode
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.text import cut

RSAES_OAEP = "1.2.840.113549.1.1.7"
SPECIFIED = "1.2.840.113549.1.1.9"  # pSpecified: the label of OAEP is given

# dhSinglePass-stdDH-…kdf-scheme: elliptic curve Diffie-Hellman with the KDF of X9.63 (RFC 5753, section 7.1.4).
AGREEMENTS: dict[str, hashes.HashAlgorithm] = {
    "1.3.133.16.840.63.0.2": hashes.SHA1(),  # noqa: S303 - as a key derivation function it is not broken
    "1.3.132.1.11.1": hashes.SHA256(),
    "1.3.132.1.11.2": hashes.SHA384(),
    "1.3.132.1.11.3": hashes.SHA512(),
}
# AES key wrap (RFC 3394): octets of the wrapping key.
WRAPS = {"2.16.840.1.101.3.4.1.5": 16, "2.16.840.1.101.3.4.1.25": 24, "2.16.840.1.101.3.4.1.45": 32}


def content_key(
    recipients: Iterable[Recipient], keys: Sequence[KeyPair], length: int, now: datetime
) -> tuple[bytes | None, KeyPair]:
    """The content key of `length` octets, or None if it cannot be unwrapped; and the key pair that it is for.

    Raises AS2RecipientUnknown if the envelope is not for us, or for a retired key; AS2DecryptFailed if its algorithm is
    not supported.
    """
    recipient, pair = _ours(tuple(recipients), keys, now)
    key = _transported(recipient, pair) if isinstance(recipient, KeyTransRecipient) else _agreed(recipient, pair)
    return key if key is not None and len(key) == length else None, pair


def _transported(recipient: KeyTransRecipient, pair: KeyPair) -> bytes | None:
    scheme = _transport_padding(recipient.algorithm)
    if not isinstance(pair.private_key, rsa.RSAPrivateKey):
        return None
    try:
        return pair.private_key.decrypt(recipient.encrypted_key, scheme)
    except ValueError:
        return None


def _transport_padding(algorithm: AlgorithmIdentifier) -> padding.PKCS1v15 | padding.OAEP:
    if algorithm.oid == RSA_ENCRYPTION:
        return padding.PKCS1v15()
    if algorithm.oid == RSAES_OAEP:
        return _oaep(algorithm.parameters)
    raise AS2DecryptFailed(f"key transport {algorithm.oid} is not supported")


def _oaep(parameters: Element | None) -> padding.OAEP:
    """Read RSAES-OAEP-params (RFC 4055, section 4.1); the defaults are SHA-1 and an empty label."""
    fields = tagged_fields(parameters)
    digest = DIGEST_OIDS.get(AlgorithmIdentifier.parse(fields[0]).oid) if 0 in fields else "sha1"
    mask = mask_digest(fields.get(1))
    source = AlgorithmIdentifier.parse(fields[2]) if 2 in fields else None
    if digest is None or mask is None or (source and source.oid != SPECIFIED):
        raise AS2DecryptFailed("RSAES-OAEP with parameters that are not supported")
    label = source.parameters.octets() if source and source.parameters else None
    return padding.OAEP(padding.MGF1(HASHES[mask]), HASHES[digest], label or None)


def _agreed(recipient: KeyAgreeRecipient, pair: KeyPair) -> bytes | None:
    kdf_hash = AGREEMENTS.get(recipient.algorithm.oid)
    wrap = recipient.algorithm.parameters and AlgorithmIdentifier.parse(recipient.algorithm.parameters)
    if kdf_hash is None or wrap is None or wrap.oid not in WRAPS:
        raise AS2DecryptFailed(f"key agreement {recipient.algorithm.oid} is not supported")
    if not isinstance(pair.private_key, ec.EllipticCurvePrivateKey):
        return None
    try:
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(pair.private_key.curve, recipient.originator_key)
        secret = pair.private_key.exchange(ec.ECDH(), theirs)
        assert recipient.algorithm.parameters is not None
        info = shared_info(recipient.algorithm.parameters.whole, recipient.keying_material, WRAPS[wrap.oid])
        wrapping_key = X963KDF(kdf_hash, WRAPS[wrap.oid], info).derive(secret)
        return aes_key_unwrap(wrapping_key, recipient.encrypted_key)
    except (ValueError, InvalidUnwrap, UnsupportedAlgorithm):
        return None


def shared_info(wrap: bytes, keying_material: Element | None, length: int) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753, section 7.2); `wrap` is the algorithm of the key wrap, in DER."""
    material = encode(context(0), keying_material.whole) if keying_material else b""
    bits = encode(context(2), encode(OCTET_STRING, (length * 8).to_bytes(4, "big")))
    return encode(SEQUENCE, wrap, material, bits)


def _ours(recipients: Sequence[Recipient], keys: Sequence[KeyPair], now: datetime) -> tuple[Recipient, KeyPair]:
    """The RecipientInfo for us and the key pair that it names; a pair may be used before its dates, but not after."""
    kept = [pair for pair in keys if not pair.dates.have_ended(now)]
    if found := _find(recipients, kept):
        return found
    if found := _find(recipients, keys):
        _, pair = found
        raise AS2RecipientUnknown(f"encrypted to our {pair.certificate.serial:x}, {not_in_use(pair.dates, now)}")
    wanted = ", ".join(sorted({str(recipient.identifier) for recipient in recipients})) or "nobody"
    held = ", ".join(f"{pair.certificate.serial:x}" for pair in kept)
    raise AS2RecipientUnknown(f"encrypted to {cut(wanted)}; we hold the serial numbers {held}")


def _find(recipients: Sequence[Recipient], keys: Sequence[KeyPair]) -> tuple[Recipient, KeyPair] | None:
    pairs = [(recipient, pair) for recipient in recipients for pair in keys]
    for exactly in (True, False):  # some products re-encode the issuer's name: then the serial number decides
        for recipient, pair in pairs:
            if means(recipient.identifier, pair.certificate, exactly=exactly):
                return recipient, pair
    return None


def means(identifier: KeyIdentifier, certificate: Certificate, *, exactly: bool = True) -> bool:
    """Whether the identifier names the key of this certificate; `exactly` also compares the issuer's encoding."""
    if identifier.subject_key_identifier is not None:
        return identifier.subject_key_identifier == certificate.subject_key_identifier
    if identifier.serial != certificate.serial:
        return False
    return not exactly or identifier.issuer == certificate.issuer_der
