"""OCSP (RFC 6960): a request for one certificate, and a response that counts only if it verifies. Pure.

The response is signed by the issuer, or by a certificate that this issuer issued for OCSPSigning. A response without
our nonce counts within its dates, because most responders sign in advance (RFC 9654, section 3).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from mtlsd.errors import MtlsdError
from mtlsd.pki.certificate import UNREADABLE, Certificate, is_costly

MAX_RESPONSE = 64 * 1024  # bytes
NONCE = 32  # octets (RFC 9654, section 2.1)
SKEW = timedelta(minutes=5)  # allowed difference between clocks
WITHOUT_END = timedelta(hours=1)  # validity of a response without nextUpdate
DIGESTS = {"sha256", "sha384", "sha512"}


class OCSPInvalid(MtlsdError, ValueError):
    """The response does not count; the text is the reason."""


@dataclass(frozen=True, slots=True)
class OCSPStatus:
    """The verified status of one certificate."""

    revoked: bool
    detail: str  # the date and reason of the revocation; empty if not revoked
    until: datetime  # the end of its validity


@dataclass(frozen=True, slots=True)
class OCSPFailure:
    """A failed request to a responder, and the time at which it may be asked again."""

    detail: str
    until: datetime


def responder(certificate: Certificate) -> str | None:
    """The URL of the responder that the certificate names, if it is http or https."""
    try:
        access = certificate.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None
    places = [each.access_location for each in access if each.access_method == AuthorityInformationAccessOID.OCSP]
    urls = [each.value for each in places if isinstance(each, x509.UniformResourceIdentifier)]
    return next((url for url in urls if url.lower().startswith(("http://", "https://"))), None)


def build_question(certificate: Certificate, issuer: Certificate, nonce: bytes) -> bytes:
    """An OCSPRequest in DER. The names are hashed with SHA-1, which every responder supports; nothing depends on it."""
    digest = hashes.SHA1()  # noqa: S303
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate.x509, issuer.x509, digest)
    return builder.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(Encoding.DER)


def read_answer(
    data: bytes, certificate: Certificate, issuer: Certificate, now: datetime, nonce: bytes | None = None
) -> OCSPStatus:
    """The status of this certificate; raises only OCSPInvalid, whatever the bytes."""
    try:
        with warnings.catch_warnings():  # an invalid serial number is the partner's problem
            warnings.simplefilter("ignore")
            return _read(data, certificate, issuer, now, nonce)
    except UNREADABLE as error:
        raise OCSPInvalid(f"not a readable OCSP response: {error}") from error


def _read(data: bytes, certificate: Certificate, issuer: Certificate, now: datetime, nonce: bytes | None) -> OCSPStatus:
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OCSPInvalid(f"the responder returned {response.response_status.name.lower()}")
    _check_signature(response, issuer, now)
    _check_nonce(response, nonce)
    for each in response.responses:
        if _is_about(each, certificate, issuer):
            return _status(each, now)
    raise OCSPInvalid("the answer is about other certificates")


def _is_about(single: ocsp.OCSPSingleResponse, certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the CertID has the three fields that we would send with the digest algorithm of the response."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate.x509, issuer.x509, single.hash_algorithm)
    ours = builder.build()
    return (single.serial_number, single.issuer_name_hash, single.issuer_key_hash) == (
        ours.serial_number,
        ours.issuer_name_hash,
        ours.issuer_key_hash,
    )


def _status(single: ocsp.OCSPSingleResponse, now: datetime) -> OCSPStatus:
    begins, ends = single.this_update_utc, single.next_update_utc or single.this_update_utc + WITHOUT_END
    if begins > now + SKEW:
        raise OCSPInvalid(f"the answer is dated {begins}, which is in the future")
    if ends < now - SKEW:
        raise OCSPInvalid(f"the answer was valid until {ends}")
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise OCSPInvalid("the responder does not know the certificate")
    revoked = single.certificate_status is ocsp.OCSPCertStatus.REVOKED
    return OCSPStatus(revoked, _when(single) if revoked else "", ends + SKEW)


def _when(single: ocsp.OCSPSingleResponse) -> str:
    date, reason = single.revocation_time_utc, single.revocation_reason
    return f"on {date:%Y-%m-%d}" + (f": {reason.value}" if reason else "")


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes | None) -> None:
    try:
        theirs = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if nonce is not None and theirs != nonce:
        raise OCSPInvalid("the answer is for another request: its nonce is not ours")


# --- The signer -----------------------------------------------------------------------------------------------


def _check_signature(response: ocsp.OCSPResponse, issuer: Certificate, now: datetime) -> None:
    digest = response.signature_hash_algorithm
    if digest and digest.name not in DIGESTS:
        raise OCSPInvalid(f"the answer is signed with {digest.name}")
    for signer in _signers(response, issuer, now):
        if _verifies(response, signer):
            return
    raise OCSPInvalid("the answer is signed neither by the issuer nor by a responder that the issuer authorized")


def _signers(response: ocsp.OCSPResponse, issuer: Certificate, now: datetime) -> Iterator[x509.Certificate]:
    yield issuer.x509
    for each in response.certificates[:4]:  # a responder sends its own certificate, and rarely an issuer
        if _is_delegate(each, issuer, now):
            yield each


def _is_delegate(certificate: x509.Certificate, issuer: Certificate, now: datetime) -> bool:
    """Whether this issuer issued it to sign OCSP responses, and it is valid now (RFC 6960, section 4.2.2.2)."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        certificate.verify_directly_issued_by(issuer.x509)
    except (x509.ExtensionNotFound, InvalidSignature, *UNREADABLE):
        return False
    valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return valid and ExtendedKeyUsageOID.OCSP_SIGNING in purposes


def _verifies(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    signature, signed, digest = response.signature, response.tbs_response_bytes, response.signature_hash_algorithm
    try:
        match key := signer.public_key():
            case rsa.RSAPublicKey() if digest and not is_costly(key):
                key.verify(signature, signed, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey() if digest:
                key.verify(signature, signed, ec.ECDSA(digest))
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, *UNREADABLE):
        return False
    return True
