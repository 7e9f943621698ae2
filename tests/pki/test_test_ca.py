"""Test CAs: what they make is marked, and counts for nothing in production."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.partners.registry import load_partners
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.pki.test_ca.issue import (
    RequestRefused,
    Use,
    Wanted,
    issue,
    make_authority,
    read_request,
    requested_names,
    sign,
)
from mtlsd.pki.test_ca.marks import EXTENSION, MARK, is_for_tests, refuse_for_tests
from tests.support import pki
from tests.support.pki import DAY, NOW

CLIENT = Wanted(frozenset({Use.CLIENT}), 90)


def authority(days: int = 365) -> KeyPair:
    return make_authority("Test CA", pki.ec_key("test ca"), days, NOW)


def leaf(wanted: Wanted = CLIENT) -> Certificate:
    return issue(authority(), "edi.acme.example", pki.rsa_key("leaf").public_key(), wanted, NOW)


def partner(folder: Path, name: str, **files: bytes) -> Path:
    directory = folder / name
    directory.mkdir()
    (directory / "partner.toml").write_text(f'as2_id = "{name}"\n')
    for file, data in files.items():
        (directory / f"{file}.pem").write_bytes(data)
    return directory


# --- Marks ------------------------------------------------------------------------------------------------------------


def test_a_test_ca_and_what_it_issues_are_marked() -> None:
    assert is_for_tests(authority().certificate)
    assert MARK in authority().certificate.subject
    assert is_for_tests(leaf())
    assert not [each.critical for each in leaf().x509.extensions if each.oid == EXTENSION and each.critical]


def test_what_another_tool_issues_below_a_test_ca_is_known_by_its_issuer() -> None:
    ca = authority()
    issuer = pki.Issued(ca.certificate, pki.ec_key("test ca"))
    assert is_for_tests(pki.leaf(issuer).certificate)


def test_other_certificates_are_not_marked() -> None:
    assert not is_for_tests(pki.root("A Root").certificate)
    assert not is_for_tests(pki.self_signed("TEST CA").certificate)


# --- What is issued ---------------------------------------------------------------------------------------------------


def test_a_certificate_does_not_outlive_its_ca() -> None:
    ca = authority(days=10)
    made = issue(ca, "a", pki.ec_key("a").public_key(), CLIENT, NOW)
    assert made.not_after == ca.certificate.not_after
    assert made.not_before < NOW < made.not_after


def test_serial_numbers_are_random() -> None:
    assert len({leaf().serial for _ in range(20)}) == 20
    assert min(leaf().serial for _ in range(20)) > 1 << 64


@pytest.mark.parametrize(
    ("uses", "encipherment"),
    [({Use.CLIENT}, False), ({Use.AS2}, True), ({Use.CLIENT, Use.AS2}, True), ({Use.SERVER}, True)],
)
def test_the_key_usage_suits_the_uses(uses: set[Use], encipherment: bool) -> None:
    made = leaf(replace(CLIENT, uses=frozenset(uses)))
    usage = made.x509.extensions.get_extension_for_class(x509.KeyUsage).value
    extended = made.x509.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, len(list(extended))) == (True, encipherment, len(uses))


def test_a_ca_that_is_no_test_ca_issues_nothing() -> None:
    other = pki.root("Real Root")
    with pytest.raises(RequestRefused, match="not a test CA"):
        issue(KeyPair(other.certificate, (), other.key), "a", pki.ec_key("a").public_key(), CLIENT, NOW)


def test_a_ca_that_ended_issues_nothing() -> None:
    with pytest.raises(RequestRefused, match="expired on"):
        issue(authority(days=1), "a", pki.ec_key("a").public_key(), CLIENT, NOW + 2 * DAY)


@pytest.mark.parametrize("name", ["", "a" * 65, "a\nb"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RequestRefused):
        issue(authority(), name, pki.ec_key("a").public_key(), CLIENT, NOW)


def test_a_certificate_has_the_names_that_are_wanted() -> None:
    names = ("dns:a.example", "email:a@b.example", "uri:https://a.example/", "ip:192.0.2.1")
    assert leaf(replace(CLIENT, names=names)).san == names
    with pytest.raises(RequestRefused, match="expected names"):
        leaf(replace(CLIENT, names=("a.example",)))


# --- Requests ---------------------------------------------------------------------------------------------------------


def request(key: pki.Key, encoding: Encoding = Encoding.PEM) -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.IPAddress(ip_address("192.0.2.1"))])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Requested")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(encoding)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_request_gets_its_subject_and_key_and_none_of_its_powers(encoding: Encoding) -> None:
    key = pki.ec_key("requested")
    found = read_request(request(key, encoding))
    made = sign(authority(), found, replace(CLIENT, names=requested_names(found)), NOW)
    assert (made.subject, made.san, made.is_ca) == ("CN=Requested", ("dns:a.example", "ip:192.0.2.1"), False)
    assert made.x509.public_key() == key.public_key()
    assert is_for_tests(made)


@pytest.mark.parametrize("key", [pki.rsa_key("weak", 1024), pki.ec_key("weak", "secp224r1")])
def test_a_weak_key_gets_no_certificate(key: pki.Key) -> None:
    with pytest.raises(RequestRefused, match="the key must be"):
        read_request(request(key))


def test_a_request_that_another_key_signed_is_refused() -> None:
    der = request(pki.ec_key("requested"), Encoding.DER)
    broken = der[:-1] + bytes([der[-1] ^ 1])
    with pytest.raises(RequestRefused):
        read_request(broken)


REQUEST = request(pki.ec_key("requested"), Encoding.DER)


@given(st.binary(max_size=200) | st.tuples(st.integers(0, len(REQUEST) - 1), st.integers(0, 255)))
def test_bytes_give_a_request_or_our_own_error(data: bytes | tuple[int, int]) -> None:
    if isinstance(data, tuple):
        at, octet = data
        data = REQUEST[:at] + bytes([octet]) + REQUEST[at + 1 :]
    with suppress(RequestRefused):
        read_request(data)


# --- In production ----------------------------------------------------------------------------------------------------


def test_a_partner_under_a_test_ca_is_disabled_in_production_only(tmp_path: Path) -> None:
    partner(tmp_path, "acme", root=pki.pem_of(authority().certificate), own=pki.pem_of(leaf()))
    store, problems, _ = load_partners(tmp_path, NOW)
    assert (set(store.partners), problems) == ({"acme"}, ())
    store, problems, _ = load_partners(tmp_path, NOW, production=True)
    assert (dict(store.partners), store.disabled) == ({}, frozenset({"acme"}))
    assert [each.message for each in problems if "test CA" in each.message]


def test_a_partners_other_certificates_count_in_production(tmp_path: Path) -> None:
    partner(tmp_path, "acme", root=pki.pem_of(authority().certificate), own=pki.self_signed("own").pem)
    store, problems, _ = load_partners(tmp_path, NOW, production=True)
    assert [each.subject for each in store.partners["acme"].public_certificates] == ["CN=own"]
    assert store.partners["acme"].trusted_roots == ()
    assert len(problems) == 1


def test_what_was_below_a_test_ca_does_not_become_a_pin_without_a_root(tmp_path: Path) -> None:
    ca = authority()
    middle = pki.intermediate(pki.Issued(ca.certificate, pki.ec_key("test ca")), "Middle")
    end = pki.leaf(middle)
    own = pki.self_signed("own").pem
    partner(tmp_path, "acme", a=pki.pem_of(ca.certificate), b=middle.pem, c=end.pem, d=own)
    store, problems, _ = load_partners(tmp_path, NOW, production=True)
    assert [each.subject for each in store.partners["acme"].public_certificates] == ["CN=own"]
    assert len(problems) == 3


def test_a_certificate_of_ours_is_a_mistake_in_production() -> None:
    assert len(refuse_for_tests(Path("hosts/a"), (leaf(), pki.self_signed("own").certificate))) == 1


def test_sensible_dates() -> None:
    assert leaf().not_before == NOW - timedelta(hours=1)
