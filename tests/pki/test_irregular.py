"""One odd field makes no certificate unusable, unless a rule needs the field; then the reason says so."""

import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import CertificateRefused, CertUnhandledCriticalExt
from mtlsd.partners.partner_toml import Match
from mtlsd.pki import ber, policy
from mtlsd.pki.ber import first_value
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.crl import distribution_points
from mtlsd.pki.formats.reader import read_public
from mtlsd.pki.identity import identity_of, name_of
from mtlsd.pki.lint import oddities
from mtlsd.pki.ocsp import responder
from tests.support import pki
from tests.support.odd import (
    ACCESS,
    ALTERNATIVE_NAME,
    AUTHORITY_KEY,
    BASIC_CONSTRAINTS,
    COMMON_NAME,
    CONSTRAINTS,
    DNS,
    EDI_PARTY,
    EXTENDED_KEY_USAGE,
    EXTENSIONS,
    FRACTION,
    ISSUER_NAME,
    KEY_USAGE,
    ORGANIZATION,
    POINTS,
    POLICIES,
    PRINTABLE,
    SUBJECT_KEY,
    X400,
    Fields,
    alternative_names,
    ended,
    extended,
    fields_of,
    named,
    odd,
    tlv,
)

LATIN_1 = b"http://m\xfcller.example/ca"
CPS = tlv(0x30, tlv(6, bytes.fromhex("2b06010505070201")), tlv(0x0C, b"https://acme.example/cps"))
NOTICE = tlv(0x30, tlv(6, bytes.fromhex("2b06010505070202")), tlv(0x30, tlv(0x16, b"m\xfcller")))
ONE = "dns:edi.acme.example"


def policies(qualifier: bytes) -> bytes:
    return tlv(0x30, tlv(0x30, tlv(6, b"\x2a\x03"), tlv(0x30, qualifier)))


def without(*kinds: bytes) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        [extensions] = fields_of(fields[EXTENSIONS])
        kept = [each for each in fields_of(extensions) if fields_of(each)[0] not in [tlv(6, kind) for kind in kinds]]
        fields[EXTENSIONS] = tlv(0xA3, tlv(0x30, *kept))

    return change


