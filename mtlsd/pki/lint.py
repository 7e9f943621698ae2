"""Warnings about certificates that break a rule and are accepted, because other products may refuse them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from cryptography.x509.oid import NameOID

from mtlsd.pki.certificate import Certificate

COUNTRY_LETTERS = 2  # ISO 3166-1, alpha-2
COUNTRY = bytes.fromhex("0603550406")  # the attribute type countryName, in DER


def oddities(certificate: Certificate) -> Iterator[str]:
    """Broken rules, in a few words each. Missing alternative names or key identifiers are too common to report."""
    if certificate.serial <= 0:
        yield f"its serial number is {certificate.serial}, not positive (RFC 5280, 4.1.2.2)"
    names = (*certificate.x509.subject, *certificate.x509.issuer) if COUNTRY in certificate.der else ()
    countries = dict.fromkeys(str(each.value) for each in names if each.oid == NameOID.COUNTRY_NAME)
    for country in countries:
        if len(country) != COUNTRY_LETTERS:
            yield f"C={country} is not a country code of two letters"
    yield from (each.text for each in certificate.irregularities)


def same_issuer_and_serial(certificates: Iterable[Certificate]) -> Iterator[str]:
    """Warn if several certificates have the same issuer and serial number, by which CMS identifies a certificate."""
    several = Counter((each.issuer_der, each.serial, each.issuer) for each in dict.fromkeys(certificates))
    for (_, serial, issuer), count in several.items():
        if count > 1:
            yield f"{count} certificates have the issuer {issuer} and the serial number {serial:x}: each is tried"
