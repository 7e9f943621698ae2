"""The trust store finds a partner at once, and nobody where two claim the same."""

from pathlib import Path

import pytest

from mtlsd.errors import Problem
from mtlsd.partners.registry import load_partners
from mtlsd.partners.trust_store import TrustStore
from tests.support import pki
from tests.support.pki import DAY, NOW

ROOT = pki.root()
LEAF = pki.leaf(ROOT)
OTHER = pki.leaf(ROOT, "other")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "partners").mkdir()
    return tmp_path / "partners"


def add(directory: Path, name: str, *certificates: pki.Issued, toml: str | None = None) -> None:
    (directory / name).mkdir()
    (directory / name / "partner.toml").write_text(toml or f'as2_id = "{name.upper()}"\n')
    for number, issued in enumerate(certificates):
        (directory / name / f"{number}.pem").write_bytes(issued.pem)


def load(directory: Path) -> tuple[TrustStore, str]:
    store, problems, _warnings = load_partners(directory)
    assert all(isinstance(each, Problem) for each in problems)
    return store, "\n".join(map(str, problems))


def test_partners_are_found_by_their_as2_id_on_their_hosts(directory: Path) -> None:
    add(directory, "acme", LEAF)
    add(directory, "beta", OTHER, toml='as2_id = ["BETA", "B 2"]\nhosts = ["a.example"]\n')
    store, problems = load(directory)
    acme, beta = store.partners["acme"], store.partners["beta"]
    assert problems == ""
    assert store.partner_by_as2_id("ACME", "a.example") is acme
    assert store.partner_by_as2_id("ACME", "b.example") is acme
    assert store.partner_by_as2_id("B 2", "A.example") is beta
    assert store.partner_by_as2_id("BETA", "b.example") is None
    assert store.partner_by_as2_id("acme", "a.example") is None
    assert store.partner_by_as2_id("nobody", "a.example") is None


@pytest.mark.parametrize("make", ["missing", "empty", "a file", "only a dot-directory"])
def test_a_directory_without_partners_is_an_empty_store_and_a_problem(tmp_path: Path, make: str) -> None:
    directory = tmp_path / "partners"
    match make:
        case "empty":
            directory.mkdir()
        case "a file":
            directory.touch()
        case "only a dot-directory":
            (directory / "..data").mkdir(parents=True)
    store, problems = load(directory)
    assert store.partners == {}
    assert str(directory) in problems


def test_one_bad_partner_is_disabled_and_the_others_are_not(directory: Path) -> None:
    add(directory, "acme", LEAF)
    add(directory, "bad", OTHER, toml="as2_id = 1")
    store, problems = load(directory)
    assert store.partners.keys() == {"acme"}
    assert store.disabled == {"bad"}
    assert "bad/partner.toml:1: as2_id" in problems


def test_two_partners_with_one_public_certificate_are_both_named(directory: Path) -> None:
    add(directory, "acme", LEAF)
    add(directory, "beta", LEAF, ROOT)
    store, problems = load(directory)
    assert store.partners.keys() == {"acme", "beta"}
    assert "CN=edi.acme.example" in problems
    assert "claimed by acme and beta" in problems


def test_a_root_may_be_shared(directory: Path) -> None:
    add(directory, "acme", LEAF, ROOT)
    add(directory, "beta", OTHER, ROOT)
    for name in ("gamma", "delta"):
        add(directory, name, ROOT, toml=f'as2_id = "{name}"\n[match]\nsubject = "CN={name}"\n')
    assert load(directory)[1] == ""


@pytest.mark.parametrize(
    "toml", ['as2_id = "BETA"', 'as2_id = "BETA"\nmistake = 1', "[match]\nsubject = 'CN=b'\nas2_id = 1"]
)
def test_a_self_signed_ca_that_is_shared_is_nobodys_pin_and_a_root_for_both(directory: Path, toml: str) -> None:
    shared = pki.self_signed("shared", ca=True)
    add(directory, "acme", LEAF, shared)
    add(directory, "beta", OTHER, shared, toml=toml)
    store, problems = load(directory)
    assert "claimed" not in problems
    assert shared.certificate.sha256 not in store.owners
    assert store.partners["acme"].public_certificates == (LEAF.certificate,)
    for partner in store.partners.values():
        assert shared.certificate in partner.trusted_roots


def test_a_self_signed_end_entity_that_is_shared_is_a_conflict(directory: Path) -> None:
    shared = pki.self_signed("shared")
    add(directory, "acme", shared)
    add(directory, "beta", shared)
    assert "claimed by acme and beta" in load(directory)[1]


# --- Partners that nobody can be ------------------------------------------------------------------------------

EXPIRED = pki.self_signed("expired", end=NOW - DAY)
FUTURE = pki.self_signed("future", ca=True, start=NOW + DAY)
WEAK = pki.self_signed("weak", key=pki.rsa_key("weak", 1024))
GOOD = pki.self_signed("good", ca=True)
MATCH = "as2_id = 'ACME'\n[match]\nsubject = 'CN=a'\n"


