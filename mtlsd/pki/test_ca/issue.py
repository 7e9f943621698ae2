"""Issues test certificates: the CA itself, key pairs, and certificates for requests (RFC 2986), all with marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlsd.pki.certificate import UNREADABLE, Certificate, CertificateUnreadable, is_costly
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.names import alternative_name
from mtlsd.pki.policy import RSA_BITS
from mtlsd.pki.test_ca.marks import EXTENSION, MARK, MARKED, is_for_tests

EARLIER = timedelta(hours=1)  # begin of validity before now, because other clocks may be slow
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
MAX_NAME = 64  # characters of a common name (RFC 5280, appendix A.1: ub-common-name)

KeyKind = Literal["rsa", "ec"]
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Use(StrEnum):
    """The use of a certificate."""

    CLIENT = "client"
    SERVER = "server"
    AS2 = "as2"


_EXTENDED = {
    Use.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Use.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Use.AS2: ExtendedKeyUsageOID.EMAIL_PROTECTION,
}
_KINDS: dict[type, str] = {
    x509.DNSName: "dns",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "uri",
    x509.IPAddress: "ip",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate to issue. `names` are as in `Certificate.san`; `days` are limited by the validity of the CA."""

    uses: frozenset[Use]
    days: int
    names: tuple[str, ...] = ()


class RequestRefused(CertificateUnreadable):
    """The request or the CA cannot be used; the text is the reason."""


def make_key(kind: KeyKind) -> PrivateKey:
    """A new private key: RSA with 3072 bits, or P-256."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(name: str, key: PrivateKey, days: int, now: datetime) -> KeyPair:
    """A self-signed test CA."""
    subject = _name(name, (NameOID.ORGANIZATIONAL_UNIT_NAME, MARK))
    builder = _begun(subject, subject, key.public_key(), now, now + timedelta(days=days))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return KeyPair(_signed(builder, key), (), key)


def issue(authority: KeyPair, name: str, key: PublicKey, wanted: Wanted, now: datetime) -> Certificate:
    """A certificate with this common name; raises RequestRefused if the CA is not a test CA."""
    return _issue(authority, _name(name), key, wanted, now)


def sign(authority: KeyPair, request: x509.CertificateSigningRequest, wanted: Wanted, now: datetime) -> Certificate:
    """A certificate for a request from `read_request`, with its subject and key, and the names of `wanted`."""
    key = request.public_key()
    assert isinstance(key, PublicKey)
    return _issue(authority, request.subject, key, wanted, now)


def read_request(data: bytes) -> x509.CertificateSigningRequest:
    """Read a request in PEM or DER and verify its signature; raises only RequestRefused, whatever the bytes."""
    try:
        load = x509.load_pem_x509_csr if b"-----BEGIN" in data else x509.load_der_x509_csr
        request = load(data)
        if not request.is_signature_valid:
            raise RequestRefused("the request is not signed with its own key")
        _check_key(request.public_key())
        request.subject.rfc4514_string()
        requested_names(request)
    except RequestRefused:
        raise
    except UNREADABLE as error:
        raise RequestRefused(f"not a readable certificate request (PKCS#10): {error}") from error
    return request


def requested_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """The alternative names in a request, as in `Certificate.san`; names of other kinds are left out."""
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(f"{_KINDS[type(each)]}:{each.value}" for each in names if type(each) in _KINDS)


def _issue(authority: KeyPair, subject: x509.Name, key: PublicKey, wanted: Wanted, now: datetime) -> Certificate:
    above = authority.certificate
    if not (above.is_ca and is_for_tests(above)) or not isinstance(authority.private_key, PrivateKey):
        raise RequestRefused(f"{above.subject} is not a test CA of mtlsd ca init")
    if now > above.not_after:
        raise RequestRefused(f"the CA {above.subject} expired on {above.not_after:%Y-%m-%d}")
    end = min(now + timedelta(days=wanted.days), above.not_after)
    builder = _begun(subject, above.x509.subject, key, max(now, above.not_before + EARLIER), end)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.private_key.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_leaf_usage(key, wanted.uses), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_EXTENDED[each] for each in sorted(wanted.uses)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(identifier, critical=False)
    )
    if wanted.names:
        builder = builder.add_extension(_alternative_names(wanted.names), critical=False)
    return _signed(builder, authority.private_key)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - EARLIER)
        .not_valid_after(end)
        .add_extension(MARKED, critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> Certificate:
    made = Certificate.from_der(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    assert any(each.oid == EXTENSION for each in made.x509.extensions)
    return made


def _name(common_name: str, *more: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    if not 0 < len(common_name) <= MAX_NAME or not common_name.isprintable():
        raise RequestRefused(f"a name of 1 to {MAX_NAME} printable characters is needed")
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in (*more, (NameOID.COMMON_NAME, common_name))])


def _check_key(key: object) -> None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS and not is_costly(key):
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES):
        return
    raise RequestRefused(f"the key must be RSA with {RSA_BITS} to 8192 bits, or on P-256, P-384 or P-521")


def _leaf_usage(key: PublicKey, uses: frozenset[Use]) -> x509.KeyUsage:
    opens = bool(uses & {Use.AS2, Use.SERVER})
    is_rsa = isinstance(key, rsa.RSAPublicKey)
    return _key_usage(digital_signature=True, key_encipherment=opens and is_rsa, key_agreement=opens and not is_rsa)


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Raises RequestRefused for a name of an unknown kind."""
    try:
        spelled = dict.fromkeys(map(alternative_name, names))
        return x509.SubjectAlternativeName(list(map(_general_name, spelled)))
    except ValueError as error:
        raise RequestRefused(str(error)) from error


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
