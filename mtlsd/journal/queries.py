"""The SQL of the journals: files of named queries, and numbered migrations."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType


def load_queries(name: str) -> Mapping[str, str]:
    """The queries of a file in `sql/`, by the names that stand before them."""
    text = files("mtlsd.journal").joinpath("sql", name).read_text()
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return MappingProxyType(dict(zip(parts[::2], parts[1::2], strict=True)))
