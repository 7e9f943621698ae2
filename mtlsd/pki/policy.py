"""What a certificate must be on its own, whatever its dates and its chain: its key, its uses, its algorithms.

Asked of each certificate that a client presents, and of each that is registered, so that the operators hear of
one that is always refused before the partner does.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound, KeyUsage, UnrecognizedExtension
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlsd.errors import (
    CertEKUNoClientAuth,
    CertificateRefused,
    CertKeyTooWeak,
    CertKeyUsage,
    CertSigAlgWeak,
    CertUnhandledCriticalExt,
    CertUntrustedIssuer,
)
from mtlsd.pki.certificate import Certificate, is_costly
from mtlsd.pki.relaxations import Relax

RSA_BITS = 2048
CURVE_BITS = 256
DIGESTS = {"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"}


def check_client(certificate: Certificate, relax: frozenset[str] = frozenset()) -> None:
    """What the certificate of a client must be; raises CertificateRefused."""
    _check_key(certificate)
    if Relax.ANY_KEY_USAGE not in relax and not may_sign(certificate):
        raise refused(CertKeyUsage, certificate, "its key usage has no digitalSignature")
    _check_purpose(certificate, relax)
    _check_critical_extensions(certificate)


def check_issuer(certificate: Certificate, relax: frozenset[str] = frozenset()) -> None:
    """What a certificate above a client's must be; raises CertificateRefused."""
    if not certificate.is_ca:
        raise refused(CertUntrustedIssuer, certificate, "an issuer in the chain is not a CA")
    _check_key(certificate)
    _check_purpose(certificate, relax)


def check_signature_algorithm(certificate: Certificate, relax: frozenset[str] = frozenset()) -> None:
    """Raises CertSigAlgWeak, but not for a self-signed certificate: whoever forges its signature has the key."""
    if certificate.is_self_signed:
        return
    try:
        digest = certificate.x509.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(CertSigAlgWeak, certificate, str(error)) from error
    accepted = DIGESTS | {"sha1"} if Relax.SHA1_CHAIN in relax else DIGESTS
    if digest and digest.name not in accepted:  # None: Ed25519 and Ed448, which bring their own
        raise refused(CertSigAlgWeak, certificate, f"signed with {digest.name}")


def may_sign(certificate: Certificate) -> bool:
    """Whether its key usage lets it sign a handshake; most roots may not."""
    try:
        return certificate.x509.extensions.get_extension_for_class(KeyUsage).value.digital_signature
    except ExtensionNotFound:
        return True


def refused(
    error: type[CertificateRefused], certificate: Certificate, detail: str = "", **facts: object
) -> CertificateRefused:
    """The refusal of a certificate, with what the log says about it."""
    return error(detail, **{**certificate.facts(), **facts})


def _check_key(certificate: Certificate) -> None:
    try:
        key = certificate.x509.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(CertKeyTooWeak, certificate, f"a key that is not supported: {error}") from error
    if is_costly(key):
        raise refused(CertKeyTooWeak, certificate, "an RSA key or a public exponent that is too large to verify with")
    match key:
        case rsa.RSAPublicKey(key_size=bits) if bits >= RSA_BITS:
            return
        case ec.EllipticCurvePublicKey(key_size=bits) if bits >= CURVE_BITS:
            return
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return
    raise refused(CertKeyTooWeak, certificate, f"{type(key).__name__}, {getattr(key, 'key_size', '?')} bits")


def _check_purpose(certificate: Certificate, relax: frozenset[str]) -> None:
    try:
        usages = set(certificate.x509.extensions.get_extension_for_class(ExtendedKeyUsage).value)
    except ExtensionNotFound:
        return
    allowed = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if Relax.SERVER_AUTH_ONLY in relax:
        allowed.add(ExtendedKeyUsageOID.SERVER_AUTH)
    if usages.isdisjoint(allowed):
        named = ", ".join(sorted(each.dotted_string for each in usages))
        raise refused(CertEKUNoClientAuth, certificate, f"its extended key usage is {named}")


def _check_critical_extensions(certificate: Certificate) -> None:
    """OpenSSL does this too, but a certificate that is its own anchor does not come before it."""
    for each in certificate.x509.extensions:
        if each.critical and isinstance(each.value, UnrecognizedExtension):
            raise refused(CertUnhandledCriticalExt, certificate, f"extension {each.oid.dotted_string}")
