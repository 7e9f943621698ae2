"""The layering of docs/architecture.md, as data. A breach fails here, with the file and the line."""

import ast
from collections.abc import Iterator
from pathlib import Path
from sys import stdlib_module_names

import pytest

ROOT = Path(__file__).parent.parent / "mtlsd"

CORE = {"errors", "config", "identity", "access", "http", "as2", "journal", "relay", "tls"}
BELOW_NET = CORE | {"log", "metrics", "handlers"}

# package or module: (what of ours it may import, which third-party libraries are at home in it)
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "terminal": (set(), set()),
    "log": ({"terminal"}, {"structlog"}),
    "metrics": (set(), {"prometheus_client"}),
    "config": ({"errors"}, {"pydantic"}),
    "identity": ({"errors", "config"}, {"asn1crypto"}),
    "tls": ({"errors", "config", "identity"}, {"OpenSSL"}),
    "http": ({"errors", "config"}, {"h11"}),
    "access": ({"errors", "config", "identity"}, set()),
    "as2": ({"errors", "identity"}, {"asn1crypto", "pyas2lib"}),
    "journal": ({"errors"}, {"psycopg"}),
    "relay": ({"errors", "http", "journal"}, set()),
    "handlers": (BELOW_NET - {"tls", "handlers"}, set()),
    "net": (BELOW_NET, {"trio", "h11"}),
    "app": (BELOW_NET | {"net"}, {"trio"}),
    "cli": (BELOW_NET | {"net", "app", "terminal"}, {"click", "rich", "trio"}),
    "__main__": ({"cli"}, set()),
    "__init__": (set(), set()),
}
EVERYWHERE = {"cryptography"}
AWAITING = {"net", "app"}  # the only places with `async def`; cli runs them
CLOCKS = {"time", "datetime"}  # attributes that read the clock are forbidden below, not the modules
CLOCK_CALLS = {"time.time", "time.time_ns", "time.monotonic", "datetime.now", "datetime.utcnow", "date.today"}
SOCKETS = {"socket", "ssl", "asyncio", "selectors", "http.client", "http.server", "urllib.request"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_allows(path: Path) -> None:
    here = room(path)
    ours, libraries = LAYERS[here]
    for line, name in imports(ast.parse(path.read_text())):
        top, *rest = name.split(".")
        where = f"{path}:{line}: {here} may not import {name}"
        if top == "mtlsd" and rest:
            assert rest[0] == here or rest[0] in ours, where
        elif top not in stdlib_module_names and top != "mtlsd":
            assert top in EVERYWHERE | libraries, where


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_net_and_app_are_async(path: Path) -> None:
    if room(path) in AWAITING:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path}:{node.lineno}: async"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_core_module_reads_no_clock_logs_nothing_and_opens_no_socket(path: Path) -> None:
    if room(path) not in CORE | {"handlers"}:
        return
    tree = ast.parse(path.read_text())
    for line, name in imports(tree):
        assert name not in SOCKETS, f"{path}:{line}: {name}"
        assert name.split(".")[0] not in {"logging", "structlog"}, f"{path}:{line}: {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in CLOCK_CALLS, f"{path}:{node.lineno}: takes `now` instead"


def test_the_table_names_every_room() -> None:
    assert {room(path) for path in modules()} <= LAYERS.keys()


def test_a_package_opens_its_front_door_with_a_docstring() -> None:
    for init in ROOT.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init
