"""Revocation lists are read, sorted into what they are about, and refused where they are more than we understand."""

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.partners.partner import load_partner
from mtlsd.partners.registry import load_partners
from mtlsd.pki.crl import CRLUnreadable, RevocationList, read_crls
from mtlsd.pki.revocation import RevocationCheck
from tests.support import pki
from tests.support.pki import DAY, NOW

ROOT = pki.root("Root", key=pki.ec_key("Root"))
OTHER = pki.root("Root", key=pki.ec_key("Other"))
ELSEWHERE = pki.root("Elsewhere", key=pki.ec_key("Elsewhere"))
SILENT = pki.root("Root", key=pki.ec_key("Root"), uses=("key_cert_sign",))
LEAF = pki.leaf(ROOT, key=pki.ec_key("leaf"))
DER = pki.crl(ROOT, LEAF, why=x509.ReasonFlags.key_compromise)
URL = "http://pki.acme.example/1.crl"


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)


def point(**options: object) -> x509.IssuingDistributionPoint:
    wanted = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**wanted, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [DER, pem(DER), b"# a list\n" + pem(DER) + pem(DER)])
def test_a_list_is_read_in_any_form(data: bytes) -> None:
    for found in read_crls(data):
        assert found.entries == {"CN=Root": {LEAF.certificate.serial}}
        assert found.issuer == "CN=Root"
        assert found.next_update == NOW + 7 * DAY
        assert found.when(LEAF.certificate) == "on 2026-11-20: keyCompromise"
        assert found.der == DER


def test_only_the_key_of_its_issuer_that_may_sign_lists_makes_one() -> None:
    found = RevocationList.from_der(DER)
    assert found.is_signed_by(ROOT.certificate)
    assert not found.is_signed_by(OTHER.certificate)
    assert not found.is_signed_by(SILENT.certificate)
    assert not found.is_signed_by(pki.root("Root", key=pki.rsa_key("R")).certificate)


def test_a_list_has_ended_after_its_next_update() -> None:
    found = RevocationList.from_der(DER)
    assert not found.has_ended(NOW + 7 * DAY)
    assert found.has_ended(NOW + 8 * DAY)


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (x509.DeltaCRLIndicator(1), "delta"),
        (point(only_contains_attribute_certs=True), "attribute"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), "1.2.3.4"),
    ],
)
def test_a_list_that_says_more_than_we_understand_is_refused(extension: x509.ExtensionType, words: str) -> None:
    with pytest.raises(CRLUnreadable, match=words):
        read_crls(pki.crl(ROOT, extensions=((extension, True),)))


def test_a_list_for_a_part_is_about_that_part() -> None:
    there = x509.DistributionPoint([x509.UniformResourceIdentifier(URL)], None, None, None)
    in_it = pki.leaf(ROOT, extensions=((x509.CRLDistributionPoints([there]), False),))
    part = point(full_name=[x509.UniformResourceIdentifier(URL)])
    (found,) = read_crls(pki.crl(ROOT, extensions=((part, True),)))
    assert found.scope.holds(in_it.certificate)
    assert not found.scope.holds(LEAF.certificate)
    (cas,) = read_crls(pki.crl(ROOT, extensions=((point(only_contains_ca_certs=True), True),)))
    (users,) = read_crls(pki.crl(ROOT, extensions=((point(only_contains_user_certs=True), True),)))
    assert [each.scope.holds(LEAF.certificate) for each in (cas, users)] == [False, True]
    assert [each.scope.holds(ROOT.certificate) for each in (cas, users)] == [True, False]


@pytest.mark.parametrize(
    "part",
    [
        point(full_name=[x509.UniformResourceIdentifier("ldap://pki.acme.example/cn=1")]),
        point(full_name=[x509.DirectoryName(x509.Name.from_rfc4514_string("CN=1"))]),
        point(relative_name=x509.Name.from_rfc4514_string("CN=1").rdns[0]),
        point(indirect_crl=True),
        point(full_name=[x509.UniformResourceIdentifier(URL)]),
    ],
)
def test_a_list_names_its_certificates_whatever_it_covers(part: x509.IssuingDistributionPoint) -> None:
    (found,) = read_crls(pki.crl(ROOT, LEAF, extensions=((part, True),)))
    assert found.names(LEAF.certificate)
    assert not found.names(pki.leaf(ROOT, key=pki.ec_key("leaf")).certificate)
    assert not found.names(pki.leaf(ELSEWHERE, serial=LEAF.certificate.serial, key=pki.ec_key("leaf")).certificate)
    assert not found.scope.holds(LEAF.certificate)


