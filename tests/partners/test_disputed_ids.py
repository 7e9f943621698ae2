"""An AS2 id that two partners claim is nobody's, and the log says so instead of leaving the operators to guess."""

from pathlib import Path

from mtlsd.partners.registry import load_partners
from tests.support import pki


def test_the_log_names_those_who_claim_it(tmp_path: Path) -> None:
    for name in ("acme", "beta"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "partner.toml").write_text('as2_id = ["SHARED", "OWN-' + name + '"]\n')
        (tmp_path / name / "a.pem").write_bytes(pki.self_signed(name).pem)
    store = load_partners(tmp_path)[0]
    assert store.dispute("SHARED") == ": acme and beta claim this id; remove it from all but one of them"
    assert store.dispute("OWN-acme") == ""
    assert store.dispute("NOBODY") == ""
