"""Verifies a SignedData against the certificates registered for a partner (RFC 5652, section 5).

A certificate inside the message is never used, because it proves nothing. `verify` returns what it verified, or raises.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlsd.as2.cms import reader
from mtlsd.as2.cms.algorithms import MIN_RSA_BITS, RELAXED_RSA_BITS, Scheme, scheme_of
from mtlsd.as2.cms.der import Element
from mtlsd.as2.cms.reader import SignerInfo
from mtlsd.as2.mic import Form
from mtlsd.errors import AS2MIMEMalformed, AS2SecurityTooLow, AS2SignatureBad, AS2SignerUnknown
from mtlsd.pki.ber import OCTET_STRING, SEQUENCE, SET, declared_size, encode, read_header
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.relaxations import Relax
from mtlsd.text import cut

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"

Digests = Mapping[Form, Mapping[str, bytes]]


class DigestNotComputed(Exception):
    """The signature needs a digest that nothing announced: read the body again with this one. Not a refusal."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithm)
        self.algorithm = algorithm


@dataclass(frozen=True, slots=True)
class SignedContent:
    """The content of a signature: its digests in each form, and its first octets and size (RFC 8933, section 4)."""

    digests: Digests
    beginning: bytes
    size: int


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """The signer, the digest algorithm of the signature, and the form in which the content verified."""

    signer: Certificate
    algorithm: str
    form: Form
    digests: Mapping[str, bytes]  # of the content in that form, by algorithm


def verify(
    signers: Sequence[SignerInfo],
    content: SignedContent,
    certificates: Sequence[Certificate],
    relax: Collection[str],
    now: datetime,
) -> VerifiedSignature:
    """Find the first signature that verifies with one of the partner's certificates.

    Raises AS2SignerUnknown, AS2SignatureBad or AS2SecurityTooLow, or DigestNotComputed if another pass is needed.
    """
    if not signers:
        raise AS2SignerUnknown("the SignedData has no signer")
    refusals: list[AS2SignerUnknown | AS2SignatureBad | AS2SecurityTooLow] = []
    for info in signers:
        try:
            return _verify_signer(info, content, certificates, relax, now)
        except (AS2SignerUnknown, AS2SignatureBad, AS2SecurityTooLow) as refusal:
            refusals.append(refusal)
    raise next((each for each in refusals if not isinstance(each, AS2SignerUnknown)), refusals[0])


def _verify_signer(
    info: SignerInfo,
    content: SignedContent,
    certificates: Sequence[Certificate],
    relax: Collection[str],
    now: datetime,
) -> VerifiedSignature:
    rsa_bits = RELAXED_RSA_BITS if Relax.RSA_1024 in relax else MIN_RSA_BITS
    scheme = scheme_of(info.digest_algorithm, info.signature_algorithm, rsa_bits)
    if scheme.digest == "sha1" and Relax.SHA1 not in relax:
        words = "signed with SHA-1: sign with SHA-256, or ask us to allow it for you (`relax`: sha1)"
        raise AS2SecurityTooLow(words, relaxation=Relax.SHA1)
    if scheme.digest not in content.digests[Form.RAW]:
        raise DigestNotComputed(scheme.digest)
    verify_signer = _verify_content if info.signed_attributes is None else _verify_attributes
    signer, form = verify_signer(info, content, _current_first(certificates, now), scheme)
    _check_dates(signer, now)
    return VerifiedSignature(signer, scheme.digest, form, content.digests[form])


def _verify_attributes(
    info: SignerInfo, content: SignedContent, certificates: Sequence[Certificate], scheme: Scheme
) -> tuple[Certificate, Form]:
    """Verify a signature over attributes, which hold the digest of the content (RFC 5652, section 5.4)."""
    assert info.signed_attributes is not None
    attributes = info.signed_attributes
    digest = hashlib.new(scheme.digest, encode(SET, attributes.content), usedforsecurity=False).digest()
    signer = _find_signer(info, certificates, scheme, [digest])[0]
    sets = _by_type(attributes)
    if _the_value(sets, CONTENT_TYPE).oid() != reader.DATA:
        raise AS2SignatureBad("the signed content type is not data")
    signed = _the_value(sets, MESSAGE_DIGEST).expect(OCTET_STRING).content
    for form, by_algorithm in content.digests.items():
        if by_algorithm[scheme.digest] == signed:
            return signer, form
    raise AS2SignatureBad("the content's digest is not the one that was signed", signed_digest=signed.hex())


