"""Certificates that break a rule and are in use all the same are read, and it is said what is odd about them."""

import subprocess
from itertools import chain

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ExtendedKeyUsage
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.pki.ber import BERMalformed
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.formats.normalize import PartUnreadable, readable_copy
from mtlsd.pki.formats.reader import read_certificates
from mtlsd.pki.lint import oddities, same_issuer_and_serial
from tests.support import pki
from tests.support.odd import (
    BASIC_CONSTRAINTS,
    COMMON_NAME,
    COUNTRY,
    EXTENDED_KEY_USAGE,
    EXTENSIONS,
    IA5,
    KEY_USAGE,
    ORGANIZATION,
    PRINTABLE,
    TELETEX,
    UNIT,
    UTF8,
    Fields,
    extended,
    named,
    odd,
    serial,
    tlv,
    version_1,
    without_extensions,
)

X = (COMMON_NAME, PRINTABLE, b"x")
SPELLED = "encoding that no standard allows"


def explicit_false(fields: Fields) -> None:
    usage = tlv(0x30, tlv(6, KEY_USAGE), tlv(1, b"\0"), tlv(4, b"\x03\x02\x05\xa0"))
    fields[EXTENSIONS] = tlv(0xA3, tlv(0x30, usage))


def no_ca_written_out(fields: Fields) -> None:
    constraints = tlv(0x30, tlv(6, BASIC_CONSTRAINTS), tlv(4, tlv(0x30, tlv(1, b"\0"))))
    fields[EXTENSIONS] = tlv(0xA3, tlv(0x30, constraints))


def true_as_one(fields: Fields) -> None:
    constraints = tlv(0x30, tlv(6, BASIC_CONSTRAINTS), tlv(1, b"\1"), tlv(4, tlv(0x30, tlv(1, b"\1"))))
    fields[EXTENSIONS] = tlv(0xA3, tlv(0x30, constraints))


ODD = {
    "serial 0": (odd(serial(0)), "CN=odd", "serial number is 0"),
    "a negative serial": (odd(serial(-5)), "CN=odd", "serial number is -5"),
    "a serial of 26 octets": (odd(serial(1 << 200)), "CN=odd", ""),
    "C=USA": (odd(named((COUNTRY, PRINTABLE, b"USA"), X)), "CN=x,C=USA", "C=USA is not a country code"),
    "no country": (odd(named((COUNTRY, PRINTABLE, b""), X)), "CN=x,C=", "C= is not a country code"),
    "*": (odd(named((COMMON_NAME, PRINTABLE, b"*.acme.example"))), "CN=*.acme.example", SPELLED),
    "#": (odd(named((COMMON_NAME, PRINTABLE, b"EDI #1"))), "CN=EDI #1", SPELLED),
    "&": (odd(named((ORGANIZATION, PRINTABLE, b"A & B"), X)), "CN=x,O=A & B", SPELLED),
    "_ and @": (odd(named((COMMON_NAME, PRINTABLE, b"a_b@c"))), "CN=a_b@c", SPELLED),
    "Latin-1 in a PrintableString": (odd(named((ORGANIZATION, PRINTABLE, b"M\xfcller"))), "O=Müller", SPELLED),
    "Latin-1 in a TeletexString": (odd(named((COMMON_NAME, TELETEX, b"M\xfcller"))), "CN=Müller", SPELLED),
    "Latin-1 in an IA5String": (odd(named((UNIT, IA5, b"M\xfcller"))), "OU=Müller", SPELLED),
    "Latin-1 in a UTF8String": (odd(named((COMMON_NAME, UTF8, b"M\xfcller"))), "CN=Müller", SPELLED),
    "OU as IA5String": (odd(named((UNIT, IA5, b"EDI"), X)), "CN=x,OU=EDI", ""),
    "critical FALSE written out": (odd(explicit_false), "CN=odd", SPELLED),
    "cA FALSE written out": (odd(no_ca_written_out), "CN=odd", SPELLED),
    "TRUE as 01": (odd(true_as_one), "CN=odd", SPELLED),
    "a critical EKU": (
        odd(extended(EXTENDED_KEY_USAGE, bytes.fromhex("300a06082b06010505070302"), critical=True)),
        "CN=odd",
        "",
    ),
    "an EKU for servers only": (
        pki.self_signed("odd", extensions=((ExtendedKeyUsage([pki.SERVER]), False),)).certificate.der,
        "CN=odd",
        "",
    ),
    "no alternative name, no key identifier": (pki.self_signed("odd", identifiers=False).certificate.der, "CN=odd", ""),
    "no extension": (odd(without_extensions), "CN=odd", ""),
    "version 1 with extensions": (odd(version_1), "CN=odd", ""),
    "RSA of 4096 bits": (pki.self_signed("odd", key=pki.rsa_key("large", 4096)).certificate.der, "CN=odd", ""),
    "SHA-1": (pki.self_signed("odd", sha1=True).certificate.der, "CN=odd", ""),
}


@pytest.mark.parametrize("form", ODD)
def test_an_odd_certificate_is_read_and_its_oddity_is_said(form: str) -> None:
    der, subject, words = ODD[form]
    [certificate] = read_certificates(der)
    assert (certificate.der, certificate.subject, certificate.is_self_signed) == (der, subject, True)
    said = list(oddities(certificate))
    assert [words in each for each in said] == ([True] if words else [])


@pytest.mark.parametrize("form", ODD)
def test_openssl_reads_our_pem_of_it_to_the_same_octets(form: str) -> None:
    [certificate] = read_certificates(ODD[form][0])
    if form == "Latin-1 in a UTF8String":  # OpenSSL itself refuses this one
        return
    command = ["openssl", "x509", "-outform", "DER"]
    assert subprocess.run(command, input=certificate.pem, capture_output=True, check=True).stdout == certificate.der


def test_what_is_respelled_says_what_it_said() -> None:
    assert not Certificate.from_der(ODD["cA FALSE written out"][0]).is_ca
    assert Certificate.from_der(ODD["TRUE as 01"][0]).is_ca


def test_the_key_of_an_odd_certificate_is_its_own() -> None:
    [certificate] = read_certificates(ODD["&"][0])
    key = certificate.x509.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key == pki.rsa_key("odd").public_key()
    assert certificate.public_key_der in certificate.der
    assert certificate.issuer_der in certificate.der


def test_one_issuer_and_serial_of_two_certificates_is_said() -> None:
    ca = pki.root()
    one, other = (pki.leaf(ca, name, serial=7).certificate for name in ("one", "other"))
    assert list(same_issuer_and_serial([one, one])) == []
    [words] = same_issuer_and_serial([one, other])
    assert words.startswith("2 certificates have the issuer CN=Root and the serial number 7")


@given(st.sampled_from([der for der, _, _ in ODD.values()]), st.data())
def test_a_damaged_odd_certificate_is_read_or_refused_and_nothing_else(der: bytes, data: st.DataObject) -> None:
    damaged = bytearray(der)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = Certificate.from_der(bytes(damaged))
    except CertificateUnreadable:
        return
    assert certificate.der == bytes(damaged)
    assert all(isinstance(each, str) for each in chain(oddities(certificate), same_issuer_and_serial([certificate])))


@given(st.binary(max_size=300), st.booleans())
def test_a_copy_of_any_octets_fails_in_two_ways_only(data: bytes, readable: bool) -> None:
    try:
        readable_copy(data, lambda _: readable)
    except (BERMalformed, PartUnreadable):
        return