@pytest.mark.parametrize(
    ("certificates", "toml", "expected"),
    [
        ((EXPIRED,), None, "nobody can connect as this partner: CN=expired expired on 2026-11-20"),
        ((FUTURE,), None, "CN=future is not valid before 2026-11-22"),
        ((EXPIRED, WEAK), None, "CN=weak is always refused: cert_key_too_weak"),
        (
            (ROOT,),
            None,
            "nobody can connect as this partner: the partner has only roots: add a public certificate or [match]",
        ),
        ((pki.root("old", end=NOW - DAY),), MATCH, "nobody can connect as this partner: CN=old expired on"),
        ((EXPIRED, GOOD), None, ""),
        ((EXPIRED, ROOT), MATCH, ""),
        ((EXPIRED, ROOT, LEAF), None, ""),
    ],
)
def test_a_partner_as_which_nobody_can_connect_is_a_warning(
    directory: Path, certificates: tuple[pki.Issued, ...], toml: str | None, expected: str
) -> None:
    add(directory, "acme", *certificates, toml=toml)
    warnings = "\n".join(map(str, load_partners(directory, NOW)[2]))
    assert expected in warnings
    assert bool(expected) == ("nobody can connect" in warnings)


def test_without_a_time_dates_are_not_looked_at(directory: Path) -> None:
    add(directory, "acme", EXPIRED)
    assert "nobody can connect" not in "\n".join(map(str, load_partners(directory)[2]))


def test_partners_that_have_nothing_but_one_shared_ca_are_told_so(directory: Path) -> None:
    add(directory, "acme", GOOD)
    add(directory, "beta", GOOD)
    words = [str(each) for each in load_partners(directory)[2]]
    assert [
        each.endswith("CN=good also belongs to another partner, so it counts as a root only") for each in words
    ] == [True, True]


def test_a_partner_with_message_certificates_only_need_not_connect(directory: Path) -> None:
    add(directory, "acme")
    (directory / "acme" / "as2").mkdir()
    (directory / "acme" / "as2" / "a").write_bytes(WEAK.pem)
    assert load_partners(directory, NOW)[2] == ()


def test_a_message_certificate_may_be_shared(directory: Path) -> None:
    add(directory, "acme", LEAF)
    add(directory, "beta", OTHER)
    for name in ("acme", "beta"):
        (directory / name / "as2").mkdir()
        (directory / name / "as2" / "a").write_bytes(pki.self_signed("messages").pem)
    assert load(directory)[1] == ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        ("", 'hosts = ["a.example"]'),
        ('hosts = ["a.example"]', 'hosts = ["b.example"]'),  # the journal's key and the backend's know no host
        ("", "hosts = []"),
        ("", "mistake = 1"),  # it is disabled, and what it says is still its own
    ],
)
def test_an_as2_id_that_two_partners_claim_is_nobodys(directory: Path, first: str, second: str) -> None:
    add(directory, "acme", LEAF, toml=f'as2_id = ["X", "ACME"]\n{first}')
    add(directory, "beta", OTHER, toml=f'as2_id = ["X", "BETA"]\n{second}')
    store, problems = load(directory)
    for name in ("acme", "beta"):
        assert f'{name}/partner.toml: as2_id: "X" is claimed by acme and beta: the id belongs to nobody' in problems
    assert store.partner_by_as2_id("X", "a.example") is store.partner_by_as2_id("X", "b.example") is None
    assert store.partner_by_as2_id("ACME", "a.example") is store.partners["acme"]
    assert store.partners["acme"].as2_ids == ("ACME",)  # a connection as acme does not give it back


def test_three_partners_that_claim_an_as2_id_are_all_named(directory: Path) -> None:
    for name in ("acme", "beta", "gamma"):
        add(directory, name, pki.leaf(ROOT, name), toml='as2_id = "X"')
    assert load(directory)[1].count("claimed by acme, beta and gamma") == 3


@pytest.mark.parametrize(
    ("first", "second", "disputed"),
    [
        ("", "", True),
        ('san = ["dns:a"]', "", True),
        ("", 'san = ["dns:a"]', True),
        ('san = ["dns:a"]', 'san = ["dns:b"]', False),
    ],
)
def test_two_partners_that_match_the_same_certificates_are_both_named(
    directory: Path, first: str, second: str, disputed: bool
) -> None:
    for name, line in (("acme", first), ("beta", second)):
        toml = f'as2_id = "{name}"\n[match]\nsubject = "CN=a"\n{line}\n'
        add(directory, name, ROOT, toml=toml)
    problems = load(directory)[1]
    assert ("acme" in problems and "beta" in problems) is disputed


def test_what_is_not_a_partners_directory_is_left_out_and_said_so(directory: Path, tmp_path: Path) -> None:
    add(directory, "acme", LEAF)
    add(tmp_path, "outside", OTHER)
    (directory / "README.md").touch()
    (directory / "stray.pem").write_bytes(OTHER.pem)
    (directory / "link").symlink_to("../outside")
    store, problems, warnings = load_partners(directory)
    assert store.partners.keys() == {"acme"}
    assert [each.file.name for each in problems] == ["link"]
    assert [each.file.name for each in warnings if "not read" in str(each)] == ["stray.pem"]
