"""The usual mistakes in our files: each says what is wrong, in which line, and what to write instead."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtlsd.config.document import NotTOML, parse_toml
from mtlsd.config.load import read_configuration
from mtlsd.config.locate import brackets, repeated_keys
from mtlsd.errors import ConfigurationError
from tests.support.daemon import Tree
from tests.support.site import mtlsd

HOST = '[[virtualhost]]\nname = "a.example"\nlisten = "127.0.0.1:0"\n'


def fault(text: str) -> str:
    with pytest.raises(NotTOML) as error:
        parse_toml(text)
    return f"{error.value.line}: {error.value}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nas2_id = \u201cACME\u201d\n", '2: has the typographic quote \u201c: use plain " quotes'),
        ("as2_id = \u00abACME\u00bb # \u201c", "1: has the typographic quote \u00ab"),
        ("as2_id = ACME\n", '1: text needs quotes: write as2_id = "ACME"'),
        ("x = 1\nas2_id = ACME Ltd # ours\n", '2: text needs quotes: write as2_id = "ACME Ltd"'),
        ("hosts = [as2.example.com]\n", '1: text needs quotes: write hosts = ["as2.example.com"]'),
        ('a = 1\nname = "x\nb = 2\n', '2: the text in line 2 is not closed: add " at its end'),
        ('a = 1\r\nname = "x\r\nb = 2\r\n', '2: the text in line 2 is not closed: add " at its end'),
        ("a = 1\nname = 'x\nb = 2\n", "2: the text in line 2 is not closed: add ' at its end"),
        ('hosts = ["a", "b]\n', '1: the text in line 1 is not closed: add " at its end'),
        ('x = 1\na = """x\nfoo\n', '2: the text that begins with """ in line 2 is not closed'),
        (
            'state = "C:\\Users\\edi"\n',
            r"1: a backslash escapes the next character: write 'C:\Users\edi', in single quotes",
        ),
        ('a = 1\nhandler = "x"\nb = 2\nhandler = "y"\n', "4: handler is on lines 2 and 4: remove one of them"),
        ("[[r]]\na = 1\n[[r]]\na = 1\na = 2\n", "5: a is on lines 4 and 5: remove one of them"),
        ("[match]\nx = 1\n[match]\ny = 2\n", "3: [match] is on lines 1 and 3: remove one of them"),
        ("a = {b = 1, b = 2}\n", "1: b is on lines 1 and 1: remove one of them"),
        ("as2_id: ACME\n", '1: a key and its value have = between them: write as2_id = "ACME"'),
        ("[match\nx = 1\n", "1: the name of the table is not closed: write [match]"),
        ("[[certificate]\nx = 1\n", "1: the name of the table is not closed: write [[certificate]]"),
        ("disabled\n", "1: disabled has no value: write disabled = …"),
        ('hosts = ["a",\n"b"\n[match]\nx = 1\n', "1: the list that begins in line 1 is not closed"),
        ("a = 1 2\n", "1: is not TOML: "),
    ],
)
def test_a_text_that_is_not_toml_says_why(text: str, said: str) -> None:
    assert fault(text).startswith(said)
    assert len(fault(text)) < 300


PIECES = [*"a=1\"'[]{},.#\\ \n", '"""', "\r\n", "x = 1", "[t]", "}]"]


def error_of(text: str) -> NotTOML | None:
    try:
        parse_toml(text)
    except NotTOML as error:
        return error
    return None


@example(["a", "=", "[", "}", "]"])
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text_has_an_end_and_at_most_one_reason(pieces: list[str]) -> None:
    text = "".join(pieces)
    if error := error_of(text):
        assert str(error)
        assert error.line is None or 1 <= error.line <= text.count("\n") + 1
    else:
        assert brackets(text) is None
        assert repeated_keys(text) == []


@pytest.mark.parametrize("row", ["a = " + " " * 900_000 + "x", '"' * 900_000, "a = [" + "x," * 400_000, "\\" * 900_000])
def test_a_long_line_costs_little(row: str) -> None:
    assert len(fault(row)) < 300


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "virtualhosts.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_configuration(file)
    return [str(each).removeprefix(f"{file}:") for each in error.value.problems]


