"""`mtlsd journal show --mic`, on a message that a real daemon received."""

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest

from mtlsd.partners.partner_toml import MICProfile
from tests.support.daemon import Tree, globex, running
from tests.support.messages import EDI, build, entity
from tests.support.partner import disposition, layered, message, send
from tests.support.site import mtlsd, mtlsd_json

ID = "<mic@acme.example>"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("mic"))
    with running(tree) as daemon:
        sent = message(ID, layered("csE"))
        assert disposition(send(daemon, sent), sent) == "processed"
    return tree


def explain(tree: Tree, value: bytes, algorithm: str) -> str:
    mic = b64encode(hashlib.new(algorithm, value).digest()).decode()
    result = mtlsd("journal", "show", ID, "--mic", f"{mic}, {algorithm}", "--config", tree.configuration)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_says_what_a_partner_hashed(tree: Tree) -> None:
    assert "the sha1 of: decrypted, signed part, decompressed, without header, raw" in explain(tree, EDI, "sha1")
    assert "the sha256 of: decrypted, signed part, decompressed, with header, raw" in explain(tree, build(""), "sha256")
    assert "the partner hashed other bytes" in explain(tree, b"something else", "sha256")


def test_it_lists_all_and_marks_ours(tree: Tree) -> None:
    result = mtlsd("journal", "show", ID, "--mic", "--config", tree.configuration)
    marked = [line for line in result.stdout.splitlines() if line.rstrip().endswith("ours")]
    assert len(marked) == 1
    assert "decrypted, signed part, with header" in marked[0]
    listed = mtlsd_json("journal", "show", ID, "--mic", "--config", tree.configuration)
    assert {each["algorithm"] for each in listed} == {"sha1", "sha256", "sha384", "sha512"}


def test_it_names_the_profile_of_a_message_that_is_not_signed(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.add("loose", "LOOSE", globex(), "require = []")
    (tree.certs / "partners" / "globex" / "tls" / "client.pem").unlink()
    with running(tree) as daemon:
        sent = message(ID, layered("c"), as2_from="LOOSE")
        assert disposition(send(daemon, sent, globex()), sent) == "processed"
    openas2, mendelson = explain(tree, EDI, "sha256"), explain(tree, EDI, "sha1")
    assert 'it would be our MIC with mic_profile = "openas2" in the partner\'s partner.toml' in openas2
    assert 'it would be our MIC with mic_profile = "openas2" or mic_profile = "mendelson" in' in mendelson
    ours = explain(tree, entity(EDI, Content_Disposition='attachment; filename="order.edi"'), "sha256")
    assert "mic_profile" not in ours
    listed = mtlsd_json("journal", "show", ID, "--mic", "--config", tree.configuration)
    assert {profile for each in listed for profile in each["profiles"]} == set(MICProfile)


def test_a_partner_who_is_gone_is_said(tree: Tree, tmp_path: Path) -> None:
    (tree.certs / "partners" / "acme").rename(tmp_path / "acme")
    result = mtlsd("journal", "show", ID, "--mic", "--config", tree.configuration)
    (tmp_path / "acme").rename(tree.certs / "partners" / "acme")
    assert result.exit_code == 1
    assert "the partner acme is not in use" in result.stderr
