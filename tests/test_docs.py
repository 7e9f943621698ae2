"""The documents say what the code does: what they name exists, and what must be documented is."""

import ast
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from mtlsd import log
from mtlsd.config.model import (
    DeliverySettings,
    Expiry,
    Limits,
    Mail,
    ProofSettings,
    Retention,
    Route,
    Server,
    VirtualHost,
)
from mtlsd.errors import CertificateRefused, CertKnownOtherHost, peer_errors
from mtlsd.partners.partner_toml import SCHEMA
from mtlsd.pki.relaxations import RELAXATIONS
from tests.support.named import exists
from tests.support.site import mtlsd
from tests.test_architecture import BESIDE, HOMES, RANKS

ROOT = Path(__file__).parent.parent
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "certs" / "README.md"])
TOP = {"certs", "docs", "mtlsd", "scripts", "tests"}
THEIRS = ("certs/hosts", "certs/organizations", "certs/partners")  # what a user puts there
WHERE_IN_A_THOUSAND = 1.5  # words
CODE_BLOCK = re.compile(r"^( *)```\w*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


def prose(document: Path) -> str:
    return CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))


def test_the_reasons_are_rendered_from_the_code() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "errors_doc.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_is_kept_for_places() -> None:
    """A condition is "if", a time is "when": CONTRIBUTING.md, "English"."""
    texts = [each.read_text(encoding="utf-8") for each in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))]
    where = sum(len(re.findall(r"\bwhere\b", text, re.IGNORECASE)) for text in texts)
    words = sum(len(text.split()) for text in texts)
    assert where <= WHERE_IN_A_THOUSAND * words / 1000, f"{where} in {words} words"


# --- Files and links --------------------------------------------------------------------------------------------------


