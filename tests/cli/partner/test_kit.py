"""`mtlsd partner kit`: what a partner needs of ours, and lines that work as they stand."""

import json
import os
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from mtlsd.cli.partner.kit_files import ASK_FOR_MDN
from mtlsd.pki.formats.reader import read_certificates
from tests.support import pki, standins
from tests.support.daemon import LONG, Tree, acme, keys
from tests.support.site import Site, mtlsd


def made(tree: Tree, folder: Path, *more: object, name: str = "acme") -> Path:
    output = folder / "kit.zip"
    result = mtlsd("partner", "kit", name, "--config", tree.configuration, "--output", output, *more)
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(output) as archive:
        archive.extractall(folder / "kit")
    return folder / "kit"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "site")


def run(script: Path, **environment: object) -> str:
    """Run a script of the kit as it stands."""
    env = os.environ | {name: str(value) for name, value in environment.items()}
    done = subprocess.run(["sh", str(script)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_our_certificates_are_there_in_every_form(tree: Tree, tmp_path: Path) -> None:
    kit = made(tree, tmp_path)
    chain = read_certificates((tree.certs / "hosts" / "as2.example.com" / "chain.pem").read_bytes())
    host = kit / "as2.example.com"
    assert read_certificates((host / "chain.pem").read_bytes()) == chain
    assert (host / "server.cer").read_bytes() == chain[0].der
    assert load_der_pkcs7_certificates((host / "chain.p7b").read_bytes()) == [each.x509 for each in chain]
    own = keys("EXAMPLE").certificate
    assert (kit / "as2" / "EXAMPLE-cert.cer").read_bytes() == own.der
    assert read_certificates((kit / "as2" / "EXAMPLE-cert.pem").read_bytes()) == (own,)


def sheet(kit: Path, *, ours: str, theirs: str) -> None:
    """Check the settings for OpenAS2 and mendelson."""
    root = ElementTree.parse(kit / "as2.example.com" / "openas2.xml").getroot()  # noqa: S314 - ours
    assert {each.get("as2_id") for each in root.iter("partner")} == {ours, theirs}
    (partnership,) = root.iter("partnership")
    assert [partnership.find(each).get("name") for each in ("sender", "receiver")] == [theirs, ours]  # type: ignore[union-attr]
    attributes = {each.get("name"): each.get("value") for each in partnership.iter("attribute")}
    assert str(attributes["as2_url"]).startswith("https://as2.example.com:")
    assert str(attributes["as2_url"]).endswith("/as2")
    assert attributes["as2_mdn_options"] == ASK_FOR_MDN
    assert (attributes["sign"], attributes["encrypt"]) == ("SHA-256", "AES256")
    assert attributes["subject"] == "File $attributes.filename$ from $sender.name$ to $receiver.name$"
    text = (kit / "as2.example.com" / "mendelson.txt").read_text()
    assert ours in text
    assert theirs in text
    assert str(attributes["as2_url"]) in text


def test_openas2_and_mendelson_have_their_settings(tree: Tree, tmp_path: Path) -> None:
    sheet(made(tree, tmp_path), ours="EXAMPLE", theirs="ACME")


@pytest.mark.parametrize("odd", ["A&B", "A<B>", "\"A\" 'B'", "a--b"])
def test_odd_ids_are_the_same_in_the_settings(tree: Tree, tmp_path: Path, odd: str) -> None:
    settings = tree.certs / "partners" / "acme" / "partner.toml"
    settings.write_text(f"as2_id = {json.dumps(odd)}\n", encoding="utf-8")
    sheet(made(tree, tmp_path), ours="EXAMPLE", theirs=odd)


def test_no_private_key_is_in_a_kit(tree: Tree, tmp_path: Path) -> None:
    kit = made(tree, tmp_path)
    secrets = [each.read_bytes() for each in tree.certs.rglob("key.pem")]
    assert len(secrets) == 4
    for path in (each for each in kit.rglob("*") if each.is_file()):
        data = path.read_bytes()
        assert b"PRIVATE KEY" not in data
        assert not [each for each in secrets if each.splitlines()[1] in data]


def test_a_chain_file_with_a_key_in_it_makes_no_kit(tree: Tree, tmp_path: Path) -> None:
    host = tree.certs / "hosts" / "as2.example.com"
    (host / "chain.pem").write_bytes((host / "chain.pem").read_bytes() + (host / "key.pem").read_bytes())
    result = mtlsd("partner", "kit", "acme", "--config", tree.configuration, "--output", tmp_path / "kit.zip")
    assert (result.exit_code, "a private key" in result.stderr) == (1, True)
    assert not (tmp_path / "kit.zip").exists()


def test_the_sheet_has_what_is_typed_into_a_product(tree: Tree, tmp_path: Path) -> None:
    tree.add("acme", "ACME", acme(), 'mdn_urls = ["https://acme.example/mdn"]')
    sheet = (made(tree, tmp_path) / "SETTINGS.txt").read_text()
    digits = acme().certificate.sha256.upper()
    for words in (
        "https://as2.example.com:8443/as2",
        "our AS2 id           EXAMPLE",
        "your AS2 id          ACME",
        "https://as2.example.com:8443/.well-known/mtlsd/whoami",
        "https://as2.example.com:8443/.well-known/mtlsd/as2-selftest",
        "https://acme.example/mdn",
        "aes256-gcm",
        ":".join(digits[at : at + 2] for at in range(0, 64, 2)),
    ):
        assert words in sheet


def test_the_sheet_says_which_certificate_is_for_what_and_from_when(tree: Tree, tmp_path: Path) -> None:
    directory = tree.certs / "organizations" / "EXAMPLE"
    (directory / "next").mkdir()
    pki.self_signed("next", key=pki.rsa_key("next"), **LONG).write(directory / "next", "cert.pem", "key.pem")
    (directory / "organization.toml").write_text('[[pair]]\ndirectory = "next"\nactive_from = 2098-01-01\n')
    kit = made(tree, tmp_path)
    _, now, later = (kit / "SETTINGS.txt").read_text().split("our AS2 certificate  ", 2)
    assert now.startswith("as2/EXAMPLE-cert.pem")
    assert "signs our MDNs: now\n" in now
    assert "encrypt to this: now\n" in now
    assert later.startswith("as2/EXAMPLE-next-cert.pem")
    assert "signs our MDNs: from 2098-01-01 00:00 UTC, not yet" in later
    assert "as2/EXAMPLE-cert.pem" in (kit / "as2.example.com" / "message.sh").read_text()


def test_only_the_partners_hosts_are_there(tree: Tree, tmp_path: Path) -> None:
    tree.add("acme", "ACME", acme(), 'hosts = ["maybe.example.com"]')
    kit = made(tree, tmp_path)
    assert sorted(each.name for each in kit.iterdir()) == ["SETTINGS.txt", "as2", "maybe.example.com"]


def test_a_kit_is_not_overwritten_without_force(tree: Tree, tmp_path: Path) -> None:
    made(tree, tmp_path)
    command = ("partner", "kit", "acme", "--config", tree.configuration, "--output", tmp_path / "kit.zip")
    assert mtlsd(*command).exit_code == 1
    assert mtlsd(*command, "--force").exit_code == 0


def test_the_json_for_postman_is_json(tree: Tree, tmp_path: Path) -> None:
    found = json.loads((made(tree, tmp_path) / "as2.example.com" / "postman_collection.json").read_text())
    assert found["item"][0]["request"]["url"] == "https://as2.example.com:8443/.well-known/mtlsd/whoami"


HOSTILE = "A'$(touch hit)`touch hit`\\\""


def test_a_hostile_as2_id_runs_nothing(tree: Tree, tmp_path: Path) -> None:
    tree.add("acme", HOSTILE.replace("\\", "\\\\").replace('"', '\\"'), acme())
    host = made(tree, tmp_path) / "as2.example.com"
    acme().write(host, "your-certificate.pem", "your-key.pem")
    environment = os.environ | {"URL": "file:///dev/null", "PATH": standins.path(tmp_path, ["curl"])}
    subprocess.run(["sh", "message.sh"], cwd=host, env=environment, capture_output=True, check=False)
    assert (host / "message.p7m").exists()
    assert not list(tmp_path.rglob("hit"))


# --- The lines, as they stand, against a daemon -----------------------------------------------------------------------


@pytest.fixture
def kit(site: Site, tmp_path: Path) -> Path:
    address, port = site.daemon.address
    return made(site.tree, tmp_path, "--connect", f"{address}:{port}") / "as2.example.com"


WITH_CURL = pytest.mark.parametrize("replaced", standins.ways("curl"))
WITH_KEYTOOL = pytest.mark.parametrize("replaced", standins.ways("keytool"))


@WITH_CURL
def test_the_line_for_curl_connects_as_the_partner(
    site: Site, kit: Path, tmp_path: Path, replaced: tuple[str, ...]
) -> None:
    site.daemon.forget()
    files = {"CERT": site.folder / "tls.pem", "KEY": site.folder / "tls.key"}
    said = run(kit / "curl.sh", **files, PATH=standins.path(tmp_path, replaced))
    assert "HTTP/1.1 200 OK" in said
    assert site.daemon.wait_for("exchange_finished", path="/.well-known/mtlsd/whoami")["partner"] == "acme"


def test_the_line_for_openssl_completes_a_handshake_with_us_alone(site: Site, kit: Path) -> None:
    files = {"CERT": str(site.folder / "tls.pem"), "KEY": str(site.folder / "tls.key")}
    run(kit / "openssl.sh", **files)
    (kit / "chain.pem").write_bytes(pki.root("Somebody").pem)
    command = ["sh", str(kit / "openssl.sh")]
    assert subprocess.run(command, env=os.environ | files, capture_output=True, check=False).returncode == 1


@WITH_CURL
def test_the_lines_make_a_message_that_is_accepted(
    site: Site, kit: Path, tmp_path: Path, replaced: tuple[str, ...]
) -> None:
    files = {"CERT": site.folder / "tls.pem", "KEY": site.folder / "tls.key"}
    signer = {"SIGN_CERT": site.folder / "as2.pem", "SIGN_KEY": site.folder / "as2.key"}
    there = {"URL": "https://as2.example.com:8443/as2", "PATH": standins.path(tmp_path, replaced)}
    said = run(kit / "message.sh", **files, **signer, **there)
    assert "automatic-action/MDN-sent-automatically; processed" in said
    assert "Error" not in said


@WITH_KEYTOOL
def test_the_lines_for_java_make_a_trust_store(kit: Path, tmp_path: Path, replaced: tuple[str, ...]) -> None:
    run(kit / "keytool.sh", STOREPASS="changeit", PATH=standins.path(tmp_path, replaced))
    trusted = load_pkcs12((kit / "truststore.p12").read_bytes(), b"changeit").additional_certs
    chain = read_certificates((kit / "chain.pem").read_bytes())
    assert {each.certificate for each in trusted} == {each.x509 for each in chain}
