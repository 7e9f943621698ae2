"""A certificate, parsed once into what the rest of the program asks of it.

`cryptography` does the reading. The issuer is kept in two forms: as RFC 4514 text, for people, and as the exact
bytes, because the `issuerAndSerialNumber` of a CMS is compared by bytes (RFC 5652, section 10.2.4).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mtlsd.errors import MtlsdError, PeerError

Parsed = x509.Certificate  # a name that the field `x509` below does not hide

MAX_RSA_BITS = 8192
RSA_EXPONENT_LIMIT = 1 << 32  # of public exponents; nearly all are 65537

UNREADABLE = (  # what `cryptography` raises for a certificate that is not well-formed
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class CertificateUnreadable(MtlsdError, ValueError):
    """The bytes are not a certificate; the text says what they look like."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 certificate. Two are equal when their bytes are."""

    der: bytes
    sha256: str = field(compare=False)  # hex, lower case
    subject: str = field(compare=False)  # RFC 4514
    issuer: str = field(compare=False)  # RFC 4514
    serial: int = field(compare=False)
    not_before: datetime = field(compare=False)
    not_after: datetime = field(compare=False)  # the last moment of validity, included (RFC 5280, 4.1.2.5)
    is_ca: bool = field(compare=False)
    is_self_signed: bool = field(compare=False)  # its own key verifies it: equal names are not enough
    subject_key_identifier: bytes | None = field(compare=False)
    san: tuple[str, ...] = field(compare=False)  # "dns:…", "email:…", "uri:…", "ip:…"
    issuer_der: bytes = field(compare=False, repr=False)
    public_key_der: bytes = field(compare=False, repr=False)  # SubjectPublicKeyInfo
    x509: Parsed = field(compare=False, repr=False)

    @classmethod
    def from_der(cls, der: bytes) -> "Certificate":
        """Parse exactly one certificate; raises CertificateUnreadable, whatever the bytes."""
        try:
            with warnings.catch_warnings():  # a serial of zero, C=USA: they exist, and stderr is for the log
                warnings.simplefilter("ignore")
                return _parse(der)
        except UNREADABLE as error:
            raise CertificateUnreadable(f"not a readable certificate: {error}") from error

    def facts(self) -> dict[str, object]:
        """What the log says about a certificate."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": f"{self.serial:x}",
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Presented:
    """What a TLS client showed, with the proof that it has the key of `certificate`."""

    certificate: Certificate
    chain: tuple[Certificate, ...] = ()  # in the order sent, each one once, without `certificate` itself


@dataclass(frozen=True, slots=True)
class PeerVerified:
    """A chain that verifies at the time it was judged. Only `tls.judge` makes one."""

    presented: Presented


@dataclass(frozen=True, slots=True)
class PeerUnverified:
    """A chain that does not verify, and why."""

    presented: Presented
    error: PeerError


def is_costly(key: object) -> bool:
    """Whether to verify with this key takes so long that nobody may make us do it: milliseconds for each signature."""
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    return key.key_size > MAX_RSA_BITS or key.public_numbers().e >= RSA_EXPONENT_LIMIT


def _parse(der: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(der)
    extensions = certificate.extensions
    names = _name_fields(certificate.tbs_certificate_bytes)
    subject, is_own_issuer = certificate.subject.rfc4514_string(), names.issuer == names.subject
    return Certificate(
        der=der,
        sha256=sha256(der).hexdigest(),
        subject=subject,
        issuer=subject if is_own_issuer else certificate.issuer.rfc4514_string(),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=_is_ca(extensions),
        is_self_signed=is_own_issuer and _verifies_itself(certificate),
        subject_key_identifier=_subject_key_identifier(extensions),
        san=_alternative_names(extensions),
        issuer_der=names.issuer,
        public_key_der=names.public_key,
        x509=certificate,
    )


def _is_ca(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _subject_key_identifier(extensions: x509.Extensions) -> bytes | None:
    try:
        return extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _alternative_names(extensions: x509.Extensions) -> tuple[str, ...]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(_alternative_name_texts(names))


def _alternative_name_texts(names: x509.SubjectAlternativeName) -> Iterator[str]:
    for name in names:
        match name:
            case x509.DNSName():
                yield f"dns:{name.value.lower()}"
            case x509.RFC822Name():
                yield f"email:{name.value}"
            case x509.UniformResourceIdentifier():
                yield f"uri:{name.value}"
            case x509.IPAddress():
                yield f"ip:{name.value}"


def _verifies_itself(certificate: x509.Certificate) -> bool:
    """Whether the own key made the signature; with SHA-1 too, as old AS2 certificates have it.

    `Certificate.verify_directly_issued_by` refuses SHA-1, so the keys are asked themselves. Nobody is trusted
    for this: it sorts the files of a partner, and finds the right reason for a refusal. A stranger may present
    what is verified here, so a costly key is not asked.
    """
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        match key := certificate.public_key():
            case rsa.RSAPublicKey():
                if is_costly(key):
                    return False
                padding, digest = (
                    certificate.signature_algorithm_parameters,
                    certificate.signature_hash_algorithm,
                )
                key.verify(signature, signed, padding, digest)  # type: ignore[arg-type]  # TypeError: not its kind
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, certificate.signature_algorithm_parameters)  # type: ignore[arg-type]
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


# --- The fields of TBSCertificate as exact bytes (RFC 5280, section 4.1) --------------------------------


@dataclass(frozen=True, slots=True)
class _Names:
    issuer: bytes
    subject: bytes
    public_key: bytes


def _name_fields(tbs: bytes) -> _Names:
    """Cut the fields out of bytes that have been parsed once already, so that nothing is encoded anew."""
    start, end = _content(tbs, 0)
    fields: list[bytes] = []
    while start < end and len(fields) < 7:
        _, after = _content(tbs, start)
        fields.append(tbs[start:after])
        start = after
    if fields[0][0] == 0xA0:  # version, absent in X.509 v1
        del fields[0]
    _serial, _algorithm, issuer, _validity, subject, public_key, *_ = fields
    return _Names(issuer, subject, public_key)


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the TLV at `at` begins and ends; definite lengths only, as DER has them."""
    first = der[at + 1]
    if first < 0x80:
        return at + 2, at + 2 + first
    size = first & 0x7F
    start = at + 2 + size
    return start, start + int.from_bytes(der[at + 2 : start], "big")
