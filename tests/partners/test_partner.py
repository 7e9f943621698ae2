"""A partner's directory is read; what is wrong with it is said, and harms nobody else."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsd.partners.partner import LoadedPartner, Partner, load_partner
from mtlsd.partners.partner_toml import Require
from mtlsd.partners.registry import load_partners
from tests.support import pki

ROOT = pki.root()
MDN_ROOT = pki.root("MDN server root")
CA = pki.intermediate(ROOT)
LEAF = pki.leaf(CA)
SELF_SIGNED = pki.self_signed("self-signed")
COSTLY = pki.self_signed("costly", key=pki.costly_rsa_keys()["a large exponent"])
SELF_SIGNED_CA = pki.self_signed("self-signed CA", ca=True)
WEAK = pki.self_signed("weak", key=pki.rsa_key("weak", 1024))
WEAK_CA = pki.self_signed("weak CA", key=pki.rsa_key("weak", 1024), ca=True)


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    directory = tmp_path / "acme"
    directory.mkdir()
    (directory / "partner.toml").write_text('as2_id = "ACME"\n')
    return directory


def put(directory: Path, **files: pki.Issued) -> None:
    directory.mkdir(exist_ok=True)
    for name, issued in files.items():
        (directory / name).write_bytes(issued.pem)


def loaded(directory: Path) -> Partner:
    """The partner, without problems."""
    found = load_partner(directory)
    assert found.problems == ()
    assert found.partner
    return found.partner


def words(found: LoadedPartner) -> str:
    return "\n".join(map(str, found.problems))


# --- partner.toml -------------------------------------------------------------------------------------------


def test_every_key_but_the_as2_id_has_a_default(acme: Path) -> None:
    put(acme, a=LEAF)
    partner = loaded(acme)
    assert partner.name == "acme"
    assert partner.as2_ids == ("ACME",)
    assert partner.hosts is None
    assert partner.require == {Require.SIGN, Require.ENCRYPT}
    assert partner.relax == frozenset()
    assert partner.mdn_urls == ()
    assert partner.match is None


def test_every_key_is_read(acme: Path) -> None:
    put(acme, a=LEAF)
    (acme / "partner.toml").write_text("""
        as2_id   = ["ACME", "Acme Corp"]
        hosts    = ["AS2.example.com"]
        require  = []
        relax    = ["sha1", "te-and-cl"]
        mdn_urls = ["https://acme.example", "http://127.0.0.1:8080/mdn"]
        [match]
        subject  = "emailAddress=edi@acme.example,CN=edi.acme.example"
        san      = ["dns:EDI.acme.example", "ip:2001:DB8::0001"]
    """)
    partner = loaded(acme)
    assert partner.as2_ids == ("ACME", "Acme Corp")
    assert partner.may_use("as2.EXAMPLE.com")
    assert not partner.may_use("other.example.com")
    assert partner.require == frozenset()
    assert partner.relax == {"sha1", "te-and-cl"}
    assert partner.mdn_urls == ("https://acme.example/", "http://127.0.0.1:8080/mdn")
    assert partner.match
    assert partner.match.subject == "1.2.840.113549.1.9.1=edi@acme.example,CN=edi.acme.example"
    assert partner.match.san == ("dns:edi.acme.example", "ip:2001:db8::1")


def test_an_empty_list_of_hosts_allows_none(acme: Path) -> None:
    put(acme, a=LEAF)
    (acme / "partner.toml").write_text('as2_id = "ACME"\nhosts = []\n')
    assert not loaded(acme).may_use("as2.example.com")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("as2_id = 1", "partner.toml:2: as2_id: found 1: expected 1 to 128 printable ASCII characters"),
        ("as2_id = []", "as2_id: found []: expected"),
        ("as2_id = ''", 'as2_id: found "": expected'),
        ("as2_id = ' A'", 'as2_id: found " A": expected'),
        (f"as2_id = '{'a' * 129}'", 'as2_id: found "aaa'),
        ("as2_id = ['A', 'Ä']", 'as2_id: found ["A", "Ä"]: expected'),
        ("hosts = 'a'", 'hosts: found "a": expected a list of host names'),
        ("hosts = ['a:443']", 'hosts: found ["a:443"]: expected names of virtual hosts, without a port'),
        ("require = ['sing']", 'require: found ["sing"]: expected a list of sign, encrypt'),
        (
            "relax = ['md5']",
            "expected a list of sha1, 3des, rsa-1024, te-and-cl, server-auth-only, any-key-usage, sha1-chain",
        ),
        ("relax = true", "relax: found true: expected a list of sha1"),
        ("as2_version = '1.1'", 'as2_version: found "1.1": expected one of "1.2", "1.3"'),
        ("as2_version = 1.2", "as2_version: found 1.2: expected"),
        ("async_ack = 201", "async_ack: found 201: expected one of 200, 202, 204"),
        ("async_ack = true", "async_ack: found true: expected"),
        ("as2_version = '1.3'\nrelax = ['sha1']", "partner.toml:3: relax: AS2 1.3 has neither SHA-1 nor 3DES"),
        ("mdn_urls = ['ftp://a/']", 'mdn_urls: found ["ftp://a/"]: expected URLs'),
        ("mdn_urls = ['http://user@a/']", 'mdn_urls: found ["http://…@a/"]: expected URLs'),
        ("mdn_urls = ['http://']", 'mdn_urls: found ["http://"]: expected URLs'),
        ("mdn_urls = ['http://[a/']", 'mdn_urls: found ["http://[a/"]: expected URLs'),
        ("match = 'CN=a'", 'match: found "CN=a": expected a table, [match]'),
        ("[match]\nsubject = 'CN=a, O=b'", 'partner.toml:3: match.subject: found "CN=a, O=b": expected a subject'),
        ("[match]\nsubject = ''", 'match.subject: found "": expected a subject'),
        ("[match]\nsan = ['dns:a']", "partner.toml:2: match.subject: is missing: expected a line such as subject ="),
        ("[match]\nsubject = 'CN=a'\nsan = ['a']", 'partner.toml:4: match.san: found ["a"]: expected names such'),
        ("[match]\nsubject = 'CN=a'\nsan = ['ip:a']", 'match.san: found ["ip:a"]: expected names such'),
        ("[match]\nsubject = 'CN=a'\ncn = 'a'", "match.cn: unknown key; expected one of: san, subject"),
        ("[match]\nsubject = 'CN=a'\ncrl = 'hard'", "match.crl: unknown key here; it belongs under [revocation]"),
        ("require_ = []", 'partner.toml:2: require_: unknown key; did you mean "require"?'),
        ("as2_ids = ['A']", 'partner.toml:2: as2_ids: unknown key; did you mean "as2_id"?'),
        ("HOSTS = []", 'partner.toml:2: HOSTS: unknown key; did you mean "hosts"?'),
        ("zzz = []", "partner.toml:2: zzz: unknown key; expected one of: as2_id, as2_version, async_ack"),
        ("as2_id == 1", "partner.toml:2: is not TOML"),
    ],
)
def test_a_mistake_in_partner_toml_is_named_and_disables_the_partner(acme: Path, line: str, expected: str) -> None:
    put(acme, a=LEAF)
    first = "" if line.startswith("as2_id") else 'as2_id = "ACME"'
    (acme / "partner.toml").write_text(f"{first}\n{line}\n")
    found = load_partner(acme)
    assert found.partner is None
    assert expected in words(found)
    assert found.public_certificates == (LEAF.certificate,)


def test_a_partner_toml_that_is_missing_is_said_with_what_belongs_in_it(acme: Path) -> None:
    put(acme, a=LEAF)
    (acme / "partner.toml").unlink()
    assert words(load_partner(acme)) == f'{acme}/partner.toml: is missing: expected a line such as as2_id = "ACME"'
    (acme / "partner.toml").touch()
    assert words(load_partner(acme)).endswith(
        'partner.toml: as2_id: is missing: expected a line such as as2_id = "ACME"'
    )


def test_all_mistakes_are_shown_at_once(acme: Path) -> None:
    put(acme, a=LEAF)
    (acme / "partner.toml").write_text("as2_id = 1\nhosts = 2\nrelax = 3\n")
    (acme / "b").write_bytes(b"")
    assert len(load_partner(acme).problems) == 4


@pytest.mark.parametrize(
    "content",
    [
        *(None, b"", b"\xff", b"x" * 2_000_000, b"a = " + b"[" * 10_000, b"a = " + b"1" * 5000),
        *(
            b"as2_id = 0x" + b"f" * 5000,
            b"as2_id" + b".a" * 5000 + b" = 1",
        ),  # TOML reads them, repr does not write them
    ],
    ids=lambda content: repr(content)[:20],
)
def test_a_partner_without_a_readable_partner_toml_is_disabled(acme: Path, content: bytes | None) -> None:
    put(acme, a=LEAF)
    (acme / "partner.toml").unlink()
    if content is not None:
        (acme / "partner.toml").write_bytes(content)
    found = load_partner(acme)
    assert found.partner is None
    assert "partner.toml" in words(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.dictionaries(st.sampled_from(["as2_id", "hosts", "match"]), st.text()).map(repr))
def test_partner_toml_may_hold_anything(acme: Path, content: str) -> None:
    (acme / "partner.toml").write_text(content, errors="replace", newline="")
    assert load_partner(acme).partner is None


def test_a_name_that_would_not_fit_into_a_header_disables_the_partner(tmp_path: Path) -> None:
    directory = tmp_path / "a\nb"
    put(directory, a=LEAF)
    (directory / "partner.toml").write_text('as2_id = "ACME"')
    assert load_partner(directory).partner is None


# --- Certificates: which is what ----------------------------------------------------------------------------


def test_certificates_are_sorted_by_what_they_say_of_themselves(acme: Path) -> None:
    (acme / "bundle.crt").write_bytes(ROOT.pem + LEAF.pem + CA.pem + LEAF.pem)
    (acme / "again").write_bytes(LEAF.certificate.der)
    partner = loaded(acme)
    assert partner.public_certificates == (LEAF.certificate,)
    assert partner.trusted_roots == (ROOT.certificate,)
    assert partner.intermediates == (CA.certificate,)
    assert set(partner.message_certificates) == {each.certificate for each in (ROOT, LEAF, CA)}


def test_a_certificate_serves_what_its_directory_says(acme: Path) -> None:
    put(acme, both=ROOT)
    put(acme / "tls", connection=LEAF)
    put(acme / "as2", messages=SELF_SIGNED_CA)
    partner = loaded(acme)
    assert partner.public_certificates == (LEAF.certificate,)
    assert partner.trusted_roots == (ROOT.certificate,)
    assert partner.message_certificates == (ROOT.certificate, SELF_SIGNED_CA.certificate)


@pytest.mark.parametrize("beside", [(), (LEAF,), (SELF_SIGNED,), (ROOT, LEAF), (ROOT,)])
def test_a_self_signed_ca_is_a_public_certificate_too_whatever_is_beside_it(
    acme: Path, beside: tuple[pki.Issued, ...]
) -> None:
    put(acme, a=SELF_SIGNED_CA, **{f"b{number}": each for number, each in enumerate(beside)})
    partner = loaded(acme)
    ends = {each.certificate for each in beside if each is not ROOT}
    assert set(partner.public_certificates) == {SELF_SIGNED_CA.certificate, *ends}
    assert SELF_SIGNED_CA.certificate in partner.trusted_roots


def test_a_self_signed_ca_that_may_sign_no_handshake_is_a_root_only(acme: Path) -> None:
    put(acme, a=ROOT)
    partner = loaded(acme)
    assert partner.public_certificates == ()
    assert partner.trusted_roots == (ROOT.certificate,)


def test_a_self_signed_ca_is_only_a_root_where_the_partner_has_a_match(acme: Path) -> None:
    put(acme, a=SELF_SIGNED_CA)
    (acme / "partner.toml").write_text('as2_id = "ACME"\n[match]\nsubject = "CN=edi.acme.example"\n')
    partner = loaded(acme)
    assert partner.public_certificates == ()
    assert partner.trusted_roots == (SELF_SIGNED_CA.certificate,)


def test_a_self_signed_end_entity_is_a_public_certificate_and_no_root(acme: Path) -> None:
    put(acme, a=SELF_SIGNED)
    partner = loaded(acme)
    assert partner.public_certificates == (SELF_SIGNED.certificate,)
    assert partner.trusted_roots == ()


@pytest.mark.parametrize(
    ("settings", "version", "status"),
    [("", "1.2", 200), ("as2_version = '1.3'", "1.3", 204), ("as2_version = '1.3'\nasync_ack = 202", "1.3", 202)],
)
def test_a_newer_version_of_as2_acknowledges_without_content(
    acme: Path, settings: str, version: str, status: int
) -> None:
    put(acme, a=SELF_SIGNED)
    (acme / "partner.toml").write_text(f'as2_id = "ACME"\n{settings}\n')
    partner = loaded(acme)
    assert (partner.as2_version, partner.async_ack) == (version, status)


def test_a_partner_without_any_certificate_is_disabled(acme: Path) -> None:
    found = load_partner(acme)
    assert found.partner is None
    assert "no certificate" in words(found)


@pytest.mark.parametrize(
    ("files", "match", "expected"),
    [
        ({"a": LEAF}, False, "pinned without a root"),
        ({"a": LEAF, "b": ROOT}, False, "CN=edi.acme.example ({sha}) cannot connect, unless the client sends"),
        ({"a": LEAF, "b": CA, "c": ROOT}, False, ""),
        ({"a": CA, "b": ROOT}, False, "identifies nobody"),
        ({"a": SELF_SIGNED, "b": ROOT}, False, ""),
        ({"a": SELF_SIGNED_CA, "b": SELF_SIGNED}, False, ""),
        (
            {"a": LEAF, "mdn-root": MDN_ROOT},
            False,
            "CN=edi.acme.example ({sha}) cannot connect, unless the client sends",
        ),
        (
            {"a": SELF_SIGNED_CA, "b": LEAF},
            False,
            "CN=edi.acme.example ({sha}) cannot connect, unless the client sends",
        ),
        ({"a": SELF_SIGNED_CA, "b": pki.leaf(SELF_SIGNED_CA)}, False, ""),
        ({"a": SELF_SIGNED_CA, "b": LEAF, "c": CA, "d": ROOT}, False, ""),
        ({"a": CA}, True, "match: accepts no certificate"),
        ({"a": ROOT}, True, ""),
        ({"a": WEAK}, False, "CN=weak ({sha}) is always refused: cert_key_too_weak (RSAPublicKey, 1024 bits)"),
        ({"a": WEAK_CA}, False, "CN=weak CA ({sha}) is always refused: cert_key_too_weak"),
        (
            {"a": WEAK_CA},
            True,
            "CN=weak CA ({sha}) is always refused, and so is every certificate below it: cert_key_too_weak",
        ),
        ({"a": pki.leaf(ROOT, "server", eku=(pki.SERVER,)), "b": ROOT}, False, "cert_eku_no_client_auth"),
        ({"a": pki.leaf(ROOT, "old", sha1=True), "b": ROOT}, False, "cert_sig_alg_weak (signed with sha1)"),
        ({"a": pki.self_signed("old", sha1=True, ca=True)}, False, ""),
    ],
)
def test_what_is_seldom_meant_is_a_warning(
    acme: Path, files: dict[str, pki.Issued], match: bool, expected: str
) -> None:
    put(acme, **files)
    if match:
        (acme / "partner.toml").write_text('as2_id = "ACME"\n[match]\nsubject = "CN=a"\n')
    warnings = "\n".join(map(str, load_partners(acme.parent)[2]))
    sha256 = {each.certificate.subject: each.certificate.sha256[:16] for each in files.values()}
    assert expected.replace("{sha}", sha256.get(expected.split(" (")[0], "")) in warnings
    assert bool(expected) == bool(warnings)


# --- Certificate files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".hidden", "a.pem~", "a.pfx.password", "other.toml"])
def test_some_names_are_no_certificates(acme: Path, name: str) -> None:
    put(acme, a=LEAF)
    (acme / name).write_bytes(b"not a certificate")
    assert loaded(acme).public_certificates == (LEAF.certificate,)


@pytest.mark.parametrize("name", ["a.cer", "a.crt", "a.pem", "a.der", "a", "A B.txt", "a.unknown"])
@pytest.mark.parametrize("der", [True, False])
def test_a_certificate_file_may_have_any_name(acme: Path, name: str, der: bool) -> None:
    (acme / name).write_bytes(LEAF.certificate.der if der else LEAF.pem)
    assert loaded(acme).public_certificates == (LEAF.certificate,)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "bad: empty"),
        (LEAF.key_pem, "bad: a private key: remove the file and rotate the key"),
        (LEAF.pem + LEAF.key_pem, "bad: a private key"),
        (b"<html>", "bad: an HTML page"),
        (b"hello", "bad: neither PEM nor DER"),
        (LEAF.pem[:100], "bad: incomplete"),
        (b"x" * 1_100_000, "bad: larger than"),
        (COSTLY.pem, "bad: CN=costly: an RSA key of more than 8192 bits, or with a public exponent of 2**32 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("below", [".", "tls", "as2"])
def test_a_bad_file_does_not_keep_the_others_back(acme: Path, content: bytes, expected: str, below: str) -> None:
    put(acme, good=ROOT)
    (acme / below).mkdir(exist_ok=True)
    (acme / below / "bad").write_bytes(content)
    found = load_partner(acme)
    assert found.partner
    assert found.partner.trusted_roots == (ROOT.certificate,)
    assert expected in words(found)


def test_a_fifo_and_links_that_lead_out_are_problems(acme: Path) -> None:
    put(acme, good=ROOT)
    put(acme.parent / "other", a=LEAF)
    os.mkfifo(acme / "fifo")
    (acme / "link").symlink_to("../other/a")
    (acme / "absolute").symlink_to(acme.parent / "other" / "a")
    (acme / "loop").symlink_to("loop")
    (acme / "dangling").symlink_to("nothing")
    (acme / "tls").symlink_to("../other")
    found = load_partner(acme)
    assert found.partner
    assert found.partner.trusted_roots == (ROOT.certificate,)
    assert {each.file.name for each in found.problems} == {
        "fifo",
        "link",
        "absolute",
        "loop",
        "dangling",
        "tls",
    }


def test_partner_toml_may_not_be_borrowed_from_another_partner(acme: Path) -> None:
    put(acme, good=ROOT)
    (acme.parent / "other.toml").write_text('as2_id = "OTHER"')
    (acme / "partner.toml").unlink()
    (acme / "partner.toml").symlink_to("../other.toml")
    assert load_partner(acme).partner is None


def test_links_as_kubernetes_makes_them_are_followed(tmp_path: Path) -> None:
    directory = tmp_path / "acme"
    real = directory / "..2026_11_21"
    put(directory)
    put(real, cert=LEAF)
    put(real / "tls", root=ROOT)
    (real / "partner.toml").write_text('as2_id = "ACME"')
    (directory / "..data").symlink_to("..2026_11_21")
    for name in ("cert", "partner.toml", "tls"):
        (directory / name).symlink_to(f"..data/{name}")
    partner = loaded(directory)
    assert partner.public_certificates == (LEAF.certificate,)
    assert partner.trusted_roots == (ROOT.certificate,)


def test_another_directory_is_not_read_and_said_so(acme: Path) -> None:
    put(acme, good=ROOT)
    put(acme / "old", a=LEAF)
    (acme / "tls").mkdir()
    put(acme / "tls" / "deeper", a=LEAF)
    found = load_partner(acme)
    assert found.partner
    assert found.partner.trusted_roots == (ROOT.certificate,)
    assert {each.file.name for each in found.warnings} == {"old", "deeper"}


def test_what_vouches_for_the_mdn_servers_vouches_for_nothing_else(acme: Path) -> None:
    put(acme, client=LEAF)
    put(acme / "mdn", root=MDN_ROOT, server=SELF_SIGNED)
    partner = loaded(acme)
    assert set(partner.mdn_roots) == {MDN_ROOT.certificate, SELF_SIGNED.certificate}
    assert partner.public_certificates == partner.message_certificates == (LEAF.certificate,)
    assert (partner.trusted_roots, partner.intermediates) == ((), ())


def test_what_vouches_for_the_mdn_servers_only_makes_no_partner(acme: Path) -> None:
    put(acme / "mdn", root=MDN_ROOT)
    found = load_partner(acme)
    assert (found.partner, "no certificate" in words(found)) == (None, True)


def test_a_directory_that_is_gone_is_a_disabled_partner(tmp_path: Path) -> None:
    assert load_partner(tmp_path / "gone").partner is None
