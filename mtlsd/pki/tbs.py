"""The fields of TBSCertificate (RFC 5280, section 4.1) as they are in the certificate, read by BER alone."""

from dataclasses import dataclass

from mtlsd.pki.ber import BERMalformed, Value, first_value, values

VERSION = 0xA0  # [0], absent in X.509 v1


@dataclass(frozen=True, slots=True)
class SignedFields:
    """What a certificate's signature covers, and the fields of it, not parsed further."""

    whole: bytes
    serial: Value
    issuer: Value
    validity: Value
    subject: Value
    public_key: Value  # SubjectPublicKeyInfo


def signed_fields(der: bytes) -> SignedFields:
    """Cut the fields out of a certificate, so that nothing is encoded again; raises BERMalformed."""
    signed = first_value(first_value(der).content)
    fields = list(values(signed.content))
    if fields and fields[0].tag == VERSION:
        del fields[0]
    try:
        serial, _algorithm, issuer, validity, subject, public_key, *_ = fields
    except ValueError as error:
        raise BERMalformed("fields are missing") from error
    return SignedFields(signed.whole, serial, issuer, validity, subject, public_key)
