"""The dates of a partner's certificates: read from partner.toml, and kept to by whoever believes a certificate."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsd.errors import CertificateRefused, CertKnownButPending, CertKnownButRetired
from mtlsd.partners.matching import claim, match
from mtlsd.partners.partner import Partner, load_partner
from mtlsd.partners.registry import load_partners
from mtlsd.pki.certificate import Certificate, Presented
from mtlsd.pki.dates import Dates
from mtlsd.tls.verify import judge
from tests.support import pki
from tests.support.pki import DAY, NOW, Issued

OLD = pki.self_signed("roll-over", start=NOW - 300 * DAY, end=NOW + 300 * DAY)
NEW = pki.self_signed("roll-over next", start=NOW - 10 * DAY, end=NOW + 600 * DAY)
HOST = "as2.example.com"


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    directory = tmp_path / "acme"
    directory.mkdir()
    (directory / "old.pem").write_bytes(OLD.pem)
    (directory / "new.pem").write_bytes(NEW.pem)
    return directory


def write(directory: Path, text: str) -> None:
    (directory / "partner.toml").write_text(f'as2_id = "ACME"\n{text}')


def row(line: str, file: str = "old.pem") -> str:
    return f'[[certificate]]\nfile = "{file}"\n{line}\n'


def loaded(directory: Path) -> Partner:
    found = load_partner(directory)
    assert found.problems == found.warnings == ()
    assert found.partner
    return found.partner


def peer(directory: Path, issued: Issued, now: datetime) -> Certificate:
    """Who connects with this certificate, or the refusal."""
    store, _, _ = load_partners(directory.parent)
    presented = Presented(issued.certificate)
    claimed = claim(presented, store)
    return match(judge(presented, claimed.anchors, now), claimed, store, HOST).certificate


def test_without_dates_every_certificate_is_used_always(acme: Path) -> None:
    write(acme, "")
    assert loaded(acme).dates == ()
    assert loaded(acme).dates_of(OLD.certificate) == Dates()


def test_a_day_counts_as_a_whole(acme: Path) -> None:
    write(acme, row("retire_after = 2026-11-21") + row("active_from = 2026-11-21", "new.pem"))
    first, last = datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=UTC)
    assert loaded(acme).dates_of(OLD.certificate) == Dates(retire_after=last)
    assert loaded(acme).dates_of(NEW.certificate) == Dates(active_from=first)


def test_a_moment_may_be_named_and_a_certificate_by_its_sha256(acme: Path) -> None:
    shown = ":".join(OLD.certificate.sha256.upper()[at : at + 2] for at in range(0, 64, 2))
    write(acme, f'[[certificate]]\nsha256 = "{shown}"\nretire_after = 2026-11-21T12:00:00+01:00\n')
    assert loaded(acme).dates_of(OLD.certificate) == Dates(retire_after=datetime(2026, 11, 21, 11, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("certificate = 1", "2: certificate: found 1: expected tables, each under [[certificate]]"),
        ("[certificate]\nfile = 'old.pem'", "2: certificate: found a table: expected tables, each under"),
        (
            row("") + row("", "new.pem") + "retire = 1",
            '8: certificate.retire: unknown key; did you mean "retire',
        ),
        ("[[certificate]]\nactive_from = 2026-11-21", "2: certificate: expected either file or sha256"),
        (row("sha256 = 'ab'"), '4: certificate.sha256: found "ab": expected the SHA-256 of a certificate'),
        (row("", "../old.pem"), '3: certificate.file: found "../old.pem": expected a path below this directory'),
        (row("", "/old.pem"), '3: certificate.file: found "/old.pem": expected a path below this directory'),
        (row("active_from = '2026-11-21'"), '4: certificate.active_from: found "2026-11-21": expected a day such'),
        (
            row("active_from = 2026-11-21T08:00:00"),
            "4: certificate.active_from: found 2026-11-21 08:00:00: expected",
        ),
        (row("active_from = 0001-01-01T00:00:00+01:00"), "4: certificate.active_from: found 0001-01-01 00:00:00+01:00"),
        (row("active_from = 2026-11-22\nretire_after = 2026-11-21"), "2: certificate: expected an active_from"),
        (row("") + row(""), "5: certificate: its certificate has dates already"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_disables_the_partner(acme: Path, text: str, expected: str) -> None:
    write(acme, text)
    found = load_partner(acme)
    assert found.partner is None
    assert expected in "\n".join(map(str, found.problems))


@pytest.mark.parametrize("name", ["gone.pem", "partner.toml", "tls/root.pem"])
def test_dates_of_nothing_are_a_warning(acme: Path, name: str) -> None:
    (acme / "tls").mkdir()
    (acme / "tls" / "root.pem").write_bytes(pki.root().pem)
    write(acme, row("retire_after = 2026-11-21", name))
    found = load_partner(acme)
    assert found.partner
    assert [f"or messages is {name}: remove" in str(each) for each in found.warnings] == [True]


@pytest.mark.parametrize(
    ("line", "error", "nearest"),
    [
        ("retire_after = 2026-11-20", CertKnownButRetired, "acme's previous certificate, retired on 2026-11-20"),
        ("active_from = 2026-11-22", CertKnownButPending, "acme's next certificate, in use from 2026-11-22"),
    ],
)
def test_a_certificate_opens_connections_between_its_dates_only(
    acme: Path, line: str, error: type[CertificateRefused], nearest: str
) -> None:
    write(acme, row(line))
    with pytest.raises(error) as caught:
        peer(acme, OLD, NOW)
    assert (caught.value.facts["partner"], caught.value.facts["nearest"]) == ("acme", nearest)
    assert caught.value.facts["sha256"] == OLD.certificate.sha256
    within = NOW + 2 * DAY if error is CertKnownButPending else NOW - 2 * DAY
    assert peer(acme, OLD, within) == OLD.certificate
    assert peer(acme, NEW, NOW) == NEW.certificate


def test_what_is_wrong_with_the_certificate_itself_is_said_first(acme: Path) -> None:
    write(acme, row("retire_after = 2026-11-20"))
    with pytest.raises(CertificateRefused) as caught:
        peer(acme, OLD, NOW + 301 * DAY)
    assert caught.value.reason == "cert_expired"


def test_an_old_certificate_without_an_end_is_a_warning_once_the_new_one_is_in_use(acme: Path) -> None:
    write(acme, row("active_from = 2026-11-20", "new.pem"))
    _, _, warnings = load_partners(acme.parent, NOW)
    assert ["has a successor and no retire_after" in str(each) for each in warnings].count(True) == 1
    for rows in (row("active_from = 2026-11-22", "new.pem"), row("retire_after = 2026-12-01"), ""):
        write(acme, rows)
        _, _, warnings = load_partners(acme.parent, NOW)
        assert not [each for each in warnings if "successor" in str(each)]


def test_a_partner_whose_dates_let_nobody_connect_is_a_warning(acme: Path) -> None:
    write(acme, row("retire_after = 2026-11-20") + row("active_from = 2026-11-22", "new.pem"))
    _, _, warnings = load_partners(acme.parent, NOW)
    said = "CN=roll-over next is in use from 2026-11-22; CN=roll-over is retired on 2026-11-20"
    assert [said in str(each) for each in warnings].count(True) == 1


VALUES = st.recursive(
    st.sampled_from(
        ['"old.pem"', '"."', "2026-11-21", "2026-11-21T00:00:00Z", "00:00:00", "[]", "{}", "1", "-1.5", '""', "true"]
    ),
    lambda inner: st.lists(inner, max_size=2).map(lambda each: f"[{', '.join(each)}]"),
    max_leaves=3,
)
KEYS = st.sampled_from(["file", "sha256", "active_from", "retire_after", "other"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=3))
def test_any_rows_are_read_or_named(acme: Path, rows: list[dict[str, str]]) -> None:
    lines = "".join("[[certificate]]\n" + "".join(f"{key} = {value}\n" for key, value in each.items()) for each in rows)
    write(acme, lines)
    found = load_partner(acme)
    assert found.partner or found.problems
