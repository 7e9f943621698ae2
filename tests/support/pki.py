"""A small test CA: roots, intermediates and leaves with chosen dates, uses, keys, names and serials.

Everything is made while the tests run. An RSA key is made once for each name and size, and used again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from mtlsd.pki.certificate import Certificate

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")
KEY_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The RSA key of this name; the same name gives the same key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def rsa_key_of(p: int, q: int, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """The RSA key of two primes, with any public exponent."""
    d = pow(exponent, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(exponent, p * q))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def costly_rsa_keys() -> dict[str, rsa.RSAPrivateKey]:
    """Keys with which verifying takes many times as long as it should; Mersenne primes cost no search."""
    numbers = rsa_key("costly").private_numbers()
    return {
        "a large exponent": rsa_key_of(numbers.p, numbers.q, (1 << 2000) + 1),
        "a small exponent that is too large": rsa_key_of(numbers.p, numbers.q, (1 << 32) + 15),
        "a large modulus": rsa_key_of((1 << 4423) - 1, (1 << 4253) - 1),
    }


@cache
def ec_key(name: str, curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    """The elliptic curve key of this name."""
    curves: dict[str, ec.EllipticCurve] = {
        each.name: each for each in (ec.SECP192R1(), ec.SECP224R1(), ec.SECP256R1(), ec.SECP384R1())
    }
    return ec.generate_private_key(curves[curve])


@cache
def ed25519_key(name: str) -> ed25519.Ed25519PrivateKey:
    """The Ed25519 key of this name."""
    return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and those that issued it, up to the root."""

    certificate: Certificate
    key: Key
    issuers: "tuple[Issued, ...]" = field(default=())

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """What a client sends along: every issuer but the root."""
        return tuple(each.certificate for each in self.issuers[:-1])

    @property
    def pem(self) -> bytes:
        return pem_of(self.certificate)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and what is sent along with it."""
        return b"".join(map(pem_of, (self.certificate, *self.chain)))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def encrypted_key_pem(self, passphrase: bytes) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))

    def write(self, directory: Path, certificate: str = "chain.pem", key: str = "key.pem") -> None:
        """Write the chain and the key, the key with mode 0600."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / certificate).write_bytes(self.chain_pem)
        (directory / key).touch(mode=0o600)
        (directory / key).write_bytes(self.key_pem)


def root(name: str = "Root", **options: object) -> Issued:
    """A self-signed CA."""
    return issue(name, **{"ca": True, "uses": ("key_cert_sign", "crl_sign"), **options})  # type: ignore[arg-type]


def intermediate(issuer: Issued, name: str = "Intermediate", **options: object) -> Issued:
    """A CA below another."""
    return root(name, issuer=issuer, **options)


def leaf(issuer: Issued, name: str = "edi.acme.example", **options: object) -> Issued:
    """An end-entity certificate for TLS clients."""
    return issue(name, **{"issuer": issuer, "eku": (CLIENT,), **options})  # type: ignore[arg-type]


def self_signed(name: str = "edi.acme.example", **options: object) -> Issued:
    """A self-signed certificate as many AS2 products make them; `ca=True` makes it call itself a CA."""
    return issue(name, **options)  # type: ignore[arg-type]