def test_lists_of_two_parts_have_two_scopes() -> None:
    names = [
        x509.UniformResourceIdentifier(URL),
        x509.UniformResourceIdentifier("ldap://a"),
        x509.UniformResourceIdentifier("ldap://b"),
        x509.DirectoryName(x509.Name.from_rfc4514_string("CN=1")),
        x509.DirectoryName(x509.Name.from_rfc4514_string("CN=2")),
    ]
    lists = [pki.crl(ROOT, extensions=((point(full_name=[each]), True),)) for each in names]
    assert len({RevocationList.from_der(each).scope for each in lists}) == len(names)


@pytest.mark.parametrize("flagged", [True, False])
def test_an_entry_belongs_to_the_issuer_that_it_or_one_before_names(flagged: bool) -> None:
    extensions = ((point(indirect_crl=True), True),) if flagged else ()
    der = pki.crl(
        ROOT, extensions=extensions, entries=((1, None), (2, "CN=A"), (3, None), (4, "CN=B"), (5, "CN=A"), (6, "?"))
    )
    (found,) = read_crls(der)
    assert found.entries == {"CN=Root": {1}, "CN=A": {2, 3, 5}, "CN=B": {4}, "?": {6}}
    assert (found.size, found.scope.is_indirect) == (6, True)
    of_a = pki.leaf(pki.root("A", key=pki.ec_key("A")), serial=3, key=pki.ec_key("leaf")).certificate
    of_root = pki.leaf(ROOT, serial=3, key=pki.ec_key("leaf")).certificate
    assert (found.names(of_a), found.when(of_a)) == (True, "on 2026-11-20")
    assert (found.names(of_root), found.when(of_root)) == (False, "")


@pytest.mark.parametrize("data", [b"", b"nonsense", LEAF.certificate.der, DER[:-1], LEAF.pem])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(CRLUnreadable):
        read_crls(data)


TBS = x509.load_der_x509_crl(DER).tbs_certlist_bytes


INDIRECT = pki.crl(ROOT, extensions=((point(indirect_crl=True), True),), entries=((2, "CN=A"), (3, None), (6, "?")))


