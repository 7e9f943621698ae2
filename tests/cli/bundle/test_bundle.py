"""`mtlsd export` and `mtlsd import`: the same partners on another machine, and an entry about each."""

import json
import stat
import subprocess
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from mtlsd.as2.cms.password_recipient import seal_with
from mtlsd.journal.location import Place, open_journal
from mtlsd.partners.edit.bundle import Bundle, pack
from tests.support import pki
from tests.support.client import Answer, opened, request
from tests.support.daemon import LONG, Daemon, Tree, acme, globex, running
from tests.support.pki import NOW, Issued
from tests.support.site import mtlsd

PASSPHRASE = "open sesame, please"


@pytest.fixture
def here(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Tree:
    """Another machine: with keys of its own, and no partners."""
    tree = Tree(tmp_path / "there")
    for name in ("acme", "globex"):
        assert mtlsd("partner", "remove", name, "--yes", "--config", tree.configuration).exit_code == 0
    host = {"eku": (pki.SERVER,), "san": ("dns:as2.example.com",), "key": pki.rsa_key("there"), **LONG}
    pki.issue("as2.example.com", **host).write(tree.certs / "hosts" / "as2.example.com")
    return tree


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    path.write_text(PASSPHRASE)
    return path


def export(tree: Tree, secret: Path, *more: object) -> Path:
    bundle = tree.root / "bundle"
    result = mtlsd("export", bundle, "--config", tree.configuration, "--passphrase-file", secret, "--force", *more)
    assert result.exit_code == 0, result.output
    return bundle


def import_(tree: Tree, bundle: Path, secret: Path, *more: object) -> Result:
    return mtlsd("import", bundle, "--config", tree.configuration, "--passphrase-file", secret, *more)


def files(tree: Tree, below: str = "") -> dict[str, bytes]:
    top = tree.certs / below
    return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}


def modes(tree: Tree) -> dict[Path, int]:
    return {each: stat.S_IMODE(each.stat().st_mode) for each in tree.certs.rglob("*") if each.is_file()}


def entries(tree: Tree, kind: str) -> list[dict[str, Any]]:
    journal = open_journal(Place("sqlite", tree.state), read_only=True)
    try:
        found = [each for node in journal.proof.nodes() for each in journal.proof.entries(node, 0, 100)]
    finally:
        journal.close()
    return [json.loads(each.facts) for each in found if each.kind == kind]


def asked(daemon: Daemon, issued: Issued) -> Answer:
    with opened(daemon.address, issued) as client:
        return client.request(request("GET", "/nowhere"))


# --- From one to the other --------------------------------------------------------------------------------------------


def test_a_second_daemon_serves_the_same_partners(here: Tree, there: Tree, secret: Path) -> None:
    with running(here) as first, running(there) as second:
        assert [asked(first, each).status for each in (acme(), globex())] == [404, 404]
        assert [asked(second, each).status for each in (acme(), globex())] == [400, 400]
        bundle = export(here, secret, "--include-private-keys")
        assert import_(there, bundle, secret, "--yes").exit_code == 0
        second.wait_for("reloaded")
        assert [asked(second, each).status for each in (acme(), globex())] == [404, 404]
    assert files(there) == files(here)
    assert mtlsd("journal", "verify", "--config", there.configuration).exit_code == 0


def test_without_private_keys_those_that_are_there_stay(here: Tree, there: Tree, secret: Path) -> None:
    before = files(there, "hosts/as2.example.com")
    result = import_(there, export(here, secret), secret, "--yes")
    assert result.exit_code == 0, result.output
    assert "hosts/as2.example.com stays unchanged" in result.stdout
    assert files(there, "hosts/as2.example.com") == before
    assert files(there, "partners") == files(here, "partners")
    assert mtlsd("check", "--config", there.configuration).exit_code == 0


def test_a_bundle_whose_key_is_not_its_certificates_is_refused(here: Tree, there: Tree, secret: Path) -> None:
    hosts = here.certs / "hosts"
    (hosts / "as2.example.com" / "key.pem").write_bytes((hosts / "drop.example.com" / "key.pem").read_bytes())
    before = files(there)
    result = import_(there, export(here, secret, "--include-private-keys"), secret, "--yes")
    assert (result.exit_code, "does not belong to" in result.stderr, files(there)) == (1, True, before)


def test_the_same_again_changes_nothing(here: Tree, there: Tree, secret: Path) -> None:
    bundle = export(here, secret, "--include-private-keys")
    import_(there, bundle, secret, "--yes")
    before, made = files(there), len(entries(there, "imported"))
    result = import_(there, bundle, secret)
    assert (result.exit_code, "nothing to do" in result.stdout) == (0, True)
    assert (files(there), len(entries(there, "imported"))) == (before, made)


