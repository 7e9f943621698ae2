#!/usr/bin/env python3
"""The size and the shape of a package, in figures; with --against REV, those of an earlier commit beside them.

    scripts/measure.py                      mtlsd/, as it is
    scripts/measure.py --against HEAD~20    the figures of that commit, and today's
    scripts/measure.py tests --pair a.py b.py

Imports count wherever they are: at the top, inside functions and under TYPE_CHECKING. A module is a file other than
`__init__.py`; the length of a function includes its docstring.
"""

import argparse
import ast
import io
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS = (("sql/sqlite.py", "sql/postgres.py"),)
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
ASYNC = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed once."""

    path: Path  # relative to the tree, such as mtlsd/net/reload.py
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def name(self) -> str:
        """What an import calls it: mtlsd.net.reload, or mtlsd.net for its `__init__.py`."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if self.is_door else parts)

    @property
    def is_door(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def length(self) -> int:
        return len(self.text.splitlines())

    @property
    def functions(self) -> Iterator[int]:
        """The length of each function and method, from `def` to its last line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1

    @cached_property
    def code(self) -> list[str]:
        """The lines without comments, docstrings and blank lines."""
        lines = self.text.splitlines()
        numbers = _lines_of_tokens(self.text) - _lines_of_docstrings(self.tree)
        return [lines[number - 1] for number in sorted(numbers) if lines[number - 1].strip()]

    @property
    def imports(self) -> Iterator[tuple[str, str]]:
        """What is imported, as (module, name in it); the name is empty for `import module`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((node.module, alias.name) for alias in node.names)

    @property
    def is_async(self) -> bool:
        """Whether it awaits, or uses trio."""
        uses_trio = any(module.split(".")[0] == "trio" for module, _ in self.imports)
        return uses_trio or any(isinstance(node, ASYNC) for node in ast.walk(self.tree))


def _lines_of_tokens(text: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {line for each in tokens if each.type not in LAYOUT for line in range(each.start[0], each.end[0] + 1)}


def _lines_of_docstrings(tree: ast.Module) -> set[int]:
    owners = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners) and ast.get_docstring(node) is not None]
    return {line for body in bodies for line in range(body[0].lineno, (body[0].end_lineno or 0) + 1)}


# --- Figures ----------------------------------------------------------------------------------------------------------