@given(st.data())
def test_a_damaged_indirect_list_raises_only_our_error(data: st.DataObject) -> None:
    der = bytearray(INDIRECT)
    for _ in range(data.draw(st.integers(0, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_crls(bytes(der))[0]
    except CRLUnreadable:
        return
    assert found.size >= len(found.entries)
    assert isinstance(found.when(LEAF.certificate), str)


@given(st.data())
def test_a_damaged_list_raises_only_our_error(data: st.DataObject) -> None:
    der = bytearray(DER)
    for _ in range(data.draw(st.integers(0, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_crls(bytes(der))[0]
    except CRLUnreadable:
        return
    signed = x509.load_der_x509_crl(bytes(der)).tbs_certlist_bytes  # outside of it, as in unused bits, nothing counts
    assert signed == TBS or not found.is_signed_by(ROOT.certificate)


def test_a_hundred_thousand_entries_are_indexed_once() -> None:
    builder = x509.CertificateRevocationListBuilder().issuer_name(ROOT.certificate.x509.subject)
    entry = x509.RevokedCertificateBuilder().revocation_date(NOW)
    entries = [entry.serial_number(number + 1).build() for number in range(100_000)]
    builder = x509.CertificateRevocationListBuilder(
        ROOT.certificate.x509.subject, NOW, NOW + DAY, revoked_certificates=entries
    )
    found = RevocationList.from_der(builder.sign(pki.ec_key("Root"), hashes.SHA256()).public_bytes(Encoding.DER))
    assert found.is_signed_by(ROOT.certificate)
    began = time.perf_counter()
    for number in range(10_000):
        assert (number + 1) in found.entries["CN=Root"]
        assert found.is_signed_by(ROOT.certificate)
    assert time.perf_counter() - began < 1


# --- In a partner's directory ---------------------------------------------------------------------------------


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    folder = tmp_path / "acme"
    (folder / "tls").mkdir(parents=True)
    (folder / "as2").mkdir()
    (folder / "partner.toml").write_text('as2_id = "ACME"\n')
    (folder / "leaf.pem").write_bytes(LEAF.pem)
    return folder


@pytest.mark.parametrize(
    ("name", "data"),
    [("ca.crl", DER), ("CA.CRL", pem(DER)), ("tls/ca.pem", pem(DER)), ("bundle.pem", ROOT.pem + pem(DER) + ROOT.pem)],
)
def test_a_list_in_the_directory_is_the_partners(acme: Path, name: str, data: bytes) -> None:
    (acme / name).write_bytes(data)
    loaded = load_partner(acme)
    assert loaded.partner
    assert [each.der for each in loaded.partner.crls] == [DER]
    assert loaded.partner.trusted_roots == ((ROOT.certificate,) if name == "bundle.pem" else ())
    assert (loaded.problems, loaded.warnings) == ((), ())


def test_a_list_among_the_message_certificates_is_not_used(acme: Path) -> None:
    (acme / "as2" / "ca.crl").write_bytes(DER)
    loaded = load_partner(acme)
    assert loaded.partner
    assert loaded.partner.crls == ()
    assert "counts for connections" in str(loaded.warnings[0])


def test_a_list_that_cannot_be_read_keeps_nothing_else_back(acme: Path) -> None:
    (acme / "ca.crl").write_bytes(DER[:100])
    loaded = load_partner(acme)
    assert loaded.partner
    assert loaded.partner.public_certificates == (LEAF.certificate,)
    assert "ca.crl: not a readable revocation list" in str(loaded.problems[0])


def test_the_settings_are_read(acme: Path) -> None:
    (acme / "partner.toml").write_text(
        'as2_id = "ACME"\n[revocation]\ncrl = "hard"\nfetch = true\ncrl_urls = ["http://127.0.0.1/ca.crl"]\n'
        'ocsp = "soft"\nocsp_url = "http://127.0.0.1/ocsp"\n'
    )
    partner = load_partner(acme).partner
    assert partner
    assert partner.revocation.crl is RevocationCheck.HARD
    assert partner.revocation.ocsp is RevocationCheck.SOFT
    assert partner.revocation.crl_urls == ("http://127.0.0.1/ca.crl",)


@pytest.mark.parametrize("line", ['crl = "maybe"', "fetch = 1", 'crl_urls = "x"', 'ocsp_url = "ldap://x"', "new = 1"])
def test_a_wrong_setting_is_a_mistake_with_its_line(acme: Path, line: str) -> None:
    (acme / "partner.toml").write_text(f'as2_id = "ACME"\n[revocation]\n{line}\n')
    loaded = load_partner(acme)
    assert loaded.partner is None
    assert loaded.problems[0].line == 3


@pytest.mark.parametrize(
    ("days", "words"), [(9, "expired on 2026-11-28"), (6.5, "expires on 2026-11-28"), (1, ""), (None, "")]
)
def test_a_list_that_ends_is_warned_of(acme: Path, days: float | None, words: str) -> None:
    (acme / "ca.crl").write_bytes(DER)
    (acme / "root.pem").write_bytes(ROOT.pem)
    warnings = load_partners(acme.parent, None if days is None else NOW + days * DAY)[2]
    assert [words in str(each) for each in warnings] == ([True] if words else [])


def test_a_list_that_no_ca_of_the_partner_signed_is_warned_of(acme: Path) -> None:
    (acme / "ca.crl").write_bytes(DER)
    assert "not signed by any CA certificate in this directory" in "".join(map(str, load_partners(acme.parent)[2]))