@pytest.mark.parametrize("listen", ["8443", '"localhost:8443"', '":8443"', '"8443"'])
def test_an_address_is_shown_as_it_must_be_at_once(tmp_path: Path, listen: str) -> None:
    (said,) = problems(tmp_path, HOST.replace('"127.0.0.1:0"', listen))
    assert said.startswith(f"3: virtualhost.listen: found {listen}: expected ")
    assert '"0.0.0.0:8443"' in said


@pytest.mark.parametrize(
    ("text", "octets"),
    [("100 MB", 100_000_000), ("100MB", 100_000_000), ("1 KiB", 1024), ("2 GiB", 2 << 30), ("7 B", 7), ("3 kB", 3000)],
)
def test_a_size_may_have_a_unit(tmp_path: Path, text: str, octets: int) -> None:
    (tmp_path / "v.toml").write_text(f'[limits]\nmax_body_bytes = "{text}"\n{HOST}')
    assert read_configuration(tmp_path / "v.toml").limits.max_body_bytes == octets


@pytest.mark.parametrize(("text", "seconds"), [("30 s", 30), ("5 min", 300), ("1h", 3600)])
def test_a_time_may_have_a_unit(tmp_path: Path, text: str, seconds: int) -> None:
    (tmp_path / "v.toml").write_text(f'[limits]\nidle_seconds = "{text}"\n{HOST}')
    assert read_configuration(tmp_path / "v.toml").limits.idle_seconds == seconds


@pytest.mark.parametrize("value", ['"100"', '"1 XB"', '"-1 MB"', '"1.5 GB"', '"99999 TiB"', '"5 min"', '""', '"MB"'])
def test_another_size_is_refused_with_an_example(tmp_path: Path, value: str) -> None:
    (said,) = problems(tmp_path, f"[limits]\nmax_body_bytes = {value}\n{HOST}")
    assert said.startswith(f"2: limits.max_body_bytes: found {value}: expected a whole number from 1 to ")
    assert 'such as "100 MB"' in said or '"100 MB"' in said


# --- What the configuration names and is not there --------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def checked(tree: Tree) -> tuple[int, str]:
    result = mtlsd("check", "--config", tree.configuration)
    return result.exit_code, result.stderr


def test_an_unknown_organization_is_said_at_its_line_with_those_that_exist(tree: Tree) -> None:
    text = tree.configuration.read_text().replace('organization = "EXAMPLE"', 'organization = "EXAMPEL"', 1)
    tree.configuration.write_text(text)
    line = text[: text.index("EXAMPEL")].count("\n") + 1
    code, said = checked(tree)
    assert code == 78
    assert f'{tree.configuration}:{line}: virtualhost.route.organization: found "EXAMPEL", but ' in said
    assert "(there is: EXAMPLE" in said


def test_a_host_without_its_directory_says_what_to_make(tree: Tree) -> None:
    (tree.certs / "hosts" / "as2.example.com").rename(tree.certs / "hosts" / "elsewhere")
    code, said = checked(tree)
    assert code == 78
    assert "as2.example.com: the directory does not exist" in said
    assert "make it, with chain.pem and key.pem" in said


@pytest.mark.parametrize(
    ("host", "hint"), [("as2.exampel.com", "did you mean as2.example.com?"), ("x", "the virtual hosts are as2.example")]
)
def test_a_partner_s_host_that_is_not_served_is_an_error_of_check(tree: Tree, host: str, hint: str) -> None:
    file = tree.certs / "partners" / "acme" / "partner.toml"
    file.write_text(f'as2_id = "ACME"\nhosts = ["{host}", "as2.example.com"]\n')
    code, said = checked(tree)
    assert code == 1
    assert f"{file}:2: hosts: {host} is not a virtual host; {hint}" in said


def test_dates_for_a_file_that_is_not_there_are_said_at_their_line(tree: Tree) -> None:
    file = tree.certs / "partners" / "acme" / "partner.toml"
    file.write_text('as2_id = "ACME"\n[[certificate]]\nfile = "gone.pem"\nretire_after = 2027-01-01\n')
    result = mtlsd("check", "--config", tree.configuration)
    assert f"{file}:3: certificate.file: no certificate for connections or messages is gone.pem" in result.stdout


def test_a_key_below_the_wrong_table_says_where_it_belongs(tree: Tree) -> None:
    file = tree.certs / "partners" / "acme" / "partner.toml"
    file.write_text('[match]\nsubject = "CN=x"\nas2_id = "ACME"\n')
    assert f"{file}:3: match.as2_id: unknown key here: it stands below [match]; put it above" in checked(tree)[1]
