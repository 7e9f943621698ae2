"""PEM blocks without a line break between them: each one is read, and a private key among them is noticed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.partners.edit.bundle import is_public
from mtlsd.partners.partner import load_partner
from mtlsd.pki.certificate import CertificateUnreadable, PrivateKeyPresent
from mtlsd.pki.crl import read_crls
from mtlsd.pki.formats.reader import read_certificates, read_contents, read_public
from mtlsd.pki.key_pair import load_key_pair
from tests.support import pki

ROOT = pki.root()
CA = pki.intermediate(ROOT)
LEAF = pki.leaf(CA)
CHAIN = (LEAF.certificate, CA.certificate, ROOT.certificate)
PLAIN = [each.pem.decode().rstrip() for each in (LEAF, CA, ROOT)]
JOINED = "".join(PLAIN)
WORDS = "without a line break between them"
CRL_DER = pki.crl(CA)
CRL = x509.load_der_x509_crl(CRL_DER).public_bytes(Encoding.PEM).decode()


def hyphens(instead_of: str, count: int) -> Callable[[str], str]:
    return lambda text: text.replace(instead_of, "-" * count)


SPELLINGS: dict[str, Callable[[str], str | bytes]] = {
    "as it is": str,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "JSON": lambda text: json.dumps({"chain": text}),
    "in an array in JSON": lambda text: json.dumps([1, {"a": [text]}]),
    "JSON, escaped twice": lambda text: json.dumps({"chain": text.replace("\n", "\\n")}),
    r"literal \n": lambda text: text.replace("\n", "\\n"),
    r"literal \r\n": lambda text: text.replace("\n", "\\r\\n"),
    "one line with spaces": lambda text: text.replace("\n", " "),
    "one line without a break": lambda text: text.replace("\n", ""),
    "one line without a space": lambda text: text.replace("\n", "").replace(" ", ""),
    "en dashes": lambda text: text.replace("-", "\u2013"),
    "em dashes and a hyphen": lambda text: text.replace("-----", "\u2014\u2014-"),
    r"minus signs and literal \n": lambda text: text.replace("-", "\u2212").replace("\n", "\\n"),
    "hyphens written as escapes": lambda text: text.replace("-", "\\u002d").replace("\n", "\\n"),
    "a zero-width space between": lambda text: text.replace("-" * 10, "-----\u200b-----"),
    "a no-break space between": lambda text: text.replace("-" * 10, "-----\u00a0-----"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "URL-encoded": lambda text: text.replace("\n", "%0A").replace("+", "%2B"),
    "quoted": lambda text: "".join(f"> {line}\n" for line in text.splitlines()),
    "HTML": lambda text: text.replace("\n", "<br>\n"),
    "lower case": lambda text: text.replace("BEGIN", "begin").replace("END", "end"),
    **{f"{count} hyphens between": hyphens("-" * 10, count) for count in (*range(2, 28), 40, 100)},
    **{f"{count} hyphens in all places": hyphens("-----", count) for count in (2, 3, 4, 6, 8)},
}  # fmt: skip


def spelled(spelling: str, text: str) -> bytes:
    made = SPELLINGS[spelling](text)
    return made if isinstance(made, bytes) else made.encode()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_certificate_of_joined_blocks_is_lost(spelling: str) -> None:
    assert read_certificates(spelled(spelling, JOINED)) == CHAIN


def test_only_what_is_joined_gets_a_remark() -> None:
    assert [WORDS in each for each in read_public(JOINED.encode()).remarks] == [True]
    for separator in ("\n", "\r\n", "\r", "\n\n", "\nsubject=CN = x\n", " "):
        assert not any(WORDS in each for each in read_public(separator.join(PLAIN).encode()).remarks)


LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("order", ["behind", "before", "between"])
def test_a_private_key_joined_to_a_certificate_is_noticed(spelling: str, order: str) -> None:
    key = LEAF.key_pem.decode().rstrip()
    text = {"behind": PLAIN[0] + key, "before": key + PLAIN[0], "between": PLAIN[0] + key + PLAIN[1]}[order]
    with pytest.raises(PrivateKeyPresent):
        read_public(spelled(spelling, text))
    found = read_contents(spelled(spelling, text))
    assert (found.certificates[0], len(found.keys)) == (LEAF.certificate, 1)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    "before",
    ["X509 CRL", "PUBLIC KEY", "DH PARAMETERS", "X9.42 DH PARAMETERS", "CERTIFICATE REQUEST", "PKCS7", "UNKNOWN"],
)
def test_a_private_key_of_any_label_behind_any_block_is_noticed(label: str, before: str) -> None:
    text = f"-----BEGIN {before}-----\nAAAA\n-----END {before}----------BEGIN {label}-----\nAAAA\n-----END {label}-----"
    with pytest.raises(PrivateKeyPresent):
        read_public(f"{PLAIN[0]}\n{text}".encode())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("-----BEGIN CERTIFICATE----------END CERTIFICATE-----", CertificateUnreadable),
        ("-----BEGIN CERTIFICATE----------BEGIN PRIVATE KEY-----\nAAAA", PrivateKeyPresent),
        (f"{PLAIN[0]}-----END PRIVATE KEY-----", PrivateKeyPresent),
        (f"{PLAIN[0]}-----END CERTIFICATE-----", CertificateUnreadable),
        (f"{PLAIN[0]}\nMII=\n-----END CERTIFICATE-----", CertificateUnreadable),
        (f"-----END CERTIFICATE-----{PLAIN[0]}", CertificateUnreadable),
    ],
)
def test_a_mark_without_its_partner_is_damage(text: str, error: type[CertificateUnreadable]) -> None:
    with pytest.raises(error):
        read_public(text.encode())


def test_the_end_of_another_text_is_no_damage() -> None:
    text = f"{PLAIN[0]}\n--- END OF THE MAIL ---\n"
    assert read_certificates(text.encode()) == (LEAF.certificate,)


@given(
    st.lists(st.sampled_from([0, 1, 2, None]), min_size=1, max_size=5),
    st.sampled_from(["", "\n", " ", "\t", "\u200b", "\\n"]),
    st.sampled_from(sorted(SPELLINGS)),
)
def test_any_joined_blocks_are_read_or_refused(blocks: list[int | None], between: str, spelling: str) -> None:
    key = LEAF.key_pem.decode().rstrip()
    data = spelled(spelling, between.join(key if each is None else PLAIN[each] for each in blocks))
    if None in blocks:
        with pytest.raises(PrivateKeyPresent):
            read_public(data)
    else:
        assert set(read_certificates(data)) == {CHAIN[each] for each in blocks if each is not None}


# --- In each place where PEM is read ------------------------------------------------------------------------


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "partner.toml").write_text('as2_id = "ACME"\n')
    return folder


def test_a_partner_keeps_its_intermediate_and_its_root(acme: Path) -> None:
    (acme / "chain.pem").write_text(JOINED)
    loaded = load_partner(acme)
    assert loaded.partner
    assert loaded.partner.public_certificates == (LEAF.certificate,)
    assert loaded.partner.intermediates == (CA.certificate,)
    assert loaded.partner.trusted_roots == (ROOT.certificate,)
    [warning] = loaded.warnings
    assert "`mtlsd cert doctor` can repair it" in str(warning)


@pytest.mark.parametrize("name", ["leaf.pem", "leaf.crl"])
@pytest.mark.parametrize("text", [PLAIN[0], PLAIN[0] + CRL.rstrip(), CRL.rstrip(), CRL.replace("\nMI", "\nM")])
def test_a_private_key_in_a_partners_directory_is_an_error(acme: Path, name: str, text: str) -> None:
    (acme / name).write_text(text + LEAF.key_pem.decode())
    loaded = load_partner(acme)
    assert loaded.public_certificates == ()
    assert "a private key: remove the file" in str(loaded.problems[-1])


@pytest.mark.parametrize("name", ["all.pem", "all.crl"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_list_among_joined_blocks_is_read_like_a_separate_one(acme: Path, name: str, spelling: str) -> None:
    (acme / name).write_bytes(spelled(spelling, f"{PLAIN[0]}{CRL.rstrip()}{PLAIN[2]}"))
    loaded = load_partner(acme)
    assert loaded.problems == ()
    assert loaded.partner
    assert [each.der for each in loaded.partner.crls] == [CRL_DER]
    assert loaded.partner.public_certificates == (LEAF.certificate,)
    assert loaded.partner.trusted_roots == (ROOT.certificate,)


@pytest.mark.parametrize("spelling", ["JSON", r"literal \n", "en dashes", "one line with spaces", "UTF-16"])
def test_a_list_of_an_odd_spelling_is_read_with_a_warning(acme: Path, spelling: str) -> None:
    (acme / "leaf.pem").write_bytes(LEAF.pem)
    (acme / "ca.crl").write_bytes(spelled(spelling, CRL))
    loaded = load_partner(acme)
    assert loaded.partner
    assert [each.der for each in loaded.partner.crls] == [CRL_DER]
    assert loaded.problems == ()
    assert bool(loaded.warnings) == (spelling != "JSON")
    assert all(str(each).endswith("it is accepted") for each in loaded.warnings)


def test_two_joined_lists_are_two() -> None:
    other = pki.crl(ROOT)
    text = CRL.rstrip() + x509.load_der_x509_crl(other).public_bytes(Encoding.PEM).decode()
    assert [each.der for each in read_crls(text.encode())] == [CRL_DER, other]


@pytest.mark.parametrize("joined", [False, True])
def test_our_own_chain_is_served_whole(tmp_path: Path, joined: bool) -> None:
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    certificate = PLAIN[0] if joined else ""
    key.write_text(certificate + LEAF.key_pem.decode())
    (tmp_path / "chain.pem").write_text(JOINED)
    loaded = load_key_pair(tmp_path / "chain.pem", key)
    assert loaded.key_pair.chain == (CA.certificate, ROOT.certificate)
    assert loaded.key_pair.private_key.public_key() == LEAF.key.public_key()


def test_a_file_with_a_joined_key_is_exported_only_with_private_keys() -> None:
    old = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    assert is_public("chain.pem", JOINED.encode())
    for key in (LEAF.key_pem.decode(), old):
        assert not is_public("chain.pem", (PLAIN[0] + key).encode())


def in_one_block(*values: bytes) -> bytes:
    body = base64.encodebytes(b"".join(values)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n".encode()


def key_der() -> bytes:
    return LEAF.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_several_certificates_in_one_block_are_all_read() -> None:
    found = read_contents(in_one_block(*(each.der for each in CHAIN)))
    assert found.certificates == CHAIN
    assert "the file has several values in one PEM block" in [f"the file {each}" for each in found.remarks]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_private_key_in_a_block_of_certificates_is_noticed(at: int) -> None:
    values = [each.der for each in CHAIN]
    values.insert(at, key_der())
    with pytest.raises(PrivateKeyPresent):
        read_public(in_one_block(*values))


def test_other_octets_behind_a_certificate_in_its_block_are_damage_or_openssl_s_settings() -> None:
    with pytest.raises(CertificateUnreadable):
        read_certificates(in_one_block(LEAF.certificate.der, b"nonsense"))
    with pytest.raises(CertificateUnreadable):
        read_certificates(in_one_block(LEAF.certificate.der, b"\x30\x82\xff\xff"))
    assert read_certificates(in_one_block(LEAF.certificate.der, b"\x30\x02\x0c\x00")) == (LEAF.certificate,)
