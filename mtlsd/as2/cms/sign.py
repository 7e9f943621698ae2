"""Makes a SignedData (RFC 5652, section 5), for our MDNs and for the messages of the test partner."""

from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mtlsd.as2.cms import reader
from mtlsd.as2.cms.algorithms import DIGEST_OIDS, ECDSA, HASHES, MGF1, RSA_ENCRYPTION, RSASSA_PSS
from mtlsd.as2.cms.der import context, encode_integer, encode_oid
from mtlsd.as2.cms.verify import CONTENT_TYPE, MESSAGE_DIGEST
from mtlsd.pki.ber import NULL, OCTET_STRING, SEQUENCE, SET, encode
from mtlsd.pki.key_pair import KeyPair

OIDS_OF_DIGESTS = {name: oid for oid, name in DIGEST_OIDS.items()}


class Padding(StrEnum):
    """The padding of an RSA signature; an EC key has none."""

    PKCS1V15 = "pkcs1v15"
    PSS = "pss"


def sign(
    digest: bytes,
    algorithm: str,
    pair: KeyPair,
    *,
    rsa_padding: Padding = Padding.PKCS1V15,
    content: bytes | None = None,
) -> bytes:
    """A SignedData over content with this digest, by one signer, with our certificate chain inside.

    Detached, or with the `content` inside. The key is RSA or EC.
    """
    digest_algorithm = algorithm_identifier(OIDS_OF_DIGESTS[algorithm])
    attributes = _signed_attributes(digest)
    signature_algorithm, signature = _sign(encode(SET, attributes), algorithm, pair, rsa_padding)
    certificate = pair.certificate
    signer_info = encode(
        SEQUENCE,
        encode_integer(1),
        encode(SEQUENCE, certificate.issuer_der, encode_integer(certificate.serial)),
        digest_algorithm,
        encode(context(0), attributes),
        signature_algorithm,
        encode(OCTET_STRING, signature),
    )
    inside = [] if content is None else [encode(context(0), encode(OCTET_STRING, content))]
    signed_data = encode(
        SEQUENCE,
        encode_integer(1),
        encode(SET, digest_algorithm),
        encode(SEQUENCE, encode_oid(reader.DATA), *inside),
        encode(context(0), certificate.der, *(each.der for each in pair.chain)),
        encode(SET, signer_info),
    )
    return encode(SEQUENCE, encode_oid(reader.SIGNED_DATA), encode(context(0), signed_data))


def _sign(data: bytes, algorithm: str, pair: KeyPair, rsa_padding: Padding) -> tuple[bytes, bytes]:
    """The algorithm identifier and the signature."""
    key, hashed = pair.private_key, HASHES[algorithm]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        oid = next(oid for oid, digest in ECDSA.items() if digest == algorithm)
        return encode(SEQUENCE, encode_oid(oid)), key.sign(data, ec.ECDSA(hashed))
    assert isinstance(key, rsa.RSAPrivateKey)  # `load_organization` and `compose` accept no other key
    if rsa_padding is Padding.PKCS1V15:
        return algorithm_identifier(RSA_ENCRYPTION), key.sign(data, padding.PKCS1v15(), hashed)
    salt = hashed.digest_size
    return _pss(algorithm, salt), key.sign(data, padding.PSS(padding.MGF1(hashed), salt), hashed)


def algorithm_identifier(oid: str) -> bytes:
    """An AlgorithmIdentifier with the parameters NULL."""
    return encode(SEQUENCE, encode_oid(oid), encode(NULL))


def digest_and_mask(algorithm: str) -> bytes:
    """The fields [0] and [1] that the parameters of RSASSA-PSS and RSAES-OAEP begin with (RFC 4055)."""
    digest = algorithm_identifier(OIDS_OF_DIGESTS[algorithm])
    mask = encode(SEQUENCE, encode_oid(MGF1), digest)
    return encode(context(0), digest) + encode(context(1), mask)


def _pss(algorithm: str, salt: int) -> bytes:
    parameters = encode(SEQUENCE, digest_and_mask(algorithm), encode(context(2), encode_integer(salt)))
    return encode(SEQUENCE, encode_oid(RSASSA_PSS), parameters)


def _signed_attributes(digest: bytes) -> bytes:
    """Content type and message digest, in DER order: the shorter encoding comes first."""
    return encode(SEQUENCE, encode_oid(CONTENT_TYPE), encode(SET, encode_oid(reader.DATA))) + encode(
        SEQUENCE, encode_oid(MESSAGE_DIGEST), encode(SET, encode(OCTET_STRING, digest))
    )
