"""The one rule of docs/architecture.md and the homes of libraries, as data; a breach is named by file and line."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from sys import stdlib_module_names

import pytest

ROOT = Path(__file__).parent.parent / "mtlsd"

# A package imports only what stands to its left.
ORDER = (
    "__init__ errors text ids · files config · pki · journal · partners · relay · tls http as2 · snapshot · access · "
    "handlers · net · app · cli · __main__"
)
RANKS = {name: rank for rank, name in enumerate(ORDER.replace("·", " ").split())}
BESIDE = {  # used by `net` and what stands right of it; what they import
    "log": {"text", "log_lines"},
    "log_lines": set[str](),
    "metrics": set[str](),
}

# The third-party libraries, and the rooms that are their homes.
HOMES = {
    "OpenSSL": {"tls"},
    "asn1crypto": {"pki", "as2"},
    "click": {"cli"},
    "cryptography": RANKS.keys() | BESIDE,
    "h11": {"http", "net"},
    "prometheus_client": {"metrics"},
    "psycopg": {"journal"},
    "pyas2lib": {"as2"},
    "pydantic": {"config"},
    "rich": {"cli"},
    "structlog": {"log"},
    "trio": {"net", "app", "cli"},
}
AWAITING = {"net", "app"}  # the only places with `async def`; cli runs them
CLOCK_CALLS = {"time.time", "time.time_ns", "time.monotonic", "datetime.now", "datetime.utcnow", "date.today"}
SOCKETS = {"socket", "ssl", "asyncio", "selectors", "http.client", "http.server", "urllib.request"}

MOST_MODULES = 20  # of a directory, beside __init__.py
MOST_QUIET = 4  # modules below net/ that neither await nor use trio


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def dotted(path: Path) -> str:
    parts = ("mtlsd", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path): path for path in modules()}
each_module = pytest.mark.parametrize("path", modules(), ids=named)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a module imports, wherever in it, with the line; of ours to the very module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield node.lineno, below if below in NAMES else node.module


def left_of(name: str) -> set[str]:
    """What a package may import, beside itself."""
    if name in BESIDE:
        return BESIDE[name]
    allowed = {other for other, rank in RANKS.items() if rank < RANKS[name]}
    return allowed | BESIDE.keys() if RANKS[name] >= RANKS["net"] else allowed


def is_left_of_net(path: Path) -> bool:
    return RANKS.get(room(path), RANKS["net"]) < RANKS["net"]


@each_module
def test_a_package_imports_only_what_stands_to_its_left(path: Path) -> None:
    here = room(path)
    for line, name in imports(path):
        top, *rest = name.split(".")
        if top == "mtlsd":
            other = rest[0] if rest else "__init__"
            assert other == here or other in left_of(here), f"{path}:{line}: {here} may not import {name}"


@each_module
def test_a_library_is_used_at_home_only(path: Path) -> None:
    for line, name in imports(path):
        top = name.split(".")[0]
        if top != "mtlsd" and top not in stdlib_module_names:
            assert room(path) in HOMES.get(top, set()), f"{path}:{line}: {top} has its home elsewhere"


@each_module
def test_only_net_and_app_are_async(path: Path) -> None:
    if room(path) in AWAITING:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path}:{node.lineno}: async"


@each_module
def test_nothing_left_of_net_reads_a_clock_logs_or_opens_a_socket(path: Path) -> None:
    if not is_left_of_net(path):
        return
    for line, name in imports(path):
        assert name not in SOCKETS, f"{path}:{line}: {name}"
        assert name.split(".")[0] not in {"logging", "structlog"}, f"{path}:{line}: {name}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in CLOCK_CALLS, f"{path}:{node.lineno}: takes `now` instead"


def test_no_module_imports_itself_over_others() -> None:
    """Imports inside functions and under TYPE_CHECKING count."""
    graph = {name: {other for _, other in imports(path) if other in NAMES} for name, path in NAMES.items()}
    done: set[str] = set()

    def follow(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " > ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                follow(other, (*above, name))
            done.add(name)

    for name in sorted(graph):
        follow(name, ())


def test_the_line_names_every_room() -> None:
    assert {room(path) for path in modules()} == RANKS.keys() | BESIDE.keys()


def test_no_directory_is_a_heap() -> None:
    for directory in {path.parent for path in modules()}:
        assert len([path for path in directory.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES, directory


def test_net_is_for_what_waits() -> None:
    quiet = [path for path in (ROOT / "net").rglob("*.py") if path.name != "__init__.py" and not _waits(path)]
    assert len(quiet) <= MOST_QUIET, quiet


def _waits(path: Path) -> bool:
    awaits = any(isinstance(node, ast.Await) for node in ast.walk(ast.parse(path.read_text())))
    return awaits or any(name.split(".")[0] == "trio" for _, name in imports(path))


def test_a_public_class_has_a_name_of_its_own() -> None:
    """One word for one thing, so that a name that is searched for is found in one place."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(named(path))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_a_package_opens_with_a_docstring() -> None:
    for init in ROOT.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init
