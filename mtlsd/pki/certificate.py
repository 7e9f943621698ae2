"""A certificate, parsed once into the fields that the rest of the program needs.

`cryptography` parses. The issuer is kept in two forms: as RFC 4514 text for people, and as its exact octets, because
the `issuerAndSerialNumber` of a CMS is compared by octets (RFC 5652, section 10.2.4).
"""

import warnings
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd.errors import MtlsdError, PeerError
from mtlsd.pki.ber import first_value, values
from mtlsd.pki.formats.normalize import respelled

Parsed = x509.Certificate  # a name that the field `x509` below does not hide

MAX_RSA_BITS = 8192
RSA_EXPONENT_LIMIT = 1 << 32  # of public exponents; nearly all are 65537

UNREADABLE = (  # the exceptions of `cryptography` for a malformed certificate
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class CertificateUnreadable(MtlsdError, ValueError):
    """The bytes are not a certificate; the text describes what they seem to be."""

    def inside(self, name: str) -> Self:
        """The same error, prefixed with the name of the part that it is about."""
        return type(self)(f"{name}: {self}")


class PrivateKeyPresent(CertificateUnreadable):
    """A file that should hold only certificates has a private key."""


class PasswordNeeded(CertificateUnreadable):
    """The bytes need a password, and none or a wrong one was given."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 certificate. Two certificates are equal if their bytes are."""

    der: bytes
    sha256: str = field(compare=False)  # hex, lower case
    subject: str = field(compare=False)  # RFC 4514
    issuer: str = field(compare=False)  # RFC 4514
    serial: int = field(compare=False)
    not_before: datetime = field(compare=False)
    not_after: datetime = field(compare=False)  # the last moment of validity, inclusive (RFC 5280, 4.1.2.5)
    is_ca: bool = field(compare=False)
    is_self_signed: bool = field(compare=False)  # its own key verifies it; equal names are not enough
    subject_key_identifier: bytes | None = field(compare=False)
    san: tuple[str, ...] = field(compare=False)  # "dns:…", "email:…", "uri:…", "ip:…"
    issuer_der: bytes = field(compare=False, repr=False)
    public_key_der: bytes = field(compare=False, repr=False)  # SubjectPublicKeyInfo
    x509: Parsed = field(compare=False, repr=False)  # to read, never to send: may be a respelled copy

    @classmethod
    def from_der(cls, der: bytes) -> "Certificate":
        """Parse exactly one certificate; raises only CertificateUnreadable, whatever the bytes."""
        try:
            with warnings.catch_warnings():  # about a serial of zero, C=USA: they exist, and stderr is for the log
                warnings.simplefilter("ignore")
                return _parse(der)
        except UNREADABLE as error:
            raise CertificateUnreadable(f"not a readable certificate: {error}") from error

    @property
    def is_respelled(self) -> bool:
        """Whether `x509` is a copy, because `cryptography` cannot read the certificate itself."""
        return self.x509.public_bytes(Encoding.DER) != self.der

    @property
    def pem(self) -> bytes:
        """The certificate in PEM (RFC 7468)."""
        text = b64encode(self.der).decode()
        lines = (text[at : at + 64] for at in range(0, len(text), 64))
        return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", "")).encode()

    def facts(self) -> dict[str, object]:
        """The facts about a certificate for the log."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": f"{self.serial:x}",
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Presented:
    """The certificates that a TLS client sent; it has proved possession of the key of `certificate`."""

    certificate: Certificate
    chain: tuple[Certificate, ...] = ()  # in the order sent, each once, without `certificate` itself


@dataclass(frozen=True, slots=True)
class PeerVerified:
    """A chain that verified at the time `at`. Only `tls.verify` makes one."""

    presented: Presented
    at: datetime
    warnings: tuple[str, ...] = ()  # about unknown revocation, if it is not a refusal
    chain: tuple[Certificate, ...] = ()  # as it verified, from the client's certificate to the trusted one


@dataclass(frozen=True, slots=True)
class PeerUnverified:
    """A chain that does not verify, and the reason."""

    presented: Presented
    error: PeerError


def is_costly(key: object) -> bool:
    """Whether verifying with this key is too expensive to let a stranger cause it: milliseconds per signature."""
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    return key.key_size > MAX_RSA_BITS or key.public_numbers().e >= RSA_EXPONENT_LIMIT


def _parse(der: bytes) -> Certificate:
    certificate = _loaded(der)
    extensions = {type(each.value): each.value for each in certificate.extensions}
    signed = _signed_fields(der)
    # Both names are read here, while warnings about oddities are suppressed; later they are only looked up.
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer
    is_own_issuer = signed.issuer == signed.subject
    return Certificate(
        der=der,
        sha256=sha256(der).hexdigest(),
        subject=subject,
        issuer=subject if is_own_issuer else issuer.rfc4514_string(),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=_is_ca(extensions.get(x509.BasicConstraints)),
        is_self_signed=is_own_issuer and _verifies_itself(certificate, signed.whole),
        subject_key_identifier=_subject_key_identifier(extensions.get(x509.SubjectKeyIdentifier)),
        san=tuple(_alternative_names(extensions.get(x509.SubjectAlternativeName))),
        issuer_der=signed.issuer,
        public_key_der=signed.public_key,
        x509=certificate,
    )


def _loaded(der: bytes) -> x509.Certificate:
    """The certificate, or a copy with names and extensions in an encoding that `cryptography` accepts."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer, certificate.extensions  # read only now
    except ValueError as error:
        try:
            return x509.load_der_x509_certificate(respelled(der))
        except (ValueError, IndexError):
            raise error from None
    return certificate


def _is_ca(extension: x509.ExtensionType | None) -> bool:
    return isinstance(extension, x509.BasicConstraints) and extension.ca


def _subject_key_identifier(extension: x509.ExtensionType | None) -> bytes | None:
    return extension.digest if isinstance(extension, x509.SubjectKeyIdentifier) else None


def _alternative_names(extension: x509.ExtensionType | None) -> Iterator[str]:
    for name in extension if isinstance(extension, x509.SubjectAlternativeName) else ():
        match name:
            case x509.DNSName():
                yield f"dns:{name.value.lower()}"
            case x509.RFC822Name():
                yield f"email:{name.value}"
            case x509.UniformResourceIdentifier():
                yield f"uri:{name.value}"
            case x509.IPAddress():
                yield f"ip:{name.value}"


def _verifies_itself(certificate: x509.Certificate, signed: bytes) -> bool:
    """Whether the certificate's own key made its signature; SHA-1 is allowed, because old AS2 certificates have it.

    `Certificate.verify_directly_issued_by` refuses SHA-1, so the keys are used directly. No trust follows from the
    result: it sorts the files of a partner, and finds the right reason for a refusal. A stranger may present the
    certificate, so a costly key is not used.
    """
    signature = certificate.signature
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
class _Signed:
    """The signed octets, and the fields of them that are compared by octets."""

    whole: bytes
    issuer: bytes
    subject: bytes
    public_key: bytes


def _signed_fields(der: bytes) -> _Signed:
    """Cut the fields out of DER that was parsed before, so that nothing is encoded again."""
    signed = first_value(first_value(der).content)
    fields = [each.whole for each in values(signed.content)]
    if fields[0][0] == 0xA0:  # version, absent in X.509 v1
        del fields[0]
    _serial, _algorithm, issuer, _validity, subject, public_key, *_ = fields
    return _Signed(signed.whole, issuer, subject, public_key)
