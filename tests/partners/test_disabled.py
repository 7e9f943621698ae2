"""A partner that an operator disabled: refused by name, and nobody else gets what it has."""

from pathlib import Path

import pytest

from mtlsd.errors import PartnerDisabled
from mtlsd.partners.matching import claim, match
from mtlsd.partners.partner import load_partner
from mtlsd.partners.registry import load_partners
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.certificate import PeerVerified, Presented
from tests.support import pki
from tests.support.pki import NOW, Issued


def partner(folder: Path, name: str, settings: str, *certificates: Issued) -> None:
    (folder / name).mkdir()
    (folder / name / "partner.toml").write_text(settings)
    for at, each in enumerate(certificates):
        (folder / name / f"{at}.pem").write_bytes(each.pem)


def loaded(folder: Path) -> TrustStore:
    store, problems, _ = load_partners(folder, NOW)
    assert problems == ()
    return store


def refused(certificate: Issued, store: TrustStore) -> None:
    presented = Presented(certificate.certificate, certificate.chain)
    with pytest.raises(PartnerDisabled):
        match(PeerVerified(presented, NOW), claim(presented, store), store, "as2.example.com")


def test_its_certificate_is_refused_by_name(tmp_path: Path) -> None:
    own = pki.self_signed("own")
    partner(tmp_path, "acme", 'as2_id = "ACME"\ndisabled = true\n', own)
    store = loaded(tmp_path)
    assert store.disabled == {"acme"}
    refused(own, store)


def test_its_as2_id_stays_its_own(tmp_path: Path) -> None:
    partner(tmp_path, "acme", 'as2_id = "ACME"\ndisabled = true\n', pki.self_signed("own"))
    partner(tmp_path, "other", 'as2_id = "ACME"\n', pki.self_signed("other"))
    store, problems, _ = load_partners(tmp_path, NOW)
    assert store.partner_by_as2_id("ACME", "as2.example.com") is None
    assert "claimed by acme and other" in problems[0].message


def test_what_its_match_accepts_is_refused_by_name(tmp_path: Path) -> None:
    root = pki.root("Root")
    settings = 'as2_id = "ACME"\ndisabled = true\n[match]\nsubject = "CN=edi.acme.example"\n'
    partner(tmp_path, "acme", settings, root)
    refused(pki.leaf(root), loaded(tmp_path))


def test_false_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    partner(tmp_path, "acme", 'as2_id = "ACME"\ndisabled = false\n', pki.self_signed("own"))
    assert set(loaded(tmp_path).partners) == {"acme"}


def test_it_is_a_warning_and_no_mistake(tmp_path: Path) -> None:
    partner(tmp_path, "acme", 'as2_id = "ACME"\ndisabled = true\n', pki.self_signed("own"))
    found = load_partner(tmp_path / "acme")
    assert (found.partner, found.problems, len(found.warnings)) == (None, (), 1)


def test_what_is_no_boolean_is_a_mistake(tmp_path: Path) -> None:
    partner(tmp_path, "acme", 'as2_id = "ACME"\ndisabled = "yes"\n', pki.self_signed("own"))
    assert "expected true or false" in load_partner(tmp_path / "acme").problems[0].message