@each_document
def test_a_file_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`([\w.-]+/[\w./-]*)(?: --?\w[^`]*)?`", prose(document))
    ours = [path for path in named if path.split("/")[0] in TOP and not path.startswith(THEIRS)]
    missing = [path for path in ours if not (ROOT / path).exists()]
    assert missing == []


@each_document
def test_a_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    """The anchors of the headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", prose(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- The architecture and its decisions -------------------------------------------------------------------------------


def section_of_the_architecture(heading: str) -> str:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def table_of_the_architecture(heading: str) -> list[list[str]]:
    """The cells of the only table in a section, without its head."""
    rows = re.findall(r"^\| (.*) \|$", section_of_the_architecture(heading), re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_one_rule_is_the_line_that_is_tested() -> None:
    shown = re.findall(r"^> (.*)$", section_of_the_architecture("The one rule"), re.MULTILINE)
    assert ["__init__", *quoted(" ".join(shown)), "__main__"] == list(RANKS)


def test_the_table_of_rooms_follows_the_line() -> None:
    described = [name for room, _ in table_of_the_architecture("The rooms") for name in quoted(room)]
    assert ["__init__", *described] == [*list(RANKS)[:-1], *BESIDE]


def test_the_homes_of_libraries_are_those_that_are_tested() -> None:
    rows = table_of_the_architecture("The one rule")
    homes = {library: set(quoted(rooms)) for libraries, rooms in rows for library in quoted(libraries)}
    assert homes == {library: rooms for library, rooms in HOMES.items() if library != "cryptography"}


def test_what_the_drawing_of_a_message_names_exists() -> None:
    drawing = CODE_BLOCK.findall(section_of_the_architecture("The life of a message"))[0][1]
    named = re.findall(r"[a-z0-9_]+/[a-z0-9_/]*(?:\.py)?", drawing)
    assert named
    assert [each for each in named if not (ROOT / "mtlsd" / each).exists()] == []


def test_a_newcomer_finds_what_was_asked_for() -> None:
    """Each answer names a file, and what to look for in it."""
    for question, answer, _ in table_of_the_architecture("Find it in five minutes"):
        files = [each for each in quoted(answer) if "/" in each]
        names = [each for each in quoted(answer) if "/" not in each]
        assert files, question
        known = {name for file in files for name in defined_in(ROOT / file)}
        assert [name for name in names if name not in known] == [], question


def test_a_type_is_in_the_module_that_is_named() -> None:
    for types, module, _ in table_of_the_architecture("The types"):
        (file,) = quoted(module)
        assert [name for name in quoted(types) if name not in defined_in(ROOT / file)] == []


def defined_in(place: Path) -> set[str]:
    """The classes and functions of a module; of a directory, those of all its modules."""
    files = place.rglob("*.py") if place.is_dir() else [place]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_decision_is_in_the_index_once_by_its_title() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[(.*)\]\(([\w-]+\.md)\)$", index, re.MULTILINE)
    pages = sorted(file for file in DECISIONS.glob("*.md") if file.name != "README.md")
    titles = [(file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "), file.name) for file in pages]
    assert sorted(listed, key=lambda each: each[1]) == titles


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("[!R]*.md")), ids=lambda page: page.stem)
def test_a_decision_says_what_why_and_what_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Decision", "Why", "Alternatives", "Consequences"]
    assert 10 <= len(text.splitlines()) <= 40


# --- Commands ---------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, ...]]:
    """Every `mtlsd …` line in the documents, as words."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^\s*(?:\S*/)?mtlsd ([a-z].*)$", "\n".join(code(text)), re.MULTILINE):
            yield tuple(shlex.split(line, comments=True))


def code(text: str) -> Iterator[str]:
    yield from (block for _, block in CODE_BLOCK.findall(text))
    yield from re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", text))


def of_the_command_line(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The commands that these words mean: `journal list|show ID` is two."""
    name = next((at for at, word in enumerate(words) if not re.fullmatch(r"[a-z|]+", word)), len(words))
    *group, last = words[:name]
    return [(*group, each) for each in last.split("|")] if group or last else []


COMMANDS = {
    (command, tuple(word for word in words if word.startswith("--")))
    for words in commands()
    for command in of_the_command_line(words)
}


@pytest.mark.parametrize(("command", "options"), sorted(COMMANDS), ids=lambda words: " ".join(words) or "plain")
def test_a_command_line_that_is_shown_works(command: tuple[str, ...], options: tuple[str, ...]) -> None:
    done = mtlsd(*command, "--help")
    assert done.exit_code == 0, done.output
    assert [option for option in options if option not in done.output] == []


def test_every_command_is_shown() -> None:
    shown = {command for command, _ in COMMANDS}
    assert {("run",), ("check",), ("send",), ("journal", "list"), ("journal", "show"), ("partner", "list")} <= shown


# --- The README's first partner ---------------------------------------------------------------------------------------


def test_the_first_partner_of_the_readme_connects(tmp_path: Path) -> None:
    """Run the lines of the README unchanged, except for the installation, the port, and the end of the daemon."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your first partner")[1].split("\n## ")[0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        blocks = [text.replace("8443", str(probe.getsockname()[1])) for _, text in CODE_BLOCK.findall(section)]
    install, *setup, serve, partner = blocks
    check, run = serve.splitlines()
    setup = [text.replace("<<END\n", '<<END\nserver.admin = "127.0.0.1:0"\n') for text in setup]  # theirs may be in use
    enter = "".join(install.splitlines(keepends=True)[2:])  # what follows scripts/install and PATH
    assert enter.startswith("mkdir -p ~/first/")
    shell(tmp_path, enter, *setup, f"{check}\n")
    command = shlex.split(run.removesuffix("&"))
    with subprocess.Popen(command, cwd=tmp_path / "first", env=at_home(tmp_path), stderr=subprocess.PIPE) as daemon:
        try:
            assert daemon.stderr
            assert any(b'"started"' in line for line in daemon.stderr)
            said = shell(tmp_path, "cd ~/first\n", partner)
        finally:
            daemon.kill()
    assert "MIC          equal" in said
    assert re.search(r"<.*@.*> +39 +pending", said)


def shell(home: Path, *lines: str) -> str:
    command = ["bash", "-euc", "".join(lines)]
    done = subprocess.run(command, env=at_home(home), cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def at_home(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}  # this tree, installed or not


# --- Configuration ----------------------------------------------------------------------------------------------------

TABLES: dict[str, type[Any]] = {
    "[server]": Server,
    "[[virtualhost]]": VirtualHost,
    "[[virtualhost.route]]": Route,
    "[limits]": Limits,
    "[delivery]": DeliverySettings,
    "[proof]": ProofSettings,
    "[retention]": Retention,
    "[expiry]": Expiry,
    "[expiry.mail]": Mail,
}


def rows(heading: str) -> dict[str, list[str]]:
    """The first table under a heading of configuration.md: the other cells by the key."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    table = re.search(r"^\| key .*\n\|[-|]+\n((?:\|.*\n?)+)", section, re.MULTILINE)
    assert table, heading
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table[1].splitlines()]
    return {first.strip("`"): rest for first, *rest in lines}