def _verify_content(
    info: SignerInfo, content: SignedContent, certificates: Sequence[Certificate], scheme: Scheme
) -> tuple[Certificate, Form]:
    """Verify a signature over the content itself, which some products send (RFC 5652, section 5.4)."""
    if _is_a_set_of_attributes(content):
        raise AS2SignatureBad("the content is a DER SET of attributes, but the signer has no signed attributes")
    forms = list(content.digests)
    signer, at = _find_signer(info, certificates, scheme, [content.digests[form][scheme.digest] for form in forms])
    return signer, forms[at]


def _find_signer(
    info: SignerInfo, certificates: Sequence[Certificate], scheme: Scheme, digests: Sequence[bytes]
) -> tuple[Certificate, int]:
    """The certificate whose key verifies this signature, and the index of the digest that it verifies over."""
    meant = [each for each in certificates if _is_meant(info, each)]
    others = [each for each in certificates if each not in meant]
    for certificate in meant + others:
        for at, digest in enumerate(digests):
            if _fits(scheme, certificate, info.signature, digest):
                return certificate, at
    _check_strength(meant, scheme)
    if meant and info.signed_attributes is None:
        raise AS2SignatureBad("the content is not what was signed")
    raise AS2SignerUnknown(f"no certificate of the partner matches the signer, {cut(str(info.identifier))}")


def _is_meant(info: SignerInfo, certificate: Certificate) -> bool:
    identifier = info.identifier
    if identifier.subject_key_identifier is not None:
        return identifier.subject_key_identifier == certificate.subject_key_identifier
    return (identifier.issuer, identifier.serial) == (certificate.issuer_der, certificate.serial)


def _fits(scheme: Scheme, certificate: Certificate, signature: bytes, digest: bytes) -> bool:
    """Whether this key made this signature. Only for `_find_signer`, which raises if no key did."""
    try:
        scheme.check(certificate.x509.public_key(), signature, digest)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _check_strength(meant: Sequence[Certificate], scheme: Scheme) -> None:
    """Raise AS2SecurityTooLow if the signer's own certificate could not be used because its key is too short."""
    for bits in map(_rsa_bits, meant):
        if bits is not None and bits < scheme.min_rsa_bits:
            raise AS2SecurityTooLow(f"signed with an RSA key of {bits} bits; it must have {scheme.min_rsa_bits}")


def _rsa_bits(certificate: Certificate) -> int | None:
    try:
        key = certificate.x509.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.key_size if isinstance(key, rsa.RSAPublicKey) else None


def _current_first(certificates: Sequence[Certificate], now: datetime) -> list[Certificate]:
    """The valid certificates first, then those with other keys, so that a refusal can still name the signer's."""
    current = [each for each in certificates if each.not_before <= now <= each.not_after]
    keys = {each.public_key_der for each in current}
    return current + [each for each in certificates if each.public_key_der not in keys]


def _check_dates(signer: Certificate, now: datetime) -> None:
    if now > signer.not_after:
        raise AS2SignerUnknown(f"the signer's certificate expired on {signer.not_after:%Y-%m-%d}", **signer.facts())
    if now < signer.not_before:
        raise AS2SignerUnknown(f"the signer's certificate is valid from {signer.not_before:%Y-%m-%d}", **signer.facts())


def _by_type(attributes: Element) -> dict[str, Element]:
    """The set of values of each attribute, by its type; no type may appear twice (RFC 5652, section 5.3)."""
    sets: dict[str, Element] = {}
    for attribute in attributes.children():
        match attribute.expect(SEQUENCE).children():
            case [name, values] if values.tag == SET and name.oid() not in sets:
                sets[name.oid()] = values
            case _:
                raise AS2MIMEMalformed("not an attribute, or one that appears twice")
    return sets


def _the_value(sets: Mapping[str, Element], oid: str) -> Element:
    """The value of an attribute that must have exactly one (RFC 5652, section 11)."""
    values = sets[oid].children() if oid in sets else []
    if len(values) != 1:
        raise AS2SignatureBad(f"{len(values)} values of the signed attribute {oid}")
    return values[0]


def _is_a_set_of_attributes(content: SignedContent) -> bool:
    """Whether the content could be the signed attributes of another signature (RFC 8933, section 4)."""
    if content.beginning[:1] != bytes([SET]) or declared_size(content.beginning) != content.size:
        return False
    header = read_header(content.beginning)
    return header is not None and content.beginning[header[0] :][:1] in (bytes([SEQUENCE]), b"")
