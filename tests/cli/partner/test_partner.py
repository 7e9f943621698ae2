"""`mtlsd partner add|show|disable|enable|remove`: whole or not at all, and the same again changes nothing."""

import json
import os
import shutil
import stat
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from mtlsd.partners.partner import load_partner
from mtlsd.pki.formats.reader import read_certificates
from tests.support import pki
from tests.support.client import Answer, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, globex, running
from tests.support.odd import EDI_PARTY, ORGANIZATION, PRINTABLE, Fields, alternative_names, ended, named, odd
from tests.support.pki import Issued
from tests.support.site import mtlsd, mtlsd_json


def asked(daemon: Daemon, issued: Issued) -> Answer:
    """What somebody with this certificate is told at a path that is not served."""
    with opened(daemon.address, issued) as client:
        return client.request(request("GET", "/nowhere"))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "site")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """What a new partner sent."""
    folder = tmp_path / "given"
    folder.mkdir()
    own = newco()
    (folder / "f.cer").write_bytes(own.certificate.der)
    (folder / "root.cer").write_bytes(own.issuers[0].pem)
    (folder / "bundle.pem").write_bytes(own.pem + own.issuers[0].pem)
    (folder / "self.pem").write_bytes(pki.self_signed("self", ca=True, **LONG).pem)
    (folder / "acme.pem").write_bytes(acme().pem)
    (folder / "key.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (folder / "text.pem").write_bytes(b"no certificate")
    return folder


@cache
def newco() -> Issued:
    return pki.leaf(pki.root("NEWCO Root", **LONG), "edi.newco.example", **LONG)


def add(tree: Tree, given: Path, *more: object, name: str = "NEWCO") -> Result:
    files = ("--cert", given / "f.cer", "--root", given / "root.cer")
    return mtlsd("partner", "add", name, "--config", tree.configuration, "--as2-id", "NEWCO", *files, *more)


def partner(tree: Tree, command: str, *more: object) -> Result:
    return mtlsd("partner", command, *more, "--config", tree.configuration)


def files(tree: Tree) -> dict[str, bytes]:
    top = tree.certs / "partners"
    return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}


# --- Adding -----------------------------------------------------------------------------------------------------------


def test_one_command_makes_a_partner(tree: Tree, given: Path) -> None:
    result = add(tree, given)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "NEWCO is added")
    loaded = load_partner(tree.certs / "partners" / "NEWCO")
    assert loaded.partner
    assert (loaded.problems, loaded.partner.as2_ids) == ((), ("NEWCO",))
    assert loaded.partner.public_certificates == loaded.partner.message_certificates == (newco().certificate,)
    assert [each.subject for each in loaded.partner.trusted_roots] == ["CN=NEWCO Root"]
    assert mtlsd("check", "--config", tree.configuration).exit_code == 0


def test_an_empty_directory_is_filled(tree: Tree, given: Path) -> None:
    (tree.certs / "partners" / "NEWCO").mkdir()
    assert add(tree, given).stdout.splitlines()[-1] == "NEWCO is added"


def test_a_running_daemon_serves_it(tree: Tree, given: Path) -> None:
    with running(tree) as daemon:
        assert add(tree, given).exit_code == 0
        daemon.wait_for("reloaded")
        assert asked(daemon, newco()).status == 404


def test_the_same_again_changes_nothing_and_says_so(tree: Tree, given: Path) -> None:
    add(tree, given)
    before = files(tree)
    inode = (tree.certs / "partners" / "NEWCO").stat().st_ino
    result = add(tree, given)
    assert (result.exit_code, "nothing to do" in result.stdout) == (0, True)
    assert (files(tree), (tree.certs / "partners" / "NEWCO").stat().st_ino) == (before, inode)


def test_the_same_by_other_files_is_the_same(tree: Tree, given: Path) -> None:
    add(tree, given)
    more = ("--config", tree.configuration, "--as2-id", "NEWCO", "--cert", given / "bundle.pem")
    result = mtlsd("partner", "add", "NEWCO", *more)
    assert (result.exit_code, "nothing to do" in result.stdout) == (0, True)


