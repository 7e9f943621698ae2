"""The requirements for a single certificate, whatever its chain: its dates, key, key usages and algorithms.

`mtlsd.partners.rules` lists the checks for each kind of certificate, in their order.
"""

from datetime import datetime, timedelta

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound, KeyUsage, UnrecognizedExtension
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlsd.errors import (
    CertEKUNoClientAuth,
    CertExpired,
    CertificateRefused,
    CertKeyTooWeak,
    CertKeyUsage,
    CertNotYetValid,
    CertSigAlgWeak,
    CertUnhandledCriticalExt,
    CertUntrustedIssuer,
)
from mtlsd.pki.certificate import Certificate, is_costly
from mtlsd.pki.relaxations import Relax

RSA_BITS = 2048
CURVE_BITS = 256
DIGESTS = {"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"}


def check_dates(certificate: Certificate, now: datetime) -> None:
    """Raises CertNotYetValid or CertExpired."""
    if now < certificate.not_before:
        begins = f"valid in {_rounded(certificate.not_before - now)}, from {certificate.not_before}"
        raise refused(CertNotYetValid, certificate, begins)
    if now > certificate.not_after:
        ended = f"expired {_rounded(now - certificate.not_after)} ago, on {certificate.not_after}"
        raise refused(CertExpired, certificate, ended)


def check_key(certificate: Certificate) -> None:
    """Raises CertKeyTooWeak if the key is weak, unknown, or too expensive to verify with."""
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


def check_key_usage(certificate: Certificate, relax: frozenset[str] = frozenset()) -> None:
    """Raises CertKeyUsage if the key may not sign a handshake."""
    if Relax.ANY_KEY_USAGE not in relax and not may_sign(certificate):
        raise refused(CertKeyUsage, certificate, "its key usage has no digitalSignature")


def check_purpose(certificate: Certificate, relax: frozenset[str] = frozenset()) -> None:
    """Raises CertEKUNoClientAuth if the extended key usage, which may be missing, excludes TLS clients."""
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


def check_critical_extensions(certificate: Certificate) -> None:
    """Raises CertUnhandledCriticalExt. OpenSSL would, but never sees a certificate that is its own anchor."""
    for irregularity in certificate.irregularities:
        if irregularity.is_unhandled:
            raise refused(CertUnhandledCriticalExt, certificate, irregularity.text)
    for each in certificate.x509.extensions:
        if each.critical and isinstance(each.value, UnrecognizedExtension):
            raise refused(CertUnhandledCriticalExt, certificate, f"extension {each.oid.dotted_string}")


def check_is_ca(certificate: Certificate) -> None:
    """Raises CertUntrustedIssuer if the certificate may not issue others."""
    if not certificate.is_ca:
        raise refused(CertUntrustedIssuer, certificate, "an issuer in the chain is not a CA")


def check_signature_algorithm(certificate: Certificate, relax: frozenset[str] = frozenset()) -> None:
    """Raises CertSigAlgWeak, but not for a self-signed certificate, whose signature proves nothing."""
    if certificate.is_self_signed:
        return
    try:
        digest = certificate.x509.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(CertSigAlgWeak, certificate, str(error)) from error
    accepted = DIGESTS | {"sha1"} if Relax.SHA1_CHAIN in relax else DIGESTS
    if digest and digest.name not in accepted:  # None: Ed25519 and Ed448, which have their own digest
        raise refused(CertSigAlgWeak, certificate, f"signed with {digest.name}")


def may_sign(certificate: Certificate) -> bool:
    """Whether the key usage allows signing a handshake, as that of most roots does not."""
    try:
        return certificate.x509.extensions.get_extension_for_class(KeyUsage).value.digital_signature
    except ExtensionNotFound:
        return True


def refused(
    error: type[CertificateRefused], certificate: Certificate, detail: str = "", **facts: object
) -> CertificateRefused:
    """The refusal of a certificate, with its facts for the log."""
    return error(detail, **{**certificate.facts(), **facts})


def _rounded(time: timedelta) -> str:
    """Whole days if there are several, else hours, minutes and seconds."""
    return f"{time.days} days" if time.days > 1 else str(timedelta(seconds=round(time.total_seconds())))