@pytest.mark.parametrize("heading", TABLES)
def test_the_keys_of_the_configuration_are_those_that_are_documented(heading: str) -> None:
    keys = {{"sender": "from"}.get(each.name, each.name) for each in fields(TABLES[heading])} - {"routes", "mail"}
    assert set(rows(f"## `{heading}`")) == keys


@pytest.mark.parametrize("heading", ["[limits]", "[delivery]", "[retention]"])
def test_the_documented_defaults_are_those_of_the_code(heading: str) -> None:
    documented = {key: int(cells[0].split()[0]) for key, cells in rows(f"## `{heading}`").items()}
    assert documented == {each.name: each.default for each in fields(TABLES[heading])}


@pytest.mark.parametrize("heading", ["[server]", "[[virtualhost]]", "[[virtualhost.route]]"])
def test_what_is_documented_as_required_has_no_default(heading: str) -> None:
    required = {key for key, cells in rows(f"## `{heading}`").items() if cells[1] == "required"}
    assert required == {each.name for each in fields(TABLES[heading]) if each.default is MISSING}


def test_the_keys_of_a_partner_are_those_that_are_documented() -> None:
    keys = {".".join((*path, key)) for path, table in SCHEMA.tables.items() for key in table.keys}
    assert set(rows("### `partners/<partner>/`")) == keys - {".".join(path) for path in SCHEMA.tables}


# --- What the operators search for ------------------------------------------------------------------------------------


def test_every_relaxation_is_named_where_it_is_configured() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [each for each in RELAXATIONS if f'`"{each}"`' not in text] == []


def test_every_relaxation_has_its_row_and_its_test() -> None:
    text = (ROOT / "docs" / "as2.md").read_text(encoding="utf-8")
    section = text.split("\n## Relaxations\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \| `(.+)` \|$", section, re.MULTILINE)
    assert {name: weakens for name, _, weakens, _ in found} == RELAXATIONS
    assert [test for *_, test in found if not exists(test)] == []


def test_every_event_of_the_log_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    events = [value for name, value in vars(log).items() if name.isupper() and isinstance(value, str)]
    assert events
    assert [event for event in events if f"`{event}`" not in text] == []


def test_every_refusal_of_a_certificate_has_its_remedy() -> None:
    text = (ROOT / "docs" / "partners.md").read_text(encoding="utf-8")
    refusals = [each for each in peer_errors() if issubclass(each, CertificateRefused | CertKnownOtherHost)]
    assert [each.reason for each in refusals if f"| `{each.reason}` |" not in text] == []


def test_every_disposition_has_its_reasons() -> None:
    text = (ROOT / "docs" / "as2.md").read_text(encoding="utf-8")
    table = {row[0]: row[1] for row in re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE)}
    for each in peer_errors():
        if each.disposition and each.reason != "as2_header_missing":  # without the header there is no MDN
            assert f"`{each.reason}`" in table[each.disposition]


@each_document
def test_a_reason_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`((?:as2|cert|client_cert|tls|mdn)_[a-z0-9_]+)`", prose(document))
    known = (
        {each.reason for each in peer_errors()}
        | set(SCHEMA.tables[()].keys)
        | {"client_certificate", "client_cert_chain"}
    )
    assert sorted(set(named) - known) == []
