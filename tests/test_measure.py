"""The figures of scripts/measure.py, on a package that is small enough to count by hand."""

from pathlib import Path

import pytest

from scripts.measure import Figures, cycles_in, likeness, spread

FILES = {
    "__init__.py": '"""A door."""\n',
    "net/__init__.py": "",
    "net/waits.py": "async def wait() -> None:\n    await wait()\n",
    "net/uses.py": "import trio\n",
    "net/plain.py": "# a comment\n\nfrom house import log\n",
    "log.py": '"""A docstring\nof two lines."""\n\nTEXT = """\nNo docstring.\n"""  # three lines of code\n',
    "tls/engine.py": "def open():\n    from house.net import plain\n    return plain\n",
    "net/late.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.tls.engine import open\n",
    "sql/rows.sql": "-- a comment\n\nselect 1;\n",
}


@pytest.fixture
def figures(tmp_path: Path) -> Figures:
    for name, text in FILES.items():
        file = tmp_path / "house" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Figures(tmp_path, "house")


def test_comments_docstrings_and_blank_lines_are_no_code(figures: Figures) -> None:
    code = {each.path.name: len(each.code) for each in figures.modules}
    assert code == {"waits.py": 2, "uses.py": 1, "plain.py": 1, "log.py": 3, "engine.py": 3, "late.py": 3}
    assert figures.sql == 1


def test_a_module_in_net_without_await_and_trio_is_named(figures: Figures) -> None:
    assert figures.synchronous == ["house/net/late.py", "house/net/plain.py"]


def test_the_fullest_directory_is_named(figures: Figures) -> None:
    assert figures.fullest_directory() == "4 (house/net)"


def test_an_import_counts_wherever_it_is(figures: Figures) -> None:
    assert figures.graph["house.net.plain"] == {"house.log"}
    assert figures.graph["house.tls.engine"] == {"house.net.plain"}
    assert figures.graph["house.net.late"] == {"house.tls.engine"}
    assert figures.cycles == []
    assert figures.package_cycles == [["house.net", "house.tls"]]


def test_whoever_reaches_itself_is_in_a_cycle() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"f"}}
    assert cycles_in(graph) == [["a", "b", "c"], ["f"]]


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        (["x = 1"], ["    x  =  1"], 1.0),  # indentation and blanks do not count
        (["x = 1", "y = 2"], ["y = 2", "x = 1"], 1.0),  # nor does the order
        (["x = 1", "y = 2"], ["x = 1", "z = 3"], 0.5),
        (["x = 1"], ["x = 1", "x = 1", "z = 3"], 0.5),  # one line is copied once
        (["x = f(", ")"], ["y = f(", ")"], 0.0),  # a bracket is nobody's copy
        ([], [], 0.0),
    ],
)
def test_two_files_share_the_lines_that_both_have(first: list[str], second: list[str], share: float) -> None:
    assert likeness(first, second) == share


@pytest.mark.parametrize(
    ("lengths", "said"), [([], "–"), ([7], "7, 7, 7"), (list(range(1, 11)), "6, 9, 10"), ([1, 2, 30], "2, 30, 30")]
)
def test_lengths_are_given_as_median_ninetieth_percentile_and_maximum(lengths: list[int], said: str) -> None:
    assert spread(lengths) == said
