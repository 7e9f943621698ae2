"""Tests by their names, so that tables of them can be checked."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@cache
def _defined(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


def exists(test: str) -> bool:
    """Whether there is a test `tests/file.py::name`."""
    file, _, name = test.partition("::")
    return name.startswith("test_") and (ROOT / file).is_file() and name in _defined(ROOT / file)