class Figures:
    """All that is measured of one tree."""

    def __init__(self, root: Path, package: str) -> None:
        self.package = package
        files = sorted((root / package).rglob("*.py"))
        self.files = [Module(each.relative_to(root), each.read_text(encoding="utf-8")) for each in files]
        self.modules = [each for each in self.files if not each.is_door]
        self.sql = sum(_sql_lines(each) for each in (root / package).rglob("*.sql"))

    def rows(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Every figure by its title."""
        code = sum(len(each.code) for each in self.files)
        return {
            "modules": str(len(self.modules)),
            "lines of a module: median, 90th, longest": spread(each.length for each in self.modules),
            "lines of a function: median, 90th, longest": spread(n for each in self.files for n in each.functions),
            "lines of code, without comments and docstrings": str(code),
            "lines of SQL in files of their own": str(self.sql),
            "modules in the fullest directory": self.fullest_directory(),
            "modules in net/ that neither await nor use trio": str(len(self.synchronous)),
            "import cycles of modules": str(len(self.cycles)),
            "import cycles of packages": str(len(self.package_cycles)),
            **{f"lines that {a} and {b} share": self.shared(a, b) for a, b in pairs},
        }

    def fullest_directory(self) -> str:
        """The highest number of modules in one directory, and which that is."""
        counts = Counter(each.path.parent.as_posix() for each in self.modules)
        return " ".join(f"{n} ({directory})" for directory, n in counts.most_common(1)) or "0"

    @property
    def synchronous(self) -> list[str]:
        """The modules in net/ that could be anywhere."""
        net = Path(self.package, "net")
        return [each.path.as_posix() for each in self.modules if net in each.path.parents and not each.is_async]

    @cached_property
    def graph(self) -> Graph:
        """The modules that each module imports, and no libraries."""
        names = {each.name for each in self.files}
        return {each.name: {found for pair in each.imports if (found := resolve(*pair, names))} for each in self.files}

    @cached_property
    def cycles(self) -> list[list[str]]:
        return cycles_in(self.graph)

    @cached_property
    def package_cycles(self) -> list[list[str]]:
        rooms: dict[str, set[str]] = {}
        for name, imported in self.graph.items():
            here = _room(name)
            rooms.setdefault(here, set()).update({_room(each) for each in imported} - {here})
        return cycles_in(rooms)

    def shared(self, first: str, second: str) -> str:
        """How much of two files, found by the ends of their paths, is the same lines."""
        texts = [[each for each in self.files if each.path.match(name)] for name in (first, second)]
        if not all(texts):
            return "–"
        return f"{100 * likeness(*(found[0].code for found in texts)):.0f} %"


def _sql_lines(file: Path) -> int:
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return sum(1 for line in lines if line and not line.startswith("--"))


def _room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def spread(lengths: Iterable[int]) -> str:
    """The median, the 90th percentile and the maximum."""
    ordered = sorted(lengths)
    if not ordered:
        return "–"
    return f"{statistics.median(ordered):.0f}, {ordered[(len(ordered) * 9 - 1) // 10]}, {ordered[-1]}"


def resolve(module: str, name: str, known: set[str]) -> str | None:
    """Which of our modules an import means: `from mtlsd import log` is mtlsd.log; None for a library."""
    whole = f"{module}.{name}" if name else module
    return whole if whole in known else module if module in known else None


def cycles_in(graph: Graph) -> list[list[str]]:
    """The groups of nodes that all reach each other, and a node that reaches itself."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {frozenset(b for b in reach[a] if a in reach[b]) for a in graph}
    return sorted(sorted(group) for group in groups if group)


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def likeness(first: list[str], second: list[str]) -> float:
    """The share of all lines that the other file has as well, whatever the indentation and the order."""
    ours, theirs = (Counter(_normalised(each)) for each in (first, second))
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 0.0


def _normalised(lines: Iterable[str]) -> Iterator[str]:
    """Lines with single blanks; a line without a word, such as a bracket, is nobody's copy."""
    return (" ".join(line.split()) for line in lines if re.search(r"\w", line))


# --- The command ------------------------------------------------------------------------------------------------------


def main() -> int:
    """Print the figures, and the names behind those that should be low."""
    options = _options()
    columns = {"now": Figures(ROOT, options.package)}
    if options.against:
        columns = {options.against: earlier(options.against, options.package), **columns}
    print(table({title: each.rows(options.pair or PAIRS) for title, each in columns.items()}))
    print(*details(columns["now"]), sep="\n", end="")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The size and the shape of a package, in figures.")
    parser.add_argument("package", nargs="?", default="mtlsd", help="a directory of this repository (default: mtlsd)")
    parser.add_argument("--against", metavar="REV", help="a commit to compare with")
    pair_help = "two files, by the ends of their paths, that may have lines in common; more than once for more pairs"
    parser.add_argument("--pair", nargs=2, action="append", metavar=("A", "B"), help=pair_help)
    return parser.parse_args()


def earlier(revision: str, package: str) -> Figures:
    """The figures of a commit, out of a temporary copy."""
    archive = subprocess.run(["git", "archive", revision, package], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x"], cwd=folder, check=True, input=archive.stdout)
        return Figures(Path(folder), package)


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """The figures in Markdown, so that they can go into a document as they are."""
    titles = list(next(iter(columns.values())))
    rows = [["", *columns], *([title, *(each[title] for each in columns.values())] for title in titles)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows)
    return "\n".join([head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *body])


def details(figures: Figures) -> Iterator[str]:
    """What the figures that should be low are made of."""
    yield from (f"neither awaits nor uses trio: {each}" for each in figures.synchronous)
    for each in (*figures.package_cycles, *figures.cycles):
        yield f"import each other: {', '.join(each)}"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
