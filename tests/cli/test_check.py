"""`mtlsd check` and `mtlsd partner list`: everything at once, and nothing is touched."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlsd.cli.partner.inventory import take_inventory
from mtlsd.cli.partner.listed_certificate import ListedCertificate
from tests.support import pki
from tests.support.daemon import Tree, acme
from tests.support.site import as_somebody_else, mtlsd, mtlsd_json, on_a_terminal

NOW = datetime.now(UTC)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def check_json(tree: Tree) -> Any:
    return mtlsd_json("check", "--config", tree.configuration)


def add_partner(tree: Tree, name: str, settings: str, **files: bytes) -> Path:
    folder = tree.certs / "partners" / name
    folder.mkdir(parents=True)
    (folder / "partner.toml").write_text(settings)
    for file, data in files.items():
        (folder / f"{file}.pem").write_bytes(data)
    return folder


def lasting(days: float, name: str = "soon.example") -> bytes:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return pki.self_signed(name, start=start, end=NOW + timedelta(days=days), ca=True).pem


def test_what_ends_within_sixty_days_is_listed_the_soonest_first(tree: Tree) -> None:
    add_partner(tree, "later", 'as2_id = "LATER"', b=lasting(50.5, "later.example"))
    add_partner(tree, "sooner", 'as2_id = "SOONER"', a=lasting(5.5, "sooner.example"))
    add_partner(tree, "fine", 'as2_id = "FINE"', a=lasting(61.5, "fine.example"))
    text = mtlsd("check", "--config", tree.configuration).stdout
    listed = text.split("expires within 60 days, the soonest first:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split("  ")[2:] for line in listed] == [
        ["5 days", "partner sooner, connections, root, messages, a.pem: CN=sooner.example"],
        ["50 days", "partner later, connections, root, messages, b.pem: CN=later.example"],
    ]
    assert [each["subject"] for each in check_json(tree)["ending"]] == ["CN=sooner.example", "CN=later.example"]


def test_a_good_site_is_shown_whole(tree: Tree) -> None:
    result = mtlsd("check", "--config", tree.configuration)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "host as2.example.com at 127.",
        "client certificate: required",
        "  /as2 -> EXAMPLE -> http://127.0.0.1:9/nobody",
        "organization EXAMPLE    signing, decryption",
        "CN=edi.acme.example",
        "0 errors, 0 warnings",
    ):
        assert words in result.stdout


def test_nothing_is_touched(tree: Tree) -> None:
    before = sorted(tree.root.rglob("*"))
    mtlsd("check", "--config", tree.configuration)
    mtlsd("partner", "list", "--config", tree.configuration)
    assert sorted(tree.root.rglob("*")) == before


def test_the_json_has_it_all_in_one_object(tree: Tree) -> None:
    found = check_json(tree)
    assert set(found) == {
        "file",
        "hosts",
        "certificates",
        "ending",
        "partners",
        "warnings",
        "mistakes",
        "exit_code",
    }
    assert [host["client_certificate"] for host in found["hosts"]] == ["required", "optional", "none"]
    assert found["hosts"][0]["routes"][0]["organization"] == "EXAMPLE"
    assert {each["state"] for each in found["certificates"]} == {"valid"}
    acme_entry = next(each for each in found["partners"] if each["name"] == "acme")
    assert (acme_entry["as2_ids"], acme_entry["hosts"], acme_entry["require"]) == (["ACME"], None, ["encrypt", "sign"])
    uses = {each["subject"]: each["use"] for each in acme_entry["certificates"]}
    assert uses == {"CN=edi.acme.example": "connections", "CN=ACME Root": "root", "CN=ACME": "messages"}


def test_mistakes_in_the_file_and_under_partners_are_said_together(tree: Tree) -> None:
    text = tree.configuration.read_text().replace('handler = "as2"', 'handler = "as3"', 1)
    tree.configuration.write_text(f'server.certs = "certs"\n{text}nonsense = 1\n')
    add_partner(tree, "broken", 'as2_id = "B"\n\ncolour = 1\n', own=lasting(100))
    result = mtlsd("check", "--config", tree.configuration)
    assert result.exit_code == 78
    lines = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["virtualhost.route.handler", "delivery.nonsense", "colour"]
    assert f"{tree.certs / 'partners' / 'broken' / 'partner.toml'}:3: colour: " in result.stderr
    assert "3 errors" in result.stdout


def test_a_file_that_is_no_toml_does_not_hide_the_partners(tree: Tree) -> None:
    tree.configuration.write_text("= = =\n")
    result = mtlsd("check", "--config", tree.configuration)
    assert result.exit_code == 78
    assert len(result.stderr.splitlines()) == 1
    assert "CN=edi.acme.example" in result.stdout


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    result = mtlsd("check", env={"MTLSD_CONFIG": str(tmp_path / "none.toml")})
    assert (result.exit_code, f"{tmp_path / 'none.toml'}: does not exist" in result.stderr) == (78, True)
    assert len(result.stderr.splitlines()) == 1  # nothing of directories that nobody has named


def test_every_bad_key_pair_is_said_and_the_good_ones_are_shown(tree: Tree) -> None:
    (tree.certs / "hosts" / "as2.example.com" / "key.pem").write_bytes(b"no key")
    (tree.certs / "organizations" / "EXAMPLE" / "cert.pem").unlink()
    result = mtlsd("check", "--config", tree.configuration)
    assert result.exit_code == 78
    assert len(result.stderr.splitlines()) == 2
    assert "host as2.example.com  " not in result.stdout.partition("CERTIFICATE OF")[2]
    assert "host drop.example.com" in result.stdout


def test_mistakes_of_partners_alone_exit_with_1(tree: Tree) -> None:
    add_partner(tree, "empty", 'as2_id = "E"\n')
    result = mtlsd("check", "--config", tree.configuration)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert check_json(tree)["exit_code"] == 1


def test_the_summary_is_the_last_that_a_terminal_gets(tree: Tree) -> None:
    add_partner(tree, "empty", 'as2_id = "E"\n')
    code, written = on_a_terminal("check", "--config", tree.configuration)
    assert code == 1
    *_, before, mistake, summary = written.splitlines()
    assert (before, summary) == ("", "1 error, 0 warnings")
    assert "no certificate" in mistake


def test_that_a_partner_is_disabled_is_said_once(tree: Tree) -> None:
    add_partner(tree, "empty", 'as2_id = "E"\n')
    result = mtlsd("partner", "list", "--config", tree.configuration)
    assert next(line for line in result.stdout.splitlines() if "empty" in line).endswith("  disabled: no certificate")


def test_a_control_character_in_a_name_never_reaches_the_terminal(tree: Tree) -> None:
    add_partner(tree, "evil\x1b[2J", 'as2_id = "E"\n', own=lasting(100))
    result = mtlsd("check", "--config", tree.configuration)
    assert "\x1b" not in result.output
    assert "evil\\x1b[2J" in result.output


WARNINGS = {
    "expired": (lasting(-1.5), "", "own.pem: the certificate CN=soon.example"),
    "soon": (lasting(12.5), "", ": 12 days left"),
    "tomorrow": (lasting(1.5), "", ": 1 day left"),
    "our own id": (lasting(100), 'as2_id = "EXAMPLE"\n', ":1: as2_id: EXAMPLE is also the AS2 id of our organization"),
    "no signature": (
        pki.root("A CA").pem,
        '[match]\nsubject = "CN=x"\n',
        "no certificate can verify messages of this partner",
    ),
    "no root": (pki.leaf(pki.root("Elsewhere"), end=NOW + timedelta(days=99)).pem, "", "pinned without a root"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_is_said_and_is_no_mistake(tree: Tree, name: str) -> None:
    certificate, settings, words = WARNINGS[name]
    as2_id = "" if "as2_id" in settings else 'as2_id = "W"\n'
    add_partner(tree, "watched", as2_id + settings, own=certificate)
    result = mtlsd("check", "--config", tree.configuration)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"warning: {tree.certs / 'partners' / 'watched'}" in result.stdout
    assert words in result.stdout


def test_a_partner_whose_certificates_are_all_for_tls_cannot_sign(tree: Tree) -> None:
    folder = add_partner(tree, "watched", 'as2_id = "W"\n')
    (folder / "tls").mkdir()
    (folder / "tls" / "own.pem").write_bytes(lasting(100))
    assert "no certificate can verify messages of this partner" in mtlsd("check", "--config", tree.configuration).stdout
    (folder / "partner.toml").write_text('as2_id = "W"\nrequire = []\n')
    assert "no certificate can verify" not in mtlsd("check", "--config", tree.configuration).stdout


def test_what_most_do_not_have_is_shown_where_it_is(tree: Tree) -> None:
    text = tree.configuration.read_text()
    more = 'handler = "as2"\ndeliver = "message"\nbalance = "round-robin"\nhealth = "/up"\nordered = true'
    tree.configuration.write_text(text.replace('handler = "as2"', more, 1))
    settings = 'mdn_urls = ["https://w.example/mdn"]\nas2_version = "1.3"\n[match]\nsubject = "CN=w"\nsan = ["dns:w"]\n'
    add_partner(tree, "watched", f'as2_id = "W"\n{settings}', own=lasting(100))
    written = mtlsd("check", "--config", tree.configuration).stdout
    for words in (
        "http://127.0.0.1:9/nobody, deliver: message, balance: round-robin, health: /up, ordered: yes\n",
        "  watched: match: CN=w, dns:w\n",
        "  watched: mdn_urls: https://w.example/mdn\n",
        "  watched: as2_version: 1.3, async_ack: 204\n",
    ):
        assert words in written, written
    assert "  acme: " not in written
    (route, *_), *_ = (host["routes"] for host in mtlsd_json("check", "--config", tree.configuration)["hosts"])
    assert (route["deliver"], route["mdn"], route["ordered"], route["health"]) == ("message", "accepted", True, "/up")
    listed = {each["name"]: each for each in mtlsd_json("partner", "list", "--config", tree.configuration)}
    assert (listed["watched"]["as2_version"], listed["acme"]["as2_version"]) == ("1.3", "1.2")
    assert (listed["watched"]["async_ack"], listed["acme"]["async_ack"]) == (204, 200)


def test_certificates_are_shown_with_their_files(tree: Tree) -> None:
    folder = add_partner(tree, "watched", 'as2_id = "W"\n', own=lasting(100))
    (folder / "as2").mkdir()
    (folder / "as2" / "signs.pem").write_bytes(lasting(100, "signs.example"))
    files = {each["subject"]: each["file"] for each in check_json(tree)["certificates"]}
    assert files["CN=signs.example"] == str(folder / "as2" / "signs.pem")
    assert files["CN=EXAMPLE"] == str(tree.certs / "organizations" / "EXAMPLE" / "cert.pem")
    lines = mtlsd("check", "--config", tree.configuration).stdout.splitlines()
    assert any("  as2/signs.pem " in line and "  CN=signs.example  " in line for line in lines)
    assert any("  own.pem " in line and "  CN=soon.example  " in line for line in lines)


@pytest.mark.parametrize(
    ("before_end", "state", "days"),
    [
        (timedelta(days=30), "valid", 30),
        (timedelta(days=30, seconds=-1), "expires soon", 29),
        (timedelta(0), "expires soon", 0),
        (timedelta(seconds=-1), "expired", -1),
        (timedelta(days=9999), "not yet valid", 9999),
    ],
)
def test_the_days_left_count_to_the_last_moment(before_end: timedelta, state: str, days: int) -> None:
    certificate = acme().certificate
    dated = ListedCertificate("partner acme", "messages", certificate, Path(), certificate.not_after - before_end)
    if state == "not yet valid":
        dated = ListedCertificate(
            "partner acme", "messages", certificate, Path(), certificate.not_before - timedelta(seconds=1)
        )
        assert dated.state == state
        return
    assert (dated.state, dated.days_left) == (state, days)


def test_the_clock_is_an_argument(tree: Tree) -> None:
    found = take_inventory(tree.configuration, None, datetime(2098, 12, 20, tzinfo=UTC))
    assert {each.state for each in found.certificates if each.owner.startswith("host")} == {"expires soon"}


def test_partners_are_listed_with_their_state(tree: Tree) -> None:
    add_partner(tree, "broken", 'as2_id = "B"\ncolour = 1\n', own=lasting(100))
    add_partner(tree, "copy", 'as2_id = "C"\n', own=acme().pem)
    result = mtlsd("partner", "list", "--config", tree.configuration)
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert set(lines) == {"NAME", "acme", "broken", "copy", "globex"}
    assert "disabled: partner.toml:2: colour: unknown key" in lines["broken"]
    assert "in use, but CN=edi.acme.example identifies nobody, because acme also claims it" in lines["copy"]
    assert lines["globex"].endswith("days left  in use")


def test_partners_are_listed_in_json(tree: Tree) -> None:
    add_partner(tree, "matched", 'as2_id = ["M", "N"]\nhosts = []\n[match]\nsubject = "CN=m"\n', own=lasting(100))
    listed = {each["name"]: each for each in mtlsd_json("partner", "list", "--config", tree.configuration)}
    matched = listed["matched"]
    assert (matched["as2_ids"], matched["hosts"], matched["state"]) == (["M", "N"], [], "in use")
    assert matched["match"] == {"subject": "CN=m", "san": []}
    assert matched["certificates"][0]["days_left"] == 99


def test_no_partners_at_all_is_said(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for name in ("acme", "globex"):
        (tree.certs / "partners" / name).rename(tmp_path / name)
    result = mtlsd("partner", "list", "--config", tree.configuration)
    assert (result.exit_code, "no partners in " in result.stdout) == (0, True)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_partners_that_are_not_there_are_not_called_none(tmp_path: Path, options: tuple[str, ...]) -> None:
    tree = Tree(tmp_path)
    (tree.certs / "partners").rename(tmp_path / "elsewhere")
    result = mtlsd("partner", "list", "--config", tree.configuration, *options)
    words = f"Error: {tree.certs / 'partners'} cannot be read: No such file or directory\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", words)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_partners_that_are_for_others_are_not_called_none(open_folder: Path, mode: int) -> None:
    file = open_folder / "x.toml"
    file.write_text('[[virtualhost]]\nname = "a.example"\nlisten = "127.0.0.1:1"\n')
    partners = open_folder / "certs" / "partners"
    partners.mkdir(parents=True)
    partners.chmod(mode)
    with as_somebody_else():
        result = mtlsd("partner", "list", "--config", file)
    partners.chmod(0o700)
    advice = "cannot be read: Permission denied: run this as root or as the user of mtlsd"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {partners} {advice}\n")


@pytest.mark.parametrize(("count", "named"), [(2, "(pinned0, pinned1)"), (7, "pinned4 and 2 more)")])
def test_partners_pinned_without_a_root_are_one_warning(tree: Tree, count: int, named: str) -> None:
    for number in range(count):
        own = pki.leaf(pki.root("Elsewhere"), f"p{number}.example", end=NOW + timedelta(days=99)).pem
        add_partner(tree, f"pinned{number}", f'as2_id = "P{number}"\n', own=own)
    result = mtlsd("check", "--config", tree.configuration)
    lines = [line for line in result.stdout.splitlines() if "pinned without a root" in line]
    assert len(lines) == 1
    assert f"{count} partners are pinned without a root" in lines[0]
    assert named in lines[0]
