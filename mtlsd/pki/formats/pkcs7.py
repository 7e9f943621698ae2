"""PKCS#7 bundles: certificates in a SignedData without a signer (RFC 5652, section 5.1)."""

from collections.abc import Iterable

from mtlsd.pki.ber import SEQUENCE, SET, encode, first_value, values
from mtlsd.pki.certificate import CertificateUnreadable

CERTIFICATES = EXPLICIT = 0xA0
DATA = bytes.fromhex("300b06092a864886f70d010701")  # an encapContentInfo without content
VERSION = bytes.fromhex("020101")
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
DAMAGED = "a damaged or incomplete PKCS#7 file: ask for the file again"


def certificates_in(data: bytes) -> tuple[bytes, ...]:
    """The certificates of a SignedData, in DER or BER; raises CertificateUnreadable if there are none."""
    try:
        kind, content = values(first_value(data).content)
        if kind.whole != SIGNED_DATA:
            raise CertificateUnreadable("a PKCS#7 file that is no bundle of certificates: an encrypted message perhaps")
        _version, _digests, _content, *rest = values(first_value(content.content).content)
        certificates = next((each for each in rest if each.tag == CERTIFICATES), None)
        found = values(certificates.content) if certificates else ()
    except ValueError as error:
        raise CertificateUnreadable(DAMAGED) from error
    wanted = tuple(each.whole for each in found if each.tag == SEQUENCE)  # not attribute certificates
    if not wanted:
        signed = any(each.tag == SET and each.content for each in rest)
        raise CertificateUnreadable(
            "a signature without certificates (PKCS#7)" if signed else "a PKCS#7 bundle without a certificate"
        )
    return wanted


def bundle(certificates: Iterable[bytes]) -> bytes:
    """A SignedData without a signer around certificates in DER."""
    several = encode(CERTIFICATES, b"".join(certificates))
    signed = encode(SEQUENCE, VERSION + encode(SET, b"") + DATA + several + encode(SET, b""))
    return encode(SEQUENCE, SIGNED_DATA + encode(EXPLICIT, signed))
