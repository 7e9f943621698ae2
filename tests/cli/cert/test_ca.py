"""`mtlsd ca`: keys and certificates for tests, in files that their owner alone may read."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from mtlsd.pki.formats.reader import read_certificates
from mtlsd.pki.test_ca.marks import is_for_tests
from tests.support.daemon import Tree
from tests.support.site import mtlsd


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    assert mtlsd("ca", "init", tmp_path / "ca", "--key", "ec").exit_code == 0
    return tmp_path / "ca"


def secret(folder: Path, text: str = "open sesame\n", mode: int = 0o600) -> Path:
    path = folder / "passphrase"
    path.write_text(text)
    path.chmod(mode)
    return path


def issue(ca: Path, *more: object) -> Path:
    result = mtlsd("ca", "issue", ca, "edi.acme.example", "--key", "ec", "--form", "pem", *more)
    assert result.exit_code == 0, result.output
    return ca / "issued" / "edi.acme.example.pem"


def test_pem_pfx_and_json_hold_the_same(ca: Path, tmp_path: Path) -> None:
    more = ("--form", "pfx", "--form", "json", "--passphrase-file", secret(tmp_path))
    pem = issue(ca, *more)
    leaf, issuer = read_certificates(pem.read_bytes())
    key, certificate, others = pkcs12.load_key_and_certificates(pem.with_suffix(".pfx").read_bytes(), b"open sesame")
    service = json.loads(pem.with_suffix(".json").read_text())
    assert certificate == leaf.x509
    assert others == [issuer.x509]
    assert service["certificate"].encode() == pem.read_bytes()
    own = load_pem_private_key(pem.with_suffix(".key").read_bytes(), None)
    assert key
    assert key.public_key() == own.public_key() == leaf.x509.public_key()
    assert load_pem_private_key(service["key"].encode(), None).public_key() == own.public_key()


def test_all_files_are_their_owners_alone(ca: Path) -> None:
    before = os.umask(0)
    try:
        issue(ca)
    finally:
        os.umask(before)
    files = [each for each in ca.rglob("*") if each.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}


def test_openssl_verifies_what_is_issued(ca: Path) -> None:
    pem = issue(ca, "--san", "dns:edi.acme.example")
    command = ["openssl", "verify", "-CAfile", str(ca / "ca.pem"), "-purpose", "sslclient", str(pem)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_request_of_openssl_is_signed(ca: Path, tmp_path: Path) -> None:
    request = tmp_path / "request.csr"
    make = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(tmp_path / "own.key")]
    names = ["-subj", "/CN=edi.acme.example", "-addext", "subjectAltName=DNS:edi.acme.example"]
    subprocess.run([*make, *names, "-out", str(request)], check=True, capture_output=True)
    assert mtlsd("ca", "sign", ca, request).exit_code == 0
    leaf, _ = read_certificates(request.with_suffix(".pem").read_bytes())
    assert (leaf.subject, leaf.san, is_for_tests(leaf)) == ("CN=edi.acme.example", ("dns:edi.acme.example",), True)


def test_nothing_is_overwritten_without_force(ca: Path) -> None:
    pem = issue(ca)
    before = pem.read_bytes(), (ca / "ca.key").read_bytes()
    for again in (("init", ca), ("issue", ca, "edi.acme.example", "--form", "pem")):
        result = mtlsd("ca", *again)
        assert (result.exit_code, "--force" in result.stderr) == (1, True)
    assert (pem.read_bytes(), (ca / "ca.key").read_bytes()) == before
    issue(ca, "--force")
    assert pem.read_bytes() != before[0]


def test_the_key_of_the_ca_may_be_encrypted(tmp_path: Path) -> None:
    ca, option = tmp_path / "ca", ("--ca-passphrase-file", secret(tmp_path))
    assert mtlsd("ca", "init", ca, "--key", "ec", *option).exit_code == 0
    assert b"ENCRYPTED" in (ca / "ca.key").read_bytes()
    without = mtlsd("ca", "issue", ca, "a", "--form", "pem")
    assert (without.exit_code, "--ca-passphrase-file" in without.stderr) == (1, True)
    issue(ca, *option)


@pytest.mark.parametrize(
    ("text", "mode", "said"), [("open sesame\n", 0o644, "everybody can access"), ("\n", 0o600, "no passphrase")]
)
def test_a_passphrase_that_is_none_is_refused(ca: Path, tmp_path: Path, text: str, mode: int, said: str) -> None:
    result = mtlsd("ca", "issue", ca, "a", "--passphrase-file", secret(tmp_path, text, mode))
    assert (result.exit_code, said in result.stderr) == (1, True)


def test_a_passphrase_is_asked_for_on_a_terminal_only(ca: Path) -> None:
    result = mtlsd("ca", "issue", ca, "a")
    assert (result.exit_code, "--passphrase-file" in result.stderr) == (1, True)


@pytest.mark.parametrize("name", ["../escape", ".hidden", "a/b"])
def test_a_name_leads_to_no_other_folder(ca: Path, name: str) -> None:
    assert mtlsd("ca", "issue", ca, name, "--form", "pem", "--key", "ec").exit_code == 0
    assert len(list((ca / "issued").iterdir())) == 2


def test_in_production_the_daemon_refuses_what_it_made(ca: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "site")
    pem = issue(ca, "--for", "server", "--san", "dns:as2.example.com")
    host = tree.certs / "hosts" / "as2.example.com"
    (host / "chain.pem").write_bytes(pem.read_bytes())
    (host / "key.pem").write_bytes(pem.with_suffix(".key").read_bytes())
    (tree.certs / "partners" / "acme" / "tls" / "test-ca.pem").write_bytes((ca / "ca.pem").read_bytes())
    assert mtlsd("check", "--config", tree.configuration).exit_code == 0
    tree.server = "production = true"
    tree.configure()
    result = mtlsd("check", "--config", tree.configuration)
    assert result.exit_code == 78
    assert f"{host}: " in result.stderr
    assert "partners/acme: CN=mtlsd test CA" in result.stderr