def test_the_difference_is_shown_first(here: Tree, there: Tree, secret: Path) -> None:
    bundle = export(here, secret, "--include-private-keys")
    before = files(there)
    for result, code in ((import_(there, bundle, secret, "--dry-run"), 0), (import_(there, bundle, secret), 1)):
        assert result.exit_code == code
        assert "+ partners/acme/tls/client.pem: CN=edi.acme.example until 2099-01-01" in result.stdout
        assert "~ hosts/as2.example.com/key.pem\n" in result.stdout
    assert files(there) == before
    assert not (there.state / "journal.sqlite").exists()


def test_what_went_from_a_partner_goes_there_too(here: Tree, there: Tree, secret: Path) -> None:
    import_(there, export(here, secret, "--include-private-keys"), secret, "--yes")
    (here.certs / "partners" / "acme" / "as2" / "as2.cer").unlink()
    result = import_(there, export(here, secret), secret, "--yes")
    assert "- partners/acme/as2/as2.cer: CN=ACME" in result.stdout
    assert files(there) == files(here)


def test_keys_are_their_owners_alone_and_what_is_new_is_for_all(here: Tree, there: Tree, secret: Path) -> None:
    before = modes(there)
    import_(there, export(here, secret, "--include-private-keys"), secret, "--yes")
    for path, mode in modes(there).items():
        assert mode == (0o600 if path.name == "key.pem" else before.get(path, 0o644))


DEEP = ("hosts/as2.example.com/client/next", "hosts/as2.example.com/a/b/c/d")


def test_keys_in_deeper_directories_are_neither_lost_nor_left_behind(here: Tree, there: Tree, secret: Path) -> None:
    own = pki.self_signed("deep", key=pki.rsa_key("deep"), **LONG)
    for tree, place in ((here, DEEP[0]), (there, DEEP[1])):
        (tree.certs / place).mkdir(parents=True)
        own.write(tree.certs / place, "chain.pem", "key.pem")
    client = pki.self_signed("client", key=pki.rsa_key("client"), **LONG)
    client.write(here.certs / "hosts" / "as2.example.com" / "client", "chain.pem", "key.pem")
    (there.certs / "hosts" / "as2.example.com" / ".note").write_text("ours")
    before = files(there, DEEP[1])
    result = import_(there, export(here, secret, "--include-private-keys"), secret, "--yes")
    assert result.exit_code == 0, result.output
    assert files(there, DEEP[0]) == files(here, DEEP[0])
    assert files(there, DEEP[1]) == before
    assert (there.certs / "hosts" / "as2.example.com" / ".note").read_text() == "ours"


def test_a_key_that_the_bundle_does_not_replace_is_not_removed(here: Tree, there: Tree, secret: Path) -> None:
    key = there.certs / "hosts" / "as2.example.com" / "next" / "key.pem"
    key.parent.mkdir()
    pki.self_signed("next", key=pki.rsa_key("next"), **LONG).write(key.parent, "chain.pem", "key.pem")
    before = files(there)
    result = import_(there, export(here, secret, "--include-private-keys"), secret, "--yes")
    assert (result.exit_code, f"{key} is or may hold" in result.stderr, files(there)) == (1, True, before)


def test_what_is_there_keeps_its_mode(here: Tree, there: Tree, secret: Path) -> None:
    key = next(there.certs.glob("organizations/*/key.pem"))
    key.chmod(0o640)
    (next(here.certs.glob("organizations/*")) / "organization.toml").write_text('as2_id = "other"\n')
    result = import_(there, export(here, secret), secret, "--yes")
    assert "organization.toml" in result.stdout
    assert stat.S_IMODE(key.stat().st_mode) == 0o640


def test_a_partner_that_claims_what_another_has_is_refused(here: Tree, there: Tree, secret: Path) -> None:
    there.add("other", "ACME", globex())
    before = files(there)
    result = import_(there, export(here, secret, "--include-private-keys"), secret, "--yes")
    assert (result.exit_code, '"ACME" is claimed by' in result.stderr) == (1, True)
    assert files(there) == before


# --- What is in it ----------------------------------------------------------------------------------------------------


def test_the_recipient_may_be_a_keystore_with_its_password_beside_it(here: Tree, tmp_path: Path) -> None:
    own = pki.self_signed("recipient", key=pki.rsa_key("recipient"), **LONG).certificate.x509
    protection = BestAvailableEncryption(b"secret")
    (tmp_path / "to.pfx").write_bytes(serialize_key_and_certificates(None, None, None, [own], protection))
    command = ("export", tmp_path / "bundle", "--config", here.configuration, "--to", tmp_path / "to.pfx")
    assert "put the password into a file beside it" in mtlsd(*command).stderr
    (tmp_path / "to.pfx.password").write_text("secret\n")
    assert mtlsd(*command).exit_code == 0


