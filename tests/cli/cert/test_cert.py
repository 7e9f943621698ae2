"""`mtlsd cert`: files of any form are shown, mended and converted; `openssl` judges what is written."""

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from asn1crypto.core import ObjectIdentifier
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.reader import read_certificates, read_contents
from tests.support import pki
from tests.support.odd import (
    DNS,
    EDI_PARTY,
    FRACTION,
    ORGANIZATION,
    PRINTABLE,
    alternative_names,
    ended,
    named,
    odd,
)
from tests.support.site import mtlsd, mtlsd_json

ROOT = pki.root()
CA = pki.intermediate(ROOT)
LEAF = pki.leaf(CA, san=("dns:edi.acme.example",))
OTHER = pki.leaf(CA, "other")
IRREGULAR = Certificate.from_der(odd(alternative_names(EDI_PARTY, DNS)))
UNREADABLE = odd(ended(FRACTION))
ODD = Certificate.from_der(odd(named((ORGANIZATION, PRINTABLE, b"A & B"))))
SUBJECT = "CN=edi.acme.example"


def hexdigest(octets: bytes) -> str:
    return sha256(octets).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a chain in the wrong order, its key, and a password."""
    (tmp_path / "chain.pem").write_bytes(CA.pem + LEAF.pem + CA.pem)
    (tmp_path / "key.pem").write_bytes(LEAF.key_pem)
    (tmp_path / "secret").write_bytes(b"p\xc3\xa4ss word\n")
    (tmp_path / "in.pem").write_bytes(LEAF.key_pem + CA.pem + LEAF.pem)
    return tmp_path


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def convert(folder: Path, source: str, target: str, *more: object) -> Path:
    result = mtlsd("cert", "convert", folder / source, folder / target, *more)
    assert (result.exit_code, result.output) == (0, "")
    return folder / target


# --- show ---------------------------------------------------------------------------------------------------


def test_everything_of_a_file_is_shown(folder: Path) -> None:
    result = mtlsd("cert", "show", folder / "in.pem")
    assert result.exit_code == 0
    for words in (
        f"{folder}/in.pem: PEM",
        f"leaf        {SUBJECT}",
        "intermediate  CN=Intermediate",
        "issuer      CN=Intermediate",
        f"serial      {LEAF.certificate.serial:x}",
        "not before  2026-10-22T12:00:00Z",
        "names       dns:edi.acme.example",
        "key         RSA 2048",
        "uses        clientAuth",
        f"sha256      {LEAF.certificate.sha256}",
        f"private key: RSA 2048, belongs to {SUBJECT}",
        "note: an issuer is missing: CN=Root",
    ):
        assert words in result.stdout
    assert "PRIVATE KEY" not in result.stdout


def test_the_json_has_it_all(folder: Path) -> None:
    found = mtlsd_json("cert", "show", folder / "in.pem")
    assert set(found) == {"file", "form", "certificates", "private_keys", "missing_issuers", "remarks"}
    leaf, intermediate = found["certificates"]
    assert (leaf["role"], intermediate["role"]) == ("leaf", "intermediate")
    assert (leaf["san"], leaf["extended_key_usage"]) == (["dns:edi.acme.example"], ["clientAuth"])
    assert found["private_keys"] == [{"key": "RSA 2048", "belongs_to": LEAF.certificate.sha256}]
    assert found["missing_issuers"] == ["CN=Root"]


def test_a_key_of_nobody_and_a_key_under_a_password_are_said(folder: Path) -> None:
    (folder / "a").write_bytes(LEAF.pem + OTHER.key_pem + OTHER.encrypted_key_pem(b"x"))
    written = mtlsd("cert", "show", folder / "a").stdout
    assert "private key: RSA 2048, belongs to none of these certificates" in written
    assert "note: a private key cannot be read: an encrypted private key" in written


def test_what_is_odd_about_a_certificate_is_shown(folder: Path) -> None:
    (folder / "odd").write_bytes(ODD.pem)
    assert "encoding that no standard allows" in mtlsd("cert", "show", folder / "odd").stdout


@pytest.mark.parametrize("command", ["show", "doctor"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "file: empty"),
        (b"<html>", "file: an HTML page"),
        (b"\xfe\xed\xfe\xed", "file: a Java keystore"),
        (LEAF.pem[:99], "file: incomplete"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_none_ends_with_1_and_the_reason(folder: Path, command: str, content: bytes, words: str) -> None:
    (folder / "file").write_bytes(content)
    result = mtlsd("cert", command, folder / "file")
    assert (result.exit_code, result.stdout, words in result.stderr) == (1, "", True)


def test_a_missing_file_ends_with_1(folder: Path) -> None:
    result = mtlsd("cert", "show", folder / "none")
    assert (result.exit_code, "cannot be read: No such file" in result.stderr) == (1, True)


# --- doctor -------------------------------------------------------------------------------------------------


def test_a_broken_file_is_mended_and_the_fault_named(folder: Path) -> None:
    (folder / "mail.txt").write_text((CA.pem + LEAF.pem).decode().replace("\n", "\\n").replace("-----", "\u2014\u2014"))
    result = mtlsd("cert", "doctor", folder / "mail.txt")
    assert result.exit_code == 0
    assert r"the file has \n written out" in result.stderr
    assert "the file has typographic dashes" in result.stderr
    assert result.stdout.encode() == LEAF.pem + CA.pem
    assert openssl("x509", "-outform", "DER", stdin=result.stdout_bytes) == LEAF.certificate.der


def test_joined_blocks_are_all_shown_and_separated(folder: Path) -> None:
    (folder / "joined.pem").write_bytes(LEAF.pem.rstrip() + CA.pem.rstrip() + LEAF.key_pem.rstrip() + ROOT.pem)
    subjects = [each["subject"] for each in mtlsd_json("cert", "show", folder / "joined.pem")["certificates"]]
    assert subjects == [SUBJECT, "CN=Intermediate", "CN=Root"]
    assert convert(folder, "joined.pem", "own.pem").read_bytes() == LEAF.pem + CA.pem + ROOT.pem + LEAF.key_pem
    result = mtlsd("cert", "doctor", folder / "joined.pem")
    assert (result.exit_code, result.stdout.encode()) == (0, LEAF.pem + CA.pem + ROOT.pem)
    assert "the file has PEM blocks without a line break between them" in result.stderr


def test_a_good_file_is_fine(folder: Path) -> None:
    (folder / "good.pem").write_bytes(LEAF.pem + CA.pem + ROOT.pem)
    result = mtlsd("cert", "doctor", folder / "good.pem")
    assert (result.exit_code, result.stderr) == (0, f"{folder}/good.pem: no problem found\n")
    assert result.stdout.encode() == LEAF.pem + CA.pem + ROOT.pem


def test_an_irregular_field_is_reported_and_stays(folder: Path) -> None:
    (folder / "odd.pem").write_bytes(IRREGULAR.pem)
    result = mtlsd("cert", "doctor", folder / "odd.pem")
    assert (result.exit_code, result.stdout.encode()) == (0, IRREGULAR.pem)
    assert "CN=odd: its subject alternative name has an ediPartyName, which is never matched" in result.stderr
    [shown] = mtlsd_json("cert", "show", folder / "odd.pem")["certificates"]
    assert (shown["san"], len(shown["odd"])) == (["dns:edi.acme.example"], 1)


def test_a_certificate_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "bad.der").write_bytes(UNREADABLE)
    result = mtlsd("cert", "doctor", folder / "bad.der")
    assert result.exit_code == 1
    for each in ("its notAfter is '99991231225959.357Z'", "subject CN=odd, issuer CN=odd", hexdigest(UNREADABLE)):
        assert each in result.stderr


def test_a_private_key_goes_into_a_file_of_its_owner_only(folder: Path) -> None:
    result = mtlsd("cert", "doctor", folder / "in.pem")
    assert "PRIVATE KEY" not in result.output
    assert "the private key is not written to stdout" in result.stderr
    assert mtlsd("cert", "doctor", folder / "in.pem", "--output", folder / "out.pem").exit_code == 0
    assert (folder / "out.pem").stat().st_mode & 0o777 == 0o600
    assert (folder / "out.pem").read_bytes() == LEAF.pem + CA.pem + LEAF.key_pem
    again = mtlsd("cert", "doctor", folder / "in.pem", "--output", folder / "out.pem")
    assert (again.exit_code, "already exists" in again.stderr) == (1, True)


def test_a_key_of_another_certificate_cannot_be_mended(folder: Path) -> None:
    (folder / "a").write_bytes(LEAF.pem + OTHER.key_pem)
    result = mtlsd("cert", "doctor", folder / "a")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"belongs to none of the certificates; the first is {SUBJECT}" in result.stderr


# --- convert ------------------------------------------------------------------------------------------------


AES_256, TRIPLE_DES = (ObjectIdentifier(each).dump() for each in ("2.16.840.1.101.3.4.1.42", "1.2.840.113549.1.12.1.3"))


@pytest.mark.parametrize(("legacy", "algorithm"), [((), AES_256), (("--legacy",), TRIPLE_DES)], ids=["AES", "3DES"])
@pytest.mark.parametrize("target", ["own.pfx", "own.P12"])
def test_openssl_reads_the_keystore(folder: Path, legacy: tuple[str], algorithm: bytes, target: str) -> None:
    arguments = ("--key", folder / "key.pem", "--out-password-file", folder / "secret", *legacy)
    path = convert(folder, "chain.pem", target, *arguments)
    assert algorithm in path.read_bytes()
    found = read_contents(openssl("pkcs12", "-in", path, "-passin", f"file:{folder / 'secret'}", "-nodes"))
    assert set(found.certificates) == {LEAF.certificate, CA.certificate}
    assert load_pem_private_key(found.keys[0].data, None).public_key() == LEAF.key.public_key()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_keystore_comes_back_as_it_went(folder: Path) -> None:
    secret = ("--out-password-file", folder / "secret")
    convert(folder, "in.pem", "a.pfx", *secret)
    convert(folder, "a.pfx", "b.json", "--password-file", folder / "secret")
    convert(folder, "b.json", "c.pem")
    assert (folder / "c.pem").read_bytes() == LEAF.pem + CA.pem + LEAF.key_pem
    assert json.loads((folder / "b.json").read_bytes())["key"].encode() == LEAF.key_pem
    (folder / "a.pfx.password").write_bytes((folder / "secret").read_bytes())
    assert convert(folder, "a.pfx", "d.crt").read_bytes() == LEAF.pem + CA.pem


def test_openssl_reads_the_bundle(folder: Path) -> None:
    path = convert(folder, "chain.pem", "chain.p7b")
    printed = openssl("pkcs7", "-inform", "DER", "-in", path, "-print_certs")
    assert read_certificates(printed) == (LEAF.certificate, CA.certificate)
    assert convert(folder, "chain.p7b", "chain.crt").read_bytes() == LEAF.pem + CA.pem


def test_an_odd_certificate_stays_as_it_is(folder: Path) -> None:
    (folder / "odd.der").write_bytes(ODD.der)
    path = convert(folder, "odd.der", "odd.p7b")
    printed = openssl("pkcs7", "-inform", "DER", "-in", path, "-print_certs")
    assert read_certificates(printed) == (ODD,)
    result = mtlsd("cert", "convert", folder / "odd.der", folder / "a.pfx", "--out-password-file", folder / "secret")
    assert (result.exit_code, "cannot be written to PKCS#12: write a .pem or .p7b" in result.stderr) == (1, True)
    (folder / "odd.der").write_bytes(IRREGULAR.der)
    path = convert(folder, "odd.der", "a.pfx", "--out-password-file", folder / "secret")
    printed = openssl("pkcs12", "-in", path, "-passin", f"file:{folder / 'secret'}", "-nokeys")
    assert read_certificates(printed) == read_certificates(path.read_bytes(), "p\u00e4ss word") == (IRREGULAR,)


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("a.pem", LEAF.pem + CA.pem + LEAF.key_pem),
        ("a.crt", LEAF.pem + CA.pem),
        ("a.key", LEAF.key_pem),
        ("a.der", LEAF.certificate.der),
        ("a.cer", LEAF.certificate.der),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_name_says_the_form(folder: Path, target: str, content: bytes) -> None:
    path = convert(folder, "in.pem", target)
    assert path.read_bytes() == content
    ordinary = (folder / "in.pem").stat().st_mode & 0o777  # by the umask
    assert path.stat().st_mode & 0o777 == (0o600 if b"PRIVATE KEY" in content else ordinary & 0o644)


def test_a_key_may_be_left_out(folder: Path) -> None:
    assert convert(folder, "in.pem", "a.pem", "--no-key").read_bytes() == LEAF.pem + CA.pem


def test_an_encrypted_key_is_opened_with_the_password(folder: Path) -> None:
    (folder / "locked.pem").write_bytes(LEAF.encrypted_key_pem("päss word".encode()) + LEAF.pem)
    result = mtlsd("cert", "convert", folder / "locked.pem", folder / "a.pem")
    assert (result.exit_code, "an encrypted private key" in result.stderr) == (1, True)
    path = convert(folder, "locked.pem", "a.pem", "--password-file", folder / "secret")
    assert path.read_bytes() == LEAF.pem + LEAF.key_pem


def test_nothing_is_written_over(folder: Path) -> None:
    (folder / "a.pem").write_bytes(b"mine")
    result = mtlsd("cert", "convert", folder / "in.pem", folder / "a.pem")
    assert (result.exit_code, (folder / "a.pem").read_bytes()) == (1, b"mine")
    assert "--force" in result.stderr
    assert LEAF.pem in convert(folder, "in.pem", "a.pem", "--force").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("chain.pem", "a.xyz"), 2, "the name of OUT must end with one of .pem .crt"),
        (("chain.pem", "a.key"), 1, "a .key file needs a private key: give it with --key"),
        (("chain.pem", "a.json"), 1, "needs a private key"),
        (("chain.pem", "a.json", "--key", "other.pem"), 1, "the private key belongs to none of the certificates"),
        (("chain.pem", "a.json", "--key", "chain.pem"), 1, "the file must hold exactly one private key"),
        (("two.pem", "a.der"), 1, "there are 2 certificates, but DER holds only one"),
        (("key.pem", "a.der"), 1, "there is no certificate to write"),
        (("chain.pem", "a.pfx", "--out-password-file", "empty"), 1, "a PKCS#12 file needs a password"),
        (("chain.pem", "a.pfx", "--out-password-file", "none"), 1, "none: cannot be read"),
        (("chain.pem", "none/a.pem"), 1, "a.pem cannot be written: No such file"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_nothing_is_left(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (folder / "other.pem").write_bytes(OTHER.key_pem)
    (folder / "two.pem").write_bytes(LEAF.pem + OTHER.pem)
    (folder / "empty").write_bytes(b"")
    before = sorted(folder.iterdir())
    result = mtlsd("cert", "convert", *(each if each.startswith("-") else folder / each for each in arguments))
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert sorted(folder.iterdir()) == before


def test_help_shows_each_form() -> None:
    written = mtlsd("cert", "convert", "--help").stdout
    assert [form for form in (".pem", ".crt", ".der", ".p7b", ".pfx", ".json", ".key") if form not in written] == []
