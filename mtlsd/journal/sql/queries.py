"""The SQL of the journals: files of named queries, and numbered migrations, of which the n-th makes version n."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_SQL = files("mtlsd.journal").joinpath("sql")


def load_queries(name: str) -> Mapping[str, str]:
    """The queries of a file in `sql/`, by the names that stand before them."""
    text = _SQL.joinpath(name).read_text()
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return MappingProxyType(dict(zip(parts[::2], parts[1::2], strict=True)))


def load_migrations(database: str) -> tuple[str, ...]:
    """The scripts `sql/<database>_0001.sql` and so on, in their order."""
    numbered = sorted(each.name for each in _SQL.iterdir() if re.fullmatch(rf"{database}_\d{{4}}\.sql", each.name))
    return tuple(_SQL.joinpath(name).read_text() for name in numbered)
