"""Reads a TOML file with a model: returns a value of the model, and a list of all problems.

A model is a dataclass whose fields have the types of `fields`; pydantic checks each key alone. Every message has the
form `FILE:LINE: key: found X: expected Y`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mtlsd.config.document import TOMLDocument, advise, read_document, shown
from mtlsd.errors import ConfigurationError, Problem

T = TypeVar("T")
Names = tuple[str, ...]  # the path of a table in a file, without the indexes of arrays


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file: its header and its keys, with an example of each mandatory key."""

    header: str
    keys: dict[str, str]


class Schema(Generic[T]):
    """The schema of a file, to be created once for each model, because pydantic takes long to create it."""

    def __init__(self, model: type[T]) -> None:
        self.tables: dict[Names, Table] = dict(_tables((), model, ""))
        self._adapter = TypeAdapter(model)

    def check(self, document: TOMLDocument) -> tuple[T | None, tuple[Problem, ...]]:
        """The value of the file, and every problem in the order of the lines.

        If there are problems, the value has only the top-level keys without problems; None if they do not suffice.
        """
        try:
            return self._adapter.validate_python(document.tables), ()
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
        problems = [document.problem(each["loc"], self._message(each)) for each in mistakes]
        wrong = {each["loc"][0] for each in mistakes}
        rest = {key: value for key, value in document.tables.items() if key not in wrong}
        return self._rest(rest), tuple(sorted(problems, key=lambda each: each.line or 0))

    def _rest(self, tables: dict[str, Any]) -> T | None:
        try:
            return self._adapter.validate_python(tables)
        except ValidationError:
            return None

    def _message(self, mistake: Any) -> str:
        names = tuple(part for part in mistake["loc"] if isinstance(part, str))
        table = self.tables.get(names)
        match mistake["type"]:
            case "missing":
                line = table.header if table else self.tables[names[:-1]].keys[names[-1]]
                return f"is missing: expected a line such as {line}"
            case "unexpected_keyword_argument":
                return self._unknown(names)
            case "tuple_type" if table:
                words = f"expected tables, each under {table.header}"
            case "dataclass_type" if table:
                words = f"expected a table, {table.header}"
            case "value_error" if table:  # about several keys
                return str(mistake["ctx"]["error"])
            case "value_error":
                words = str(mistake["ctx"]["error"])
            case _:
                words = mistake["msg"]
        return f"found {shown(mistake['input'])}: {words}{self._example(names, mistake['input'])}"

    def _example(self, names: Names, found: object) -> str:
        """An example of a text, if the value is none."""
        above = self.tables.get(names[:-1])
        example = above.keys.get(names[-1], "").partition(" = ")[2] if above else ""
        return f", such as {example}" if example.startswith('"') and not isinstance(found, str | list) else ""

    def _unknown(self, names: Names) -> str:
        *above, key = names
        if key in self.tables[()].keys and (key,) not in self.tables:
            header = self.tables[tuple(above)].header
            return f"unknown key here: it stands below {header}; put it above, before the first [table]"
        home = next((each for path, each in self.tables.items() if path and key in each.keys), None)
        if home:
            return f"unknown key here; it belongs under {home.header}"
        return advise(key, self.tables[tuple(above)].keys)


class Reading(NamedTuple, Generic[T]):
    """The result of reading a file: `value` and `problems` are those of `Schema.check`."""

    document: TOMLDocument
    value: T | None
    problems: tuple[Problem, ...]


def read_toml(file: Path, schema: Schema[T], within: Path | None = None, *, may_be_missing: bool = False) -> Reading[T]:
    """Read a file and check it; never raises, whatever the file is. `within` is as for `read_document`."""
    document = TOMLDocument(file, {}, "")
    try:
        if os.path.lexists(file) or not may_be_missing:
            document = read_document(file, within)
    except ConfigurationError as error:
        return Reading(document, None, error.problems)
    return Reading(document, *schema.check(document))


# --- The tables of a model, for messages ----------------------------------------------------------------------


def _tables(path: Names, model: type[Any], header: str) -> Iterator[tuple[Names, Table]]:
    """The table of a model, and the tables below it."""
    hints = get_type_hints(model, include_extras=True)
    keys, below = {}, []
    for each in fields(model):
        hint, *marks = get_args(hints[each.name]) if get_origin(hints[each.name]) is Annotated else (hints[each.name],)
        about = next((mark for mark in marks if isinstance(mark, FieldInfo)), FieldInfo())
        name = about.alias or each.name
        keys[name] = f"{name} = {about.examples[0]}" if about.examples else ""
        if not any(isinstance(mark, PlainValidator) for mark in marks):
            below += [
                (name, part, get_origin(hint) is tuple)
                for part in (hint, *get_args(hint))
                if isinstance(part, type) and is_dataclass(part)
            ]
    yield path, Table(header, keys)
    for name, part, is_array in below:
        place = (*path, name)
        dotted = ".".join(place)
        yield from _tables(place, part, f"[[{dotted}]]" if is_array else f"[{dotted}]")
