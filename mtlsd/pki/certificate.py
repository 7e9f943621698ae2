"""A certificate, parsed once into the fields that the rest of the program needs.

`cryptography` parses. The issuer is kept in two forms: as RFC 4514 text for people, and as its exact octets, because
the `issuerAndSerialNumber` of a CMS is compared by octets (RFC 5652, section 10.2.4).
"""

import warnings
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd.errors import MtlsdError, PeerError
from mtlsd.pki.formats.normalize import Irregularity, PartUnreadable, readable_copy
from mtlsd.pki.identity import identity_of, sentence_about, wrong_time
from mtlsd.pki.tbs import signed_fields

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
    """The bytes are not a certificate; the text describes what they seem to be.

    `facts` are for the log: what identifies the certificate, if it is one.
    """

    def __init__(self, text: str, facts: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.facts = facts or {}

    @property
    def described(self) -> dict[str, str]:
        """The facts and the reason, for a log that is about another certificate."""
        return {**self.facts, "detail": str(self)}

    def inside(self, name: str) -> Self:
        """The same error, prefixed with the name of the part that it is about."""
        return type(self)(f"{name}: {self}", self.facts)


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
    x509: Parsed = field(compare=False, repr=False)  # to read, never to send: may be a copy
    irregularities: tuple[Irregularity, ...] = field(compare=False, default=(), repr=False)  # what the copy lacks

    @classmethod
    def from_der(cls, der: bytes) -> "Certificate":
        """Parse exactly one certificate; raises only CertificateUnreadable, whatever the bytes."""
        try:
            with warnings.catch_warnings():  # about a serial of zero, C=USA: they exist, and stderr is for the log
                warnings.simplefilter("ignore")
                return _parse(der)
        except UNREADABLE as error:
            raise _unreadable(der, error) from error

    @property
    def is_copied(self) -> bool:
        """Whether `x509` is a copy, because `cryptography` cannot read the certificate itself."""
        return self.x509.public_bytes(Encoding.DER) != self.der

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return pem_of(self.der)

    def has_issued(self, other: "Certificate") -> bool:
        """Whether the other certificate names this one as its issuer, and this one's key made its signature."""
        signed = signed_fields(other.der).whole
        return self.subject == other.issuer and _is_signed_by(self.x509, other.x509, signed)

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
    unreadable: tuple[CertificateUnreadable, ...] = ()  # about others that the client sent and that are not used


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


def pem_of(der: bytes) -> bytes:
    """A certificate in PEM (RFC 7468)."""
    text = b64encode(der).decode()
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", "")).encode()


def is_costly(key: object) -> bool:
    """Whether verifying with this key is too expensive to let a stranger cause it: milliseconds per signature."""
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    return key.key_size > MAX_RSA_BITS or key.public_numbers().e >= RSA_EXPONENT_LIMIT


def _parse(der: bytes) -> Certificate:
    certificate, irregularities = _loaded(der)
    extensions = {type(each.value): each.value for each in certificate.extensions}
    signed = signed_fields(der)
    # Both names are read here, while warnings about oddities are suppressed; later they are only looked up.
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer
    is_own_issuer = signed.issuer.whole == signed.subject.whole
    return Certificate(
        der=der,
        sha256=sha256(der).hexdigest(),
        subject=subject,
        issuer=subject if is_own_issuer else issuer.rfc4514_string(),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=_is_ca(extensions.get(x509.BasicConstraints)),
        is_self_signed=is_own_issuer and _is_signed_by(certificate, certificate, signed.whole),
        subject_key_identifier=_subject_key_identifier(extensions.get(x509.SubjectKeyIdentifier)),
        san=tuple(_alternative_names(extensions.get(x509.SubjectAlternativeName))),
        issuer_der=signed.issuer.whole,
        public_key_der=signed.public_key.whole,
        x509=certificate,
        irregularities=irregularities,
    )


def _loaded(der: bytes) -> tuple[x509.Certificate, tuple[Irregularity, ...]]:
    """The certificate, or a copy that `cryptography` can read and how it differs."""
    try:
        return _read_whole(der), ()
    except UNREADABLE as error:
        try:
            copy = readable_copy(der, _is_readable)
            return _read_whole(copy.der), copy.irregularities
        except PartUnreadable:
            raise
        except UNREADABLE:
            raise error from None


def _read_whole(der: bytes) -> x509.Certificate:
    """Parse a certificate with its names and extensions, which `cryptography` reads only when they are asked for."""
    certificate = x509.load_der_x509_certificate(der)
    _ = certificate.subject, certificate.issuer
    for each in certificate.extensions:
        if isinstance(each.value, x509.SubjectAlternativeName) and any(map(_is_odd, each.value)):
            raise ValueError("a subject alternative name that RFC 5280 does not allow")
    return certificate


def _is_odd(name: x509.GeneralName) -> bool:
    """Whether `cryptography` reads a name that is not one: UTF-8 in an IA5String, or an address with a mask."""
    if isinstance(name, x509.IPAddress):
        return isinstance(name.value, IPv4Network | IPv6Network)
    is_text = isinstance(name, x509.DNSName | x509.RFC822Name | x509.UniformResourceIdentifier)
    return is_text and not name.value.isascii()


def _is_readable(der: bytes) -> bool:
    try:
        _read_whole(der)
    except UNREADABLE:
        return False
    return True


def _unreadable(der: bytes, error: Exception) -> CertificateUnreadable:
    """The error for octets that cannot be read, with the reason and with what identifies the certificate."""
    facts = identity_of(der)
    why = wrong_time(der) or error
    return CertificateUnreadable(f"not a readable certificate: {why}{sentence_about(facts)}", facts)


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


def _is_signed_by(issuer: x509.Certificate, certificate: x509.Certificate, signed: bytes) -> bool:
    """Whether the issuer's key made the signature over these octets; SHA-1 is allowed: old AS2 certificates have it.

    `Certificate.verify_directly_issued_by` refuses SHA-1, and verifies the octets of a copy, so the keys are used
    directly. No trust follows from the result: it sorts certificates, and finds the right reason for a refusal. A
    stranger may present the certificate, so a costly key is not used.
    """
    signature = certificate.signature
    try:
        match key := issuer.public_key():
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