def test_another_content_is_refused_without_replace(tree: Tree, given: Path) -> None:
    add(tree, given)
    before = files(tree)
    result = add(tree, given, "--relax", "sha1")
    assert (result.exit_code, "--replace" in result.stderr, files(tree)) == (1, True, before)
    assert "+ relax: sha1" in result.stdout
    assert add(tree, given, "--relax", "sha1", "--replace").exit_code == 0
    loaded = load_partner(tree.certs / "partners" / "NEWCO")
    assert loaded.partner
    assert loaded.partner.relax == {"sha1"}
    assert not [each for each in (tree.certs / "partners").iterdir() if each.name.startswith(".")]


def test_a_dry_run_shows_the_difference_and_changes_nothing(tree: Tree, given: Path) -> None:
    before = files(tree)
    result = add(tree, given, "--dry-run")
    assert (result.exit_code, files(tree)) == (0, before)
    assert "+ as2_id: NEWCO" in result.stdout.splitlines()
    assert [line for line in result.stdout.splitlines() if line.startswith("+ roots: CN=NEWCO Root (")]
    assert result.stdout.splitlines()[-1] == "NEWCO would be added"
    add(tree, given)
    result = add(tree, given, "--dry-run", "--host", "as2.example.com")
    assert "- hosts: all\n+ hosts: as2.example.com\n" in result.stdout
    told = json.loads(add(tree, given, "--dry-run", "--json", "--host", "as2.example.com").stdout)
    assert (told["changed"], told["differences"]) == (False, ["- hosts: all", "+ hosts: as2.example.com"])


def test_every_setting_stands_in_the_file(tree: Tree, given: Path) -> None:
    more = (
        *("--as2-id", 'NEW "CO"', "--host", "as2.example.com", "--mdn-url", "https://newco.example/mdn"),
        *("--match-subject", "CN=edi.newco.example,O=NEWCO", "--match-san", "dns:edi.newco.example"),
        *("--require", "sign", "--relax", "sha1", "--as2-version", "1.2", "--async-ack", "202"),
        *("--tls-cert", given / "f.cer", "--as2-cert", given / "self.pem", "--mdn-cert", given / "self.pem"),
    )
    assert add(tree, given, *more).exit_code == 0
    folder = tree.certs / "partners" / "NEWCO"
    assert tomllib.loads((folder / "partner.toml").read_text()) == {
        "as2_id": ["NEWCO", 'NEW "CO"'],
        "hosts": ["as2.example.com"],
        "relax": ["sha1"],
        "mdn_urls": ["https://newco.example/mdn"],
        "require": ["sign"],
        "as2_version": "1.2",
        "async_ack": 202,
        "match": {"subject": "CN=edi.newco.example,O=NEWCO", "san": ["dns:edi.newco.example"]},
    }
    assert {each.name: len(list(each.iterdir())) for each in folder.iterdir() if each.is_dir()} == {
        "tls": 2,
        "as2": 1,
        "mdn": 1,
    }


def test_everybody_may_read_what_is_no_secret(tree: Tree, given: Path) -> None:
    before = os.umask(0o077)
    try:
        add(tree, given)
    finally:
        os.umask(before)
    found = tree.certs / "partners" / "NEWCO"
    assert {stat.S_IMODE(each.stat().st_mode) for each in found.rglob("*")} == {0o644, 0o755}


def keystore(password: str, *, key: bool) -> bytes:
    """NEWCO's certificates in PKCS#12, and its key."""
    own, root = newco(), newco().issuers[0].certificate.x509
    secret = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    if not key:
        return serialize_key_and_certificates(None, None, None, [own.certificate.x509, root], secret)
    return serialize_key_and_certificates(None, own.key, own.certificate.x509, [root], secret)


def add_file(tree: Tree, path: Path, *more: object) -> Result:
    return mtlsd("partner", "add", "NEWCO", "--config", tree.configuration, "--as2-id", "NEWCO", "--cert", path, *more)