ODD: Mapping[str, tuple[bytes, tuple[str, ...], str]] = {  # the certificate, its alternative names, what is odd
    "an ediPartyName": (odd(alternative_names(DNS, EDI_PARTY)), (ONE,), "has an ediPartyName, which is never"),
    "an ediPartyName first": (odd(alternative_names(EDI_PARTY, DNS)), (ONE,), "has an ediPartyName"),
    "an ediPartyName alone": (odd(alternative_names(EDI_PARTY)), (), "has an ediPartyName, which is never"),
    "an x400Address": (odd(alternative_names(X400, DNS)), (ONE,), "has an x400Address"),
    "both": (odd(alternative_names(X400, DNS, EDI_PARTY)), (ONE,), "has an x400Address and an ediPartyName"),
    **{f"an iPAddress of {size} octets": (
        odd(alternative_names(DNS, tlv(0x87, bytes(range(size))), tlv(0x87, b"\xc0\0\2\1"))),
        (ONE, "ip:192.0.2.1"),
        f"has an iPAddress of {size} octets",
    ) for size in (0, 3, 5, 8, 15, 17, 32)},
    "an address with a mask": (
        odd(alternative_names(tlv(0x87, b"\x0a\0\0\0\xff\0\0\0"), DNS)), (ONE,), "has an iPAddress of 8 octets"
    ),
    "Latin-1 in a dNSName": (odd(alternative_names(tlv(0x82, b"m\xfcller"), DNS)), (ONE,), "has a dNSName with octets"),
    "Latin-1 in an rfc822Name": (odd(alternative_names(tlv(0x81, b"m\xfc@a"), DNS)), (ONE,), "has an rfc822Name with"),
    "Latin-1 in a URI": (odd(alternative_names(tlv(0x86, LATIN_1), DNS)), (ONE,), "has a uniformResourceIdentifier"),
    "UTF-8 in a dNSName": (odd(alternative_names(tlv(0x82, "ü".encode()), DNS)), (ONE,), "has a dNSName with octets"),
    "an otherName without a value": (odd(alternative_names(tlv(0xA0), DNS)), (ONE,), "has a name that cannot be read"),
    "a tag that no name has": (odd(alternative_names(tlv(0x8F, b"x"), DNS)), (ONE,), "has a name that cannot be read"),
    "a SAN that is cut short": (
        odd(extended(ALTERNATIVE_NAME, b"\x30\x20" + DNS)), (), "alternative name cannot be read"
    ),
    "one of very many": (odd(alternative_names(EDI_PARTY, *[DNS] * 500)), (), "alternative name cannot be read"),
    "one of many": (odd(alternative_names(EDI_PARTY, *[DNS] * 499)), (ONE,) * 499, "has an ediPartyName"),
    "an empty SAN": (odd(extended(ALTERNATIVE_NAME, b"")), (), "alternative name cannot be read"),
    "Latin-1 in the AIA": (
        odd(extended(ACCESS, tlv(0x30, tlv(0x30, tlv(6, bytes.fromhex("2b06010505073002")), tlv(0x86, LATIN_1))))),
        (),
        "authority information access cannot be read, and is not used",
    ),
    "a CPS as UTF8String": (odd(extended(POLICIES, policies(CPS))), (), "certificate policies cannot be read"),
    "Latin-1 in a user notice": (odd(extended(POLICIES, policies(NOTICE))), (), "certificate policies cannot be read"),
    "Latin-1 in a distribution point": (
        odd(extended(POINTS, tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, LATIN_1))))))),
        (),
        "CRL distribution points cannot be read",
    ),
    "no other extension": (
        odd(without(BASIC_CONSTRAINTS, SUBJECT_KEY, AUTHORITY_KEY), alternative_names(EDI_PARTY)),
        (),
        "has an ediPartyName, which is never",
    ),
    "no name constraints inside": (odd(extended(CONSTRAINTS, b"\5\0")), (), "name constraints cannot be read"),
    "an ediPartyName of the issuer": (
        odd(extended(ISSUER_NAME, tlv(0x30, EDI_PARTY))), (), "issuer alternative name cannot be read"
    ),
    "an odd key identifier": (
        odd(without(SUBJECT_KEY), extended(SUBJECT_KEY, b"\5\0")), (), "subject key identifier cannot be read"
    ),
    "an odd authority key identifier": (
        odd(without(AUTHORITY_KEY), extended(AUTHORITY_KEY, b"\5\0")), (), "authority key identifier cannot be read"
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", ODD)
def test_an_irregular_certificate_is_read_with_a_warning(form: str) -> None:
    der, names, words = ODD[form]
    found = read_public(der)
    [certificate] = found.certificates
    assert (certificate.der, certificate.subject, certificate.san) == (der, "CN=odd", names)
    assert certificate.is_self_signed
    assert not certificate.is_ca
    [said] = oddities(certificate)
    assert words in said


@pytest.mark.parametrize("form", ODD)
def test_openssl_reads_it_as_well(form: str) -> None:
    command = ["openssl", "x509", "-outform", "DER"]
    made = subprocess.run(command, input=Certificate.from_der(ODD[form][0]).pem, capture_output=True, check=True)
    assert made.stdout == ODD[form][0]


@pytest.mark.parametrize("form", ODD)
def test_the_rules_judge_it_like_any_other(form: str) -> None:
    certificate = Certificate.from_der(ODD[form][0])
    policy.check_key(certificate)
    policy.check_key_usage(certificate)
    policy.check_purpose(certificate)
    policy.check_critical_extensions(certificate)
    policy.check_signature_algorithm(certificate)
    assert (distribution_points(certificate), responder(certificate)) == (frozenset(), None)


@pytest.mark.parametrize("form", ODD)
def test_an_odd_name_matches_nothing_and_hides_nothing(form: str) -> None:
    der, names, _ = ODD[form]
    certificate = Certificate.from_der(der)
    assert Match("CN=odd", ()).holds(certificate)
    assert Match("CN=odd", names).holds(certificate)
    odd_ones = ("dns:m\xfcller", "dns:mller", "dns:m", "email:m\xfc@a", "ip:0.1.2.3", "ip:0.1.2.3/4.5.6.7", "dns:")
    assert not any(Match("CN=odd", (each,)).holds(certificate) for each in odd_ones)


# --- Critical -----------------------------------------------------------------------------------------------

ACCESS_POINT = tlv(0x30, tlv(0x30, tlv(6, bytes.fromhex("2b06010505073002")), tlv(0x86, LATIN_1)))


@pytest.mark.parametrize(
    ("der", "refused"),
    [
        (odd(extended(ACCESS, ACCESS_POINT, critical=True)), True),
        (odd(extended(POLICIES, policies(CPS), critical=True)), True),
        (odd(alternative_names(EDI_PARTY, critical=True)), True),
        (odd(alternative_names(EDI_PARTY, DNS, critical=True)), False),  # one name is enough
        (odd(alternative_names(DNS, critical=True)), False),
        (odd(extended(b"\x2a\x03", b"\5\0", critical=True), alternative_names(EDI_PARTY, DNS)), True),
    ],
)
def test_what_is_critical_and_cannot_be_read_is_refused(der: bytes, refused: bool) -> None:
    certificate = Certificate.from_der(der)
    if not refused:
        policy.check_critical_extensions(certificate)
        return
    with pytest.raises(CertUnhandledCriticalExt) as raised:
        policy.check_critical_extensions(certificate)
    assert raised.value.facts["sha256"] == certificate.sha256


# --- Refused ------------------------------------------------------------------------------------------------

UNREADABLE = {
    "a fraction of a second": (odd(ended(FRACTION)), "its notAfter is '99991231225959.357Z', and not of the form YYYY"),
    "a time zone": (odd(ended(b"20991231225959+0100")), "its notAfter is '20991231225959+0100', and not of the form"),
    "no seconds": (odd(ended(b"209912312259Z")), "its notAfter is '209912312259Z', and not of the form"),
    "an odd key usage": (odd(extended(KEY_USAGE, b"\5\0")), "its key usage cannot be read"),
    "an odd extended key usage": (odd(extended(EXTENDED_KEY_USAGE, b"\5\0")), "its extended key usage cannot be read"),
    "odd basic constraints": (
        odd(without(BASIC_CONSTRAINTS), extended(BASIC_CONSTRAINTS, b"\5\0")), "its basic constraints cannot be read"
    ),
    "two alternative names": (
        odd(alternative_names(DNS), alternative_names(EDI_PARTY)), "its subject alternative name is there twice"
    ),
    "two unknown extensions": (
        odd(extended(b"\x2a\x03", b"\5\0"), extended(b"\x2a\x03", b"\5\0")), "its extension 1.2.3 is there twice"
    ),
    "an odd name and too many extensions": (
        odd(alternative_names(EDI_PARTY), *(extended(bytes([0x2A, 3, at]), b"\5\0") for at in range(101))),
        "it has more than 100 extensions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", UNREADABLE)
def test_a_refused_certificate_is_named_with_the_reason(form: str) -> None:
    der, words = UNREADABLE[form]
    facts = {**pki.self_signed("odd", key=pki.rsa_key("odd")).certificate.facts(), **identity_of(der)}
    assert (facts["subject"], facts["issuer"]) == ("CN=odd", "CN=odd")
    with pytest.raises(CertificateUnreadable) as raised:
        read_public(der)
    assert raised.value.facts == facts
    assert words in str(raised.value)
    for each in ("subject CN=odd, issuer CN=odd", str(facts["serial"]), f"SHA-256 {facts['sha256']}"):
        assert each in str(raised.value)


def test_octets_that_are_no_certificate_have_only_a_digest() -> None:
    assert identity_of(b"hello").keys() == {"sha256"}
    with pytest.raises(CertificateUnreadable) as raised:
        Certificate.from_der(b"hello")
    assert "SHA-256" not in str(raised.value)


SUBJECTS = ('CN=a\\, b,O=\\#1 \\+ \\"2\\",C=DE', "CN=x+O=y", "DC=acme,DC=example", "CN=\\ a\\ ", "O=Müller", "UID=7")


@pytest.mark.parametrize("issued", [pki.issue("a", subject=each, key=pki.rsa_key("odd")) for each in SUBJECTS])
def test_the_identity_is_that_of_the_parser_if_it_can_read(issued: pki.Issued) -> None:
    assert identity_of(issued.certificate.der) == issued.certificate.facts()


@pytest.mark.parametrize("form", ODD)
def test_the_identity_of_an_irregular_certificate_is_its_own(form: str) -> None:
    certificate = Certificate.from_der(ODD[form][0])
    assert identity_of(certificate.der) == certificate.facts()


def test_a_long_name_is_cut_in_a_sentence_only() -> None:
    der = odd(named((ORGANIZATION, PRINTABLE, b"x" * 5000)), ended(FRACTION))
    with pytest.raises(CertificateUnreadable) as raised:
        Certificate.from_der(der)
    assert "... (5002 characters)" in str(raised.value)
    assert len(str(raised.value)) < 1000
    assert raised.value.facts["subject"] == f"O={'x' * 5000}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (tlv(0x30), ""),
        (tlv(0x31), "#3100"),
        (tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, COMMON_NAME)))), "#3009310730050603550403"),
        (tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, b"\x88\x37\x01"), tlv(12, b"a")))), "2.999.1=a"),
        (tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, COMMON_NAME), tlv(0x1E, b"\0A\0B")))), "CN=AB"),
        (tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, COMMON_NAME), tlv(0x1E, b"\0A\xd8")))), "CN=A\ufffd"),
        (tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, b"\xff" * 1000), tlv(12, b"a")))), None),
    ],
)
def test_any_name_is_shown(name: bytes, words: str | None) -> None:
    shown = name_of(first_value(name))
    assert shown == words if words is not None else shown.startswith("#30")