def issue(
    name: str,
    *,
    issuer: Issued | None = None,
    subject: str | None = None,  # RFC 4514; otherwise CN=name
    key: Key | None = None,
    start: datetime = NOW - 30 * DAY,
    end: datetime = NOW + 365 * DAY,
    serial: int | None = None,
    ca: bool | None = False,  # None: without basic constraints
    path_length: int | None = None,
    uses: Sequence[str] = (),  # of KEY_USES; none: without a key usage
    eku: Sequence[ObjectIdentifier] = (),
    san: Sequence[str] = (),  # "dns:…", "email:…", "uri:…", "ip:…"
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    identifiers: bool = True,
    sha1: bool = False,
) -> Issued:
    """Any certificate; without an issuer it is self-signed."""
    key = key or rsa_key(name)
    full_name = x509.Name.from_rfc4514_string(subject or f"CN={name}")
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(full_name)
        .issuer_name(issuer.certificate.x509.subject if issuer else full_name)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if uses:
        usage = x509.KeyUsage(**{each: each in uses for each in KEY_USES})
        builder = builder.add_extension(usage, critical=True)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    if san:
        names = x509.SubjectAlternativeName(list(map(_general_name, san)))
        builder = builder.add_extension(names, critical=False)
    if identifiers:
        own, above = map(x509.SubjectKeyIdentifier.from_public_key, (key.public_key(), signer.public_key()))
        builder = builder.add_extension(own, critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
        builder = builder.add_extension(identifier, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    made = builder.sign(signer, None if edwards else hashes.SHA256())
    der = made.public_bytes(Encoding.DER)
    if sha1:
        assert isinstance(signer, rsa.RSAPrivateKey)
        der = _with_sha1(made, signer)
    return Issued(Certificate.from_der(der), key, (issuer, *issuer.issuers) if issuer else ())


def pem_of(certificate: Certificate) -> bytes:
    return certificate.pem


def _general_name(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    match kind:
        case "dns":
            return x509.DNSName(value)
        case "email":
            return x509.RFC822Name(value)
        case "uri":
            return x509.UniformResourceIdentifier(value)
        case _:
            return x509.IPAddress(ip_address(value))


def _with_sha1(certificate: x509.Certificate, signer: rsa.RSAPrivateKey) -> bytes:
    """The same certificate, signed with SHA-1, which the library no longer does by itself."""
    tbs = certificate.tbs_certificate_bytes
    weak = tbs.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    signature = signer.sign(weak, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  # that is what is tested
    whole = certificate.public_bytes(Encoding.DER).replace(tbs, weak)
    return whole.replace(SHA256_WITH_RSA, SHA1_WITH_RSA).replace(certificate.signature, signature)


def name_constraints(permitted: str | None = None, excluded: str | None = None) -> x509.NameConstraints:
    """Which DNS names a CA may issue for, and which it may not."""
    return x509.NameConstraints(*([x509.DNSName(each)] if each else None for each in (permitted, excluded)))


def crl(
    issuer: Issued,
    *revoked: Issued,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 7 * DAY,
    why: x509.ReasonFlags | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    entries: Sequence[tuple[int, str | None]] = (),
    key: Key | None = None,
) -> bytes:
    """The revocation list of a CA, in DER; `key` is another than its own.

    `entries`: more serial numbers, and the issuer that an entry names: RFC 4514, or "?" for a name that is none.
    """
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.x509.subject)
    builder = builder.last_update(start).next_update(end)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial).revocation_date(start)
        entry = entry.add_extension(x509.CRLReason(why), critical=False) if why else entry
        builder = builder.add_revoked_certificate(entry.build())
    for serial, named in entries:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start)
        if named:
            of = x509.DNSName(named) if named == "?" else x509.DirectoryName(x509.Name.from_rfc4514_string(named))
            entry = entry.add_extension(x509.CertificateIssuer([of]), critical=True)
        builder = builder.add_revoked_certificate(entry.build())
    signer = key or issuer.key
    assert isinstance(signer, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def ocsp_answer(
    issuer: Issued,
    subject: Issued,
    *,
    signer: Issued | None = None,
    revoked: bool = False,
    unknown: bool = False,
    start: datetime = NOW - DAY,
    end: datetime | None = NOW + DAY,
    nonce: bytes | None = None,
) -> bytes:
    """What a responder says of a certificate, in DER; `signer` is a delegated one."""
    status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    signed_by = signer or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        subject.certificate.x509,
        issuer.certificate.x509,
        hashes.SHA256(),
        ocsp.OCSPCertStatus.UNKNOWN if unknown else status,
        start,
        end,
        start if revoked else None,
        x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signed_by.certificate.x509)
    if signer:
        builder = builder.certificates([signer.certificate.x509])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    assert isinstance(signed_by.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return builder.sign(signed_by.key, hashes.SHA256()).public_bytes(Encoding.DER)