def test_private_keys_leave_only_when_that_is_said(here: Tree, secret: Path, tmp_path: Path) -> None:
    own = pki.self_signed("recipient", key=pki.rsa_key("recipient"), **LONG)
    own.write(tmp_path, "to.pem", "to.key")
    result = mtlsd("export", tmp_path / "bundle", "--config", here.configuration, "--to", tmp_path / "to.pem")
    assert result.exit_code == 0, result.output
    assert "left out: hosts/as2.example.com/key.pem" in result.stdout
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(tmp_path / "bundle")]
    command += ["-recip", str(tmp_path / "to.pem"), "-inkey", str(tmp_path / "to.key")]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with zipfile.ZipFile(BytesIO(archive)) as opened_archive:
        for name in opened_archive.namelist():
            assert b"PRIVATE KEY" not in opened_archive.read(name)
    more = ("--config", here.configuration, "--cert", tmp_path / "to.pem", "--key", tmp_path / "to.key")
    assert "nothing to do" in mtlsd("import", tmp_path / "bundle", *more).stdout


def test_a_bundle_is_its_owners_alone_and_not_overwritten(here: Tree, secret: Path) -> None:
    bundle = export(here, secret)
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    result = mtlsd("export", bundle, "--config", here.configuration, "--passphrase-file", secret)
    assert (result.exit_code, "--force" in result.stderr) == (1, True)


@pytest.mark.parametrize("data", [b"", b"nothing", seal_with(b"no archive", PASSPHRASE.encode(), 1)])
def test_what_is_no_bundle_changes_nothing(there: Tree, secret: Path, tmp_path: Path, data: bytes) -> None:
    before = files(there)
    (tmp_path / "bundle").write_bytes(data)
    assert import_(there, tmp_path / "bundle", secret, "--yes").exit_code == 1
    assert files(there) == before


def test_another_passphrase_opens_nothing(here: Tree, there: Tree, secret: Path) -> None:
    bundle = export(here, secret)
    secret.write_text("another")
    result = import_(there, bundle, secret)
    assert (result.exit_code, "wrong key or passphrase" in result.stderr) == (1, True)


def test_a_short_passphrase_seals_nothing(here: Tree, secret: Path) -> None:
    secret.write_text("open sesame")
    result = mtlsd("export", here.root / "b", "--config", here.configuration, "--passphrase-file", secret)
    assert (result.exit_code, "12 characters" in result.stderr, (here.root / "b").exists()) == (1, True, False)


def test_another_bundle_than_the_one_that_was_named_is_refused(here: Tree, there: Tree, secret: Path) -> None:
    bundle = export(here, secret)
    digest = sha256(bundle.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in import_(there, bundle, secret, "--dry-run", "--sha256", digest.upper()).stdout
    result = import_(there, bundle, secret, "--yes", "--sha256", "0" * 64)
    assert (result.exit_code, "is not the expected bundle" in result.stderr) == (1, True)
    assert not (there.certs / "partners" / "acme").exists()


def test_what_a_partner_need_not_do_any_longer_is_shown(here: Tree, there: Tree, secret: Path) -> None:
    import_(there, export(here, secret), secret, "--yes")
    path = here.certs / "partners" / "acme" / "partner.toml"
    path.write_text(f"require = []\n{path.read_text()}")
    lines = import_(there, export(here, secret), secret, "--dry-run").stdout.splitlines()
    assert {"    - require: sign", "    + require: nothing"} <= set(lines)


def test_keys_that_must_be_brought_are_named(here: Tree, there: Tree, secret: Path) -> None:
    key = there.certs / "hosts" / "as2.example.com" / "key.pem"
    key.unlink()
    assert f"copy by hand: {key}," in import_(there, export(here, secret), secret, "--dry-run").stdout


def test_a_directory_that_is_a_link_is_left_alone(there: Tree, secret: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (there.certs / "partners" / "linked").symlink_to(elsewhere)
    packed = pack(Bundle({"partners/linked": {"a.toml": b""}}, private_keys=False), NOW)
    (tmp_path / "bundle").write_bytes(seal_with(packed, PASSPHRASE.encode(), 1))
    result = import_(there, tmp_path / "bundle", secret, "--yes")
    assert (result.exit_code, list(elsewhere.iterdir())) == (1, [])


# --- The entries ------------------------------------------------------------------------------------------------------


def test_each_export_and_import_leaves_an_entry(here: Tree, there: Tree, secret: Path) -> None:
    bundle = export(here, secret, "--include-private-keys")
    import_(there, bundle, secret, "--yes")
    (out,), (back,) = entries(here, "exported"), entries(there, "imported")
    assert (out["to"], out["private_keys"], out["count"]) == ("a passphrase", True, 6)
    assert {"by", "uid", "manifest"} <= set(out) & set(back)
    assert (out["bundle"], out["units"]) == (back["bundle"], back["units"])
    assert back["changed"] == 5  # the organization has the same keys
    for tree in (here, there):
        assert mtlsd("journal", "verify", "--no-documents", "--config", tree.configuration).exit_code == 0


def test_without_an_entry_nothing_is_exported(here: Tree, secret: Path) -> None:
    here.state.mkdir()
    (here.state / "journal.sqlite").write_bytes(b"no database")
    result = mtlsd("export", here.root / "b", "--config", here.configuration, "--passphrase-file", secret)
    assert (result.exit_code, (here.root / "b").exists()) == (1, False)