# --- Any octets ---------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_the_identity_of_any_octets_is_told(data: bytes) -> None:
    assert "sha256" in identity_of(data)


@given(st.sampled_from([der for der, *_ in (*ODD.values(), *UNREADABLE.values())]), st.data())
def test_a_damaged_certificate_is_read_or_refused_and_named(der: bytes, data: st.DataObject) -> None:
    damaged = bytearray(der)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        certificate = Certificate.from_der(bytes(damaged))
    except CertificateUnreadable:
        assert "sha256" in identity_of(bytes(damaged))
        return
    assert certificate.der == bytes(damaged)
    assert all(isinstance(each, str) for each in oddities(certificate))
    for check in (policy.check_key, policy.check_key_usage, policy.check_purpose, policy.check_signature_algorithm):
        with suppress(CertificateRefused):
            check(certificate)


@pytest.mark.parametrize("present", range(6))
def test_fields_that_are_missing_before_the_extensions_are_an_error_of_ours(present: int) -> None:
    fields = [ber.encode(0x02, b"\1"), *[ber.encode(ber.SEQUENCE)] * 5][:present]
    extensions = ber.encode(0xA3, ber.encode(ber.SEQUENCE))
    der = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, *fields, extensions))
    with pytest.raises(CertificateUnreadable):
        Certificate.from_der(der)
