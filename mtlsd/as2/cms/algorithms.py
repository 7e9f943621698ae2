"""Signature schemes: from the algorithm identifiers of a SignerInfo to a check of a signature with a key.

RSA PKCS #1 v1.5 (RFC 3370), RSASSA-PSS (RFC 4056) and ECDSA (RFC 5753, section 2.1), over a digest already computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from mtlsd.as2.cms.der import Element, context
from mtlsd.as2.cms.reader import AlgorithmIdentifier
from mtlsd.errors import AS2SecurityTooLow
from mtlsd.pki.ber import SEQUENCE

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSASSA_PSS = "1.2.840.113549.1.1.10"
MGF1 = "1.2.840.113549.1.1.8"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"

DIGEST_OIDS = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_UNSUPPORTED = {  # what some products can send
    "1.2.840.113549.2.5": "MD5",
    "2.16.840.1.101.3.4.2.4": "SHA-224",
    "2.16.840.1.101.3.4.2.6": "SHA-512/256",
    "2.16.840.1.101.3.4.2.8": "SHA3-256",
    "2.16.840.1.101.3.4.2.9": "SHA3-384",
    "2.16.840.1.101.3.4.2.10": "SHA3-512",
}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - refused by `verify` unless the partner's `relax` has it
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# Algorithms that also name their digest; None if the digest algorithm beside them decides.
_RSA: dict[str, str | None] = {
    RSA_ENCRYPTION: None,
    "1.2.840.113549.1.1.5": "sha1",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
ECDSA: dict[str, str | None] = {
    EC_PUBLIC_KEY: None,  # some products name the kind of key here
    "1.2.840.10045.4.1": "sha1",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
MIN_RSA_BITS = 2048
RELAXED_RSA_BITS = 1024  # for a partner whose `relax` has rsa-1024
MIN_CURVE_BITS = 256

Check = Callable[[PublicKeyTypes, bytes, bytes], None]


@dataclass(frozen=True, slots=True)
class Scheme:
    """A digest, and a check that a key made a signature over it; the check raises InvalidSignature."""

    digest: str
    check: Check
    min_rsa_bits: int


def scheme_of(
    digest_algorithm: AlgorithmIdentifier, signature_algorithm: AlgorithmIdentifier, min_rsa_bits: int = MIN_RSA_BITS
) -> Scheme:
    """The scheme of a SignerInfo; raises AS2SecurityTooLow if it is not supported."""
    digest = DIGEST_OIDS.get(digest_algorithm.oid)
    if digest is None:
        name = _UNSUPPORTED.get(digest_algorithm.oid, digest_algorithm.oid)
        raise AS2SecurityTooLow(f"the digest algorithm {name} is not supported: sign with SHA-256, SHA-384 or SHA-512")
    oid = signature_algorithm.oid
    if oid in _RSA and _RSA[oid] in (None, digest):
        return Scheme(digest, _rsa(padding.PKCS1v15(), digest, min_rsa_bits), min_rsa_bits)
    if oid == RSASSA_PSS:
        pss = _pss(signature_algorithm.parameters, digest)
        return Scheme(digest, _rsa(pss, digest, min_rsa_bits), min_rsa_bits)
    if oid in ECDSA and ECDSA[oid] in (None, digest):
        return Scheme(digest, _ecdsa(digest), min_rsa_bits)
    raise AS2SecurityTooLow(f"the signature algorithm {oid} is not supported with {digest}")


def _rsa(scheme: padding.PKCS1v15 | padding.PSS, digest: str, min_bits: int) -> Check:
    def check(key: PublicKeyTypes, signature: bytes, hashed: bytes) -> None:
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < min_bits:
            raise InvalidSignature
        key.verify(signature, hashed, scheme, Prehashed(HASHES[digest]))

    return check


def _ecdsa(digest: str) -> Check:
    def check(key: PublicKeyTypes, signature: bytes, hashed: bytes) -> None:
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size < MIN_CURVE_BITS:
            raise InvalidSignature
        key.verify(signature, hashed, ec.ECDSA(Prehashed(HASHES[digest])))

    return check


def _pss(parameters: Element | None, digest: str) -> padding.PSS:
    """Read RSASSA-PSS-params (RFC 4055, section 3.1): all digests must be equal; the salt may have any length."""
    fields = tagged_fields(parameters)
    named = AlgorithmIdentifier.parse(fields[0]).oid if 0 in fields else "1.3.14.3.2.26"
    mask = mask_digest(fields.get(1))
    salt = fields[2].integer() if 2 in fields else 20
    if mask == "sha1" != digest:
        raise AS2SecurityTooLow(
            f"RSASSA-PSS with {digest}, but with SHA-1 in its mask generation function (MGF1), which is the default of "
            f"Java: set MGF1 to {digest} (PSSParameterSpec), or sign with RSA PKCS #1 v1.5"
        )
    if DIGEST_OIDS.get(named) != digest or mask != digest or not 0 <= salt <= 512:
        raise AS2SecurityTooLow("RSASSA-PSS with digests that differ, or with an odd salt")
    return padding.PSS(padding.MGF1(HASHES[mask]), salt)


def mask_digest(algorithm: Element | None) -> str | None:
    """The digest of a MaskGenAlgorithm: SHA-1 if it is absent, None if it is not supported."""
    if algorithm is None:
        return "sha1"
    parsed = AlgorithmIdentifier.parse(algorithm)
    if parsed.oid != MGF1 or parsed.parameters is None:
        return None
    return DIGEST_OIDS.get(AlgorithmIdentifier.parse(parsed.parameters).oid)


def tagged_fields(parameters: Element | None) -> dict[int, Element]:
    """The explicitly tagged fields [0], [1], … of a SEQUENCE, such as the parameters of PSS and OAEP."""
    if parameters is None or parameters.tag != SEQUENCE:
        return {}
    return {child.tag - context(0): child.only_child() for child in parameters.children()}
