"""Texts with `@name` for each value, because `$name` is for the shell."""

from collections.abc import Mapping
from string import Template


class _Template(Template):
    delimiter = "@"


def filled(text: str, values: Mapping[str, object]) -> str:
    """The text with its values; `@@` becomes `@`."""
    return _Template(text).substitute(values)
