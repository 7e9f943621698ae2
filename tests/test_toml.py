"""Every TOML file is read in one way: one dialect for what is wrong, with the line, and no bytes that break it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtlsd.config.document import read_document, shown
from mtlsd.config.load import read_configuration
from mtlsd.config.schema import read_toml
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.partners import partner_toml
from mtlsd.partners.ours import host_keys, organization

Read = Callable[[Path], tuple[Problem, ...]]


def of_the_configuration(file: Path) -> tuple[Problem, ...]:
    try:
        read_configuration(file)
    except ConfigurationError as error:
        return error.problems
    return ()


READERS: dict[str, Read] = {
    "virtualhosts.toml": of_the_configuration,
    "partner.toml": lambda file: read_toml(file, partner_toml.SCHEMA).problems,
    "organization.toml": lambda file: read_toml(file, organization.SCHEMA).problems,
    "host.toml": lambda file: read_toml(file, host_keys.SCHEMA).problems,
}
RIGHT = {
    "virtualhosts.toml": '[[virtualhost]]\nname = "a.example"\nlisten = "127.0.0.1:0"\n',
    "partner.toml": 'as2_id = "ACME"\n[match]\nsubject = "CN=a"\n',
    "organization.toml": 'as2_id = "EXAMPLE"\n[[pair]]\ndirectory = "."\n',
    "host.toml": '\n[[pair]]\ndirectory = "next"\n',
}
each_file = pytest.mark.parametrize("name", READERS)


def said(folder: Path, name: str, content: str | bytes) -> list[str]:
    """The problems of a file with this content, each without the directory."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [str(each).removeprefix(f"{folder}/") for each in READERS[name](file)]


@each_file
def test_what_is_right_is_read_in_any_form_that_editors_give_it(tmp_path: Path, name: str) -> None:
    for text in (RIGHT[name], "\ufeff" + RIGHT[name], RIGHT[name].replace("\n", "\r\n")):
        assert said(tmp_path, name, text) == []


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("virtualhosts.toml", "lisen = 1", 'virtualhost.lisen: unknown key; did you mean "listen"?'),
        ("partner.toml", "subjekt = 1", 'match.subjekt: unknown key; did you mean "subject"?'),
        ("organization.toml", "dirctory = 1", 'pair.dirctory: unknown key; did you mean "directory"?'),
        ("host.toml", "retire = 1", 'pair.retire: unknown key; did you mean "retire_after"?'),
        ("virtualhosts.toml", "whoami = 1", "virtualhost.whoami: found 1: expected true or false"),
        ("partner.toml", "san = 1", "match.san: found 1: expected a list of alternative names"),
        ("host.toml", "retire_after = 1", "pair.retire_after: found 1: expected a day such as 2027-01-15, or a moment"),
        ("partner.toml", "as2_id = 1", "match.as2_id: unknown key here: it stands below [match]; put it above"),
        ("partner.toml", "days = 1", "match.days: unknown key here; it belongs under [retention]"),
        ("virtualhosts.toml", "days = 1", "virtualhost.days: unknown key here; it belongs under [retention]"),
    ],
)
def test_a_mistake_has_its_line_its_key_what_was_found_and_what_was_expected(
    tmp_path: Path, name: str, line: str, problem: str
) -> None:
    (found,) = said(tmp_path, name, RIGHT[name] + line)
    assert found.startswith(f"{name}:4: {problem}")


@each_file
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\n\nx = = 1", ":3: is not TOML: Invalid value"),
        (b"\n\xff", ":2: is not UTF-8: save it in that encoding"),
        (b"x = " + b"[" * 100_000, ": arrays or tables are nested too deeply: flatten them"),
        (b"x = " + b"9" * 5000, ": a number has too many digits: expected at most 19"),
        (b"#" * (1 << 20) + b"#", ": is larger than 1048576 bytes: expected a TOML file"),
    ],
    ids=["no TOML", "no UTF-8", "nested", "digits", "large"],
)
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (found,) = said(tmp_path, name, content)
    assert found.startswith(f"{name}{problem}")


@each_file
def test_a_directory_and_a_missing_file_say_what_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert "is a directory: expected a TOML file" in str(READERS[name](tmp_path / name)[0])
    assert "does not exist" in str(READERS[name](tmp_path / "none" / name)[0])


def test_what_nests_as_deeply_as_it_may_has_lines_or_none_and_never_raises(tmp_path: Path) -> None:
    file = tmp_path / "partner.toml"
    for depth in range(1, 1000, 7):
        file.write_text(f"as2_id = {'[' * depth}{']' * depth}")
        assert read_toml(file, partner_toml.SCHEMA).problems


def test_the_lines_of_a_file_that_names_one_key_only_are_known(tmp_path: Path) -> None:
    file = tmp_path / "partner.toml"
    file.write_text("\ufeff\r\nas2_id = 1")
    assert read_document(file).lines == {("as2_id",): 2}


@pytest.mark.parametrize("value", [":" * 900_000, ":" + "/" * 900_000, "a:/" * 300_000])
def test_a_long_value_is_shown_in_a_time_that_grows_with_its_length(tmp_path: Path, value: str) -> None:
    """By the square of its length, this would not end within the day."""
    file = tmp_path / "partner.toml"
    file.write_text(f'as2_id = "{value}"\n')
    (problem,) = READERS["partner.toml"](file)
    assert len(problem.message) < 300


def test_a_key_of_many_parts_has_no_line_and_costs_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "partner.toml"
    file.write_text(f"[x{'.a' * 5000}]\n")
    assert read_document(file).lines == {}


@pytest.mark.parametrize(
    ("value", "shown_as"),
    [
        ("http://user:secret@host/", '"http://…@host/"'),
        ("https://h/?Password=secret&a=b", '"https://h/?Password=…&a=b"'),
        (":@x", '":…@x"'),
        ("a@b:c", '"a@b:c"'),
        ("plain", '"plain"'),
    ],
)
def test_a_value_is_shown_without_its_password(value: str, shown_as: str) -> None:
    assert shown(value) == shown_as