@pytest.mark.parametrize("password", ["", "s\u00e9cret word"])
@pytest.mark.parametrize("way", ["option", "beside", "both"])
def test_a_keystore_is_opened_with_its_password(tree: Tree, given: Path, password: str, way: str) -> None:
    path = given / "newco.pfx"
    path.write_bytes(keystore(password, key=False))
    (given / "secret").write_text(f"{password}\r\n", encoding="utf-8")
    beside = password if way == "beside" else "wrong"
    if way != "option":
        (given / "newco.pfx.password").write_text(beside, encoding="utf-8")
    result = add_file(tree, path, *(() if way == "beside" else ("--password-file", given / "secret")))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "NEWCO is added")
    loaded = load_partner(tree.certs / "partners" / "NEWCO")
    assert loaded.public_certificates == (newco().certificate,)
    assert [each.subject for each in loaded.trusted_roots] == ["CN=NEWCO Root"]
    assert not list((tree.certs / "partners" / "NEWCO").rglob("*.password"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "put the password into a file beside it, with the same name followed by .password"),
        (("--password-file", "wrong"), "the password is wrong, or the file is damaged"),
        (("--password-file", "none"), "none: cannot be read: No such file"),
        (("--password-file", "latin-1"), "latin-1: the password in its .password file is not UTF-8"),
    ],
)
def test_a_keystore_without_its_password_is_refused(
    tree: Tree, given: Path, arguments: tuple[str, ...], said: str
) -> None:
    (given / "newco.pfx").write_bytes(keystore("secret", key=False))
    (given / "wrong").write_text("other")
    (given / "latin-1").write_bytes(b"\xff\xe9\n")
    result = add_file(tree, given / "newco.pfx", *(given / each if at else each for at, each in enumerate(arguments)))
    assert (result.exit_code, said in result.stderr) == (1, True)
    assert not (tree.certs / "partners" / "NEWCO").exists()


@pytest.mark.parametrize("name", ["newco.pfx", "newco.zip", "newco.pem"])
def test_for_a_file_with_a_key_there_is_a_way_out(tree: Tree, given: Path, name: str) -> None:
    path, secret = given / name, given / "secret"
    secret.write_text("secret")
    path.write_bytes(keystore("secret", key=True))
    if name.endswith(".pem"):
        path.write_bytes(newco().pem.rstrip() + newco().key_pem)
    if name.endswith(".zip"):
        with ZipFile(path, "w") as archive:
            archive.writestr("newco.pfx", keystore("secret", key=True))
    result = add_file(tree, path, "--password-file", secret)
    assert result.exit_code == 1
    assert "a private key: remove the file and rotate the key" in result.stderr
    assert "`mtlsd cert convert FILE OUT.crt` writes the certificates without the key" in result.stderr
    converted = mtlsd("cert", "convert", path, given / "out.crt", "--password-file", secret)
    assert (converted.exit_code, converted.output) == (0, "")
    assert add_file(tree, given / "out.crt").exit_code == 0


def test_a_key_alone_has_no_way_out(tree: Tree, given: Path) -> None:
    assert "mtlsd cert convert" not in add_file(tree, given / "key.pem").stderr


@pytest.mark.parametrize("change", [alternative_names(EDI_PARTY), named((ORGANIZATION, PRINTABLE, b"A & B"))])
def test_an_irregular_certificate_is_written_as_it_is(
    tree: Tree, given: Path, change: Callable[[Fields], None]
) -> None:
    der = odd(change, ended(b"20990101000000Z"))
    (given / "odd.cer").write_bytes(der)
    assert add_file(tree, given / "odd.cer").exit_code == 0
    [written] = (tree.certs / "partners" / "NEWCO").glob("*.pem")
    assert read_certificates(written.read_bytes())[0].der == der


REFUSALS = {
    "a certificate of another partner": (("--tls-cert", "acme.pem"), "is claimed by NEWCO and acme"),
    "an AS2 id of another partner": (("--as2-id", "ACME"), '"ACME" is claimed by NEWCO and acme'),
    "a private key": (("--cert", "key.pem"), "a private key: remove the file"),
    "no certificate": (("--cert", "text.pem"), "neither PEM nor DER"),
    "a file that is not there": (("--cert", "none.pem"), "cannot be read"),
    "a root that is no CA": (("--root", "f.cer"), "is not a CA"),
    "a host that is none of ours": (
        ("--host", "other.example"),
        "is not a virtual host; the virtual hosts are as2.example.com",
    ),
    "an unknown relaxation": (("--relax", "everything"), "relax: found"),
    "a subject that is none": (("--match-subject", "edi"), "match.subject: found"),
}


