"""A certificate tells who it is, whatever its bytes."""

from hashlib import sha256

import pytest
from asn1crypto import x509 as asn1_x509
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from tests.support import pki

CA = pki.root("Root", subject="CN=Root,O=ACME")
LEAF = pki.leaf(CA, serial=0xC0FFEE, san=("dns:EDI.acme.example", "email:edi@acme.example", "ip:192.0.2.1"))


def test_a_certificate_says_what_it_says_of_itself() -> None:
    certificate = LEAF.certificate
    assert certificate.subject == "CN=edi.acme.example"
    assert certificate.issuer == CA.certificate.subject == "CN=Root,O=ACME"
    assert certificate.serial == 0xC0FFEE
    assert certificate.not_after == pki.NOW + 365 * pki.DAY
    assert certificate.sha256 == sha256(certificate.der).hexdigest()
    assert certificate.san == ("dns:edi.acme.example", "email:edi@acme.example", "ip:192.0.2.1")
    assert not certificate.is_ca
    assert not certificate.is_self_signed


def test_facts_for_the_log_are_text() -> None:
    facts = LEAF.certificate.facts()
    assert facts.keys() == {"subject", "issuer", "serial", "sha256"}
    assert facts["serial"] == "c0ffee"


@pytest.mark.parametrize("issued", [LEAF, CA, pki.self_signed(identifiers=False, ca=None)])
def test_the_fields_that_are_cut_out_are_those_of_another_parser(issued: pki.Issued) -> None:
    other = asn1_x509.Certificate.load(issued.certificate.der)
    assert issued.certificate.issuer_der == other.issuer.dump()
    assert issued.certificate.public_key_der == other.public_key.dump()
    assert issued.certificate.subject_key_identifier == other.key_identifier


@pytest.mark.parametrize("key", [pki.rsa_key("a"), pki.ec_key("a"), pki.ed25519_key("a"), pki.ec_key("b", "secp384r1")])
def test_a_self_signed_certificate_is_known_by_its_signature(key: pki.Key) -> None:
    assert pki.self_signed("a", key=key).certificate.is_self_signed


def test_an_old_self_signed_certificate_with_sha1_is_self_signed_too() -> None:
    assert pki.self_signed(sha1=True).certificate.is_self_signed


@pytest.mark.parametrize("kind", pki.costly_rsa_keys())
def test_a_key_that_costs_too_much_is_not_verified_with(kind: str) -> None:
    assert not pki.self_signed("a", key=pki.costly_rsa_keys()[kind]).certificate.is_self_signed


def test_equal_names_alone_do_not_make_a_certificate_self_signed() -> None:
    first = pki.root("Root", key=pki.rsa_key("one"))
    assert not pki.leaf(first, "Root", key=pki.rsa_key("two")).certificate.is_self_signed


def test_certificates_are_equal_when_their_bytes_are() -> None:
    assert Certificate.from_der(LEAF.certificate.der) == LEAF.certificate
    assert hash(Certificate.from_der(LEAF.certificate.der)) == hash(LEAF.certificate)
    assert LEAF.certificate != CA.certificate


@pytest.mark.parametrize(
    ("good", "odd"),
    [(b"\x02\x01\x05", b"\x02\x01\x00"), (b"\x02\x01\x05", b"\x02\x01\xff"), (b"\x13\x02DE", b"\x0c\x02\xc3\xa4")],
)
def test_odd_certificates_of_the_field_are_read_without_a_word_on_stderr(good: bytes, odd: bytes) -> None:
    der = pki.issue("a", subject="CN=a,C=DE", serial=5).certificate.der
    assert good in der
    Certificate.from_der(der.replace(good, odd))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_certificate_are_refused(data: bytes) -> None:
    with pytest.raises(CertificateUnreadable):
        Certificate.from_der(data)


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    der = bytearray(data.draw(st.sampled_from([LEAF.certificate.der, CA.certificate.der])))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = Certificate.from_der(bytes(der))
    except CertificateUnreadable:
        return
    assert certificate.der == bytes(der)


@given(st.integers(0, len(LEAF.certificate.der) - 1))
def test_a_certificate_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(CertificateUnreadable):
        Certificate.from_der(LEAF.certificate.der[:length])


def test_bytes_after_a_certificate_are_refused() -> None:
    with pytest.raises(CertificateUnreadable):
        Certificate.from_der(LEAF.certificate.der + b"\0")
