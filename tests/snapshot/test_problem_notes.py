"""What is set aside has a note in the state directory, which goes when the file is mended."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import Problem
from mtlsd.snapshot.problem_notes import notes, safe_name, write_notes
from tests.support.daemon import Tree, running

PARTNERS = Path("/certs/partners")


def kept(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_each_file_with_a_problem_has_one_note() -> None:
    problems = (
        Problem(PARTNERS / "acme" / "a.pem", "an HTML page"),
        Problem(PARTNERS / "acme" / "a.pem", "and something else"),
        Problem(PARTNERS / "acme" / "tls" / "b.pfx", "an archive with \x1b[2J in it"),
        Problem(PARTNERS / "acme", "no certificate: the partner is disabled"),
        Problem(PARTNERS, "cannot be read"),
        Problem(PARTNERS / "beta" / "partner.toml", "unknown key", 3, "colour"),
    )
    found = notes(PARTNERS, problems)
    assert {str(each) for each in found} == {"acme/a.pem.why", "acme/tls/b.pfx.why", "beta/partner.toml.why"}
    text = found[Path("acme/a.pem.why")]
    assert text.startswith("/certs/partners/acme/a.pem: an HTML page\n/certs/partners/acme/a.pem: and something else\n")
    assert "reads it again as soon as it changes" in text
    assert "\x1b" not in found[Path("acme/tls/b.pfx.why")]
    assert "partner.toml:3: colour: unknown key" in found[Path("beta/partner.toml.why")]


def test_notes_come_and_go_and_nothing_else_does(tmp_path: Path) -> None:
    write_notes(tmp_path / "trust", {Path("acme/tls/a.why"): "one\n", Path("acme/b.why"): "two\n"})
    (tmp_path / "trust" / "acme" / "other").write_text("theirs")
    write_notes(tmp_path / "trust", {Path("acme/b.why"): "three\n"})
    assert kept(tmp_path / "trust") == {"acme/b.why": "three\n", "acme/other": "theirs"}
    assert not (tmp_path / "trust" / "acme" / "tls").exists()
    before = (tmp_path / "trust" / "acme" / "b.why").stat().st_ino
    write_notes(tmp_path / "trust", {Path("acme/b.why"): "three\n"})
    assert (tmp_path / "trust" / "acme" / "b.why").stat().st_ino == before


def test_without_a_note_nothing_is_made(tmp_path: Path) -> None:
    write_notes(tmp_path / "trust", {})
    assert not (tmp_path / "trust").exists()


@pytest.mark.parametrize("name", ["..", ".", "...", ".hidden", "a\nb", "ü", "a" * 255, "\udcff", "a%b"])
def test_a_name_leads_nowhere(name: str) -> None:
    safe = safe_name(name)
    assert safe.isascii()
    assert safe.isprintable()
    assert not safe.startswith(".")
    assert len(safe) <= 200


@given(st.text(), st.text())
def test_two_names_never_give_the_same(one: str, other: str) -> None:
    if all(each < "\ud800" or each > "\udfff" for each in one + other):
        assert (safe_name(one) == safe_name(other)) == (one == other)


def test_a_daemon_writes_and_removes_the_notes(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    bad = tree.certs / "partners" / "acme" / "bad.pem"
    bad.write_bytes(b"<html>")
    note = tree.state / "trust" / "acme" / "bad.pem.why"
    before = sorted(tree.certs.rglob("*"))
    with running(tree) as daemon:
        assert "bad.pem: an HTML page, not a certificate: download the file itself" in note.read_text()
        assert sorted(tree.certs.rglob("*")) == before
        bad.unlink()
        while note.exists():
            daemon.wait_for("reloaded")


def test_notes_that_cannot_be_written_fail_no_reload(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.state.mkdir(exist_ok=True)
    (tree.state / "trust").write_text("in the way")
    (tree.certs / "partners" / "acme" / "bad.pem").write_bytes(b"<html>")
    with running(tree) as daemon:
        daemon.wait_for("notes_not_written")
        (tree.certs / "partners" / "acme" / "worse.pem").write_bytes(b"")
        daemon.wait_for("reloaded")