@pytest.mark.parametrize(("more", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    tree: Tree, given: Path, more: tuple[str, str], said: str
) -> None:
    before = sorted(tree.certs.rglob("*"))
    option, value = more
    result = add(tree, given, option, given / value if value.endswith((".pem", ".cer")) else value)
    assert result.exit_code == 1
    assert said in result.stderr
    assert sorted(tree.certs.rglob("*")) == before


@pytest.mark.parametrize("name", ["../acme", "a/b", ".hidden", "", " a", "a~", "notes.md", "ä"])
def test_a_name_that_is_no_directory_of_its_own_is_wrong_usage(tree: Tree, given: Path, name: str) -> None:
    assert add(tree, given, name=name).exit_code == 2


def test_what_is_a_link_is_left_to_who_made_it(tree: Tree, given: Path) -> None:
    (tree.certs / "partners" / "NEWCO").symlink_to(given)
    assert "is a symbolic link" in add(tree, given, "--replace").stderr


def test_a_test_ca_is_refused_in_production(tree: Tree, given: Path, tmp_path: Path) -> None:
    mtlsd("ca", "init", tmp_path / "ca", "--key", "ec")
    tree.server = "production = true"
    tree.configure()
    result = add(tree, given, "--root", tmp_path / "ca" / "ca.pem")
    assert (result.exit_code, "is from a test CA" in result.stderr) == (1, True)


def test_a_partner_is_not_added_that_would_take_the_certificate_of_another(tree: Tree, given: Path) -> None:
    words = "first: nobody can connect with CN=self: it is also a root of second"
    for name, code in (("first", 0), ("second", 1)):
        more = ("--config", tree.configuration, "--as2-id", name, "--cert", given / "self.pem")
        result = mtlsd("partner", "add", name, *more)
        assert result.exit_code == code
    assert words in result.stderr
    assert not (tree.certs / "partners" / "second").exists()
    shutil.copytree(tree.certs / "partners" / "first", tree.certs / "partners" / "second")
    assert words in mtlsd("check", "--config", tree.configuration).stdout
    listed = mtlsd_json("partner", "list", "--config", tree.configuration)
    assert "it is also a root of second" in next(each for each in listed if each["name"] == "first")["mistakes"][-1]


MORE = """
disabled = true

[revocation]
crl = "hard"

[[certificate]]
sha256 = "{sha256}"
retire_after = 2098-01-01

[retention]
days = 7
"""


def test_what_has_no_option_is_kept_and_shown(tree: Tree, given: Path) -> None:
    add(tree, given)
    directory = tree.certs / "partners" / "NEWCO"
    with (directory / "partner.toml").open("a") as file:
        file.write(MORE.format(sha256=newco().certificate.sha256))
    (directory / "own.crl").write_bytes(pki.crl(pki.root("CRL")))
    before = load_partner(directory).held
    assert "nothing to do" in add(tree, given).stdout
    result = add(tree, given, "--relax", "sha1", "--replace")
    assert (result.exit_code, [each for each in result.stdout.splitlines() if each[0] in "+-"]) == (
        0,
        ["+ relax: sha1"],
    )
    assert before
    assert load_partner(directory).held == replace(before, relax=frozenset({"sha1"}))
    shown = partner(tree, "show", "NEWCO").stdout
    for words in ('crl = "hard"', "retire_after 2098-01-01", "CN=CRL ("):
        assert words in shown


def test_what_cannot_be_kept_is_not_replaced(tree: Tree, given: Path) -> None:
    add(tree, given)
    path = tree.certs / "partners" / "NEWCO" / "partner.toml"
    path.write_text('as2_ids = "x"\n[revocation]\ncrl = "hard"\n')
    assert "revocation would be lost" in add(tree, given, "--replace").stderr


def test_a_root_may_be_given_to_two_partners(tree: Tree, given: Path) -> None:
    add(tree, given)
    more = ("--config", tree.configuration, "--as2-id", "x", "--root", given / "root.cer", "--match-subject", "CN=x")
    assert mtlsd("partner", "add", "second", *more).exit_code == 0


# --- Showing ----------------------------------------------------------------------------------------------------------


def test_everything_is_shown(tree: Tree, given: Path) -> None:
    add(tree, given, "--mdn-cert", given / "self.pem", "--relax", "sha1")
    shown = partner(tree, "show", "NEWCO").stdout
    certificate = newco().certificate
    for words in (certificate.sha256, f"{certificate.serial:x}", "connections, messages: CN=edi.newco.example", "sha1"):
        assert words in shown
    assert "MDN servers: CN=self" in shown
    assert "days left" in shown
    found = mtlsd_json("partner", "show", "NEWCO", "--config", tree.configuration)
    assert (found["state"], found["as2_ids"], found["warnings"]) == ("in use", ["NEWCO"], [])
    assert {each["use"] for each in found["certificates"]} == {"connections, messages", "root", "MDN servers"}


def test_warnings_are_shown(tree: Tree, given: Path) -> None:
    command = ("--config", tree.configuration, "--as2-id", "N", "--tls-cert", given / "f.cer")
    assert "warning: " in mtlsd("partner", "add", "NEWCO", *command).stdout
    assert "pinned without a root" in partner(tree, "show", "NEWCO").stdout


@pytest.mark.parametrize("command", ["show", "disable", "enable", "remove"])
def test_who_is_not_there_is_said_with_who_is_nearest(tree: Tree, command: str) -> None:
    result = partner(tree, command, "acmee")
    assert (result.exit_code, "there is acme" in result.stderr) == (1, True)


@pytest.mark.parametrize("name", ["..", "../partners/acme", ".", "a/../acme"])
def test_a_name_never_leads_elsewhere(tree: Tree, name: str) -> None:
    assert partner(tree, "remove", name, "--yes").exit_code == 1
    assert (tree.certs / "partners" / "acme").is_dir()


# --- Disabling --------------------------------------------------------------------------------------------------------


def test_a_partner_is_disabled_and_enabled_again(tree: Tree) -> None:
    path = tree.certs / "partners" / "acme" / "partner.toml"
    path.write_text('# ours\nas2_id = "ACME"\n[match]\nsubject = "CN=a"\n')
    before = path.read_bytes()
    assert partner(tree, "disable", "acme").stdout == "acme is disabled\n"
    assert partner(tree, "disable", "acme").stdout == "acme is disabled already\n"
    assert tomllib.loads(path.read_text())["disabled"] is True
    shown = partner(tree, "show", "acme").stdout
    assert "disabled: disabled = true in partner.toml" in shown
    assert "AS2 ids      ACME" in shown
    assert partner(tree, "enable", "acme").stdout == "acme is in use\n"
    assert path.read_bytes() == before


def test_the_daemon_refuses_a_disabled_partner_by_name(tree: Tree) -> None:
    with running(tree) as daemon:
        partner(tree, "disable", "globex")
        daemon.wait_for("reloaded", removed=["globex"])
        assert asked(daemon, globex()).reason == "partner_disabled"


@pytest.mark.parametrize("text", ['"disabled" = false\nas2_id = "A"\n', "no toml", 'as2_id = """\ndisabled = 1\n"""\n'])
def test_a_file_that_cannot_be_changed_safely_is_left_alone(tree: Tree, text: str) -> None:
    path = tree.certs / "partners" / "acme" / "partner.toml"
    path.write_text(text)
    result = partner(tree, "disable", "acme")
    assert result.exit_code == 1 or tomllib.loads(path.read_text()) == tomllib.loads(text) | {"disabled": True}
    assert result.exit_code == 0 or path.read_text() == text


# --- Removing ---------------------------------------------------------------------------------------------------------


def test_removing_shows_what_goes_and_asks(tree: Tree) -> None:
    result = partner(tree, "remove", "acme")
    assert result.exit_code == 1
    assert "CN=edi.acme.example" in result.stdout
    assert (tree.certs / "partners" / "acme").is_dir()


def test_what_is_removed_is_gone(tree: Tree) -> None:
    assert partner(tree, "remove", "acme", "--yes").exit_code == 0
    assert [each.name for each in (tree.certs / "partners").iterdir()] == ["globex"]


def test_a_link_is_left_to_who_made_it(tree: Tree, tmp_path: Path) -> None:
    (tree.certs / "partners" / "linked").symlink_to(tree.certs / "partners" / "acme")
    result = partner(tree, "remove", "linked", "--yes")
    assert (result.exit_code, (tree.certs / "partners" / "acme").is_dir()) == (1, True)
