"""The SQL of the journals: files of named queries, and numbered migrations, the n-th of which makes version n.

`journal.sql` and `proof.sql` are for every database, and each database has a file with its own queries.
"""

import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from types import MappingProxyType

_SQL = files("mtlsd.journal").joinpath("sql")
_SHARED = ("journal.sql", "proof.sql")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries(database: str, spell: Callable[[str], str]) -> Mapping[str, str]:
    """The queries of one database by name; `spell` translates a query for this database."""
    queries: dict[str, str] = {}
    for file in (*_SHARED, f"{database}.sql"):
        _, *parts = _NAME.split(_SQL.joinpath(file).read_text())
        found = dict(zip(parts[::2], map(spell, parts[1::2]), strict=True))
        assert not queries.keys() & found.keys(), "a query is in one file only"
        queries |= found
    return MappingProxyType(queries)


def load_migrations(database: str) -> tuple[str, ...]:
    """The scripts `sql/<database>_0001.sql` and so on, in their order."""
    numbered = sorted(each.name for each in _SQL.iterdir() if re.fullmatch(rf"{database}_\d{{4}}\.sql", each.name))
    return tuple(_SQL.joinpath(name).read_text() for name in numbered)


def newer_version(version: int, ours: int) -> str:
    """The message about a journal whose version is newer than ours."""
    advice = "install the newer mtlsd again, or restore the backup that was made before the update"
    return f"the journal has version {version}, from a newer mtlsd; this one knows {ours}: {advice}"
