"""The types of the keys of TOML files: validators for `Annotated` in the model of a file.

Each validator parses a value of tomllib, or raises ValueError with the expected form, and never with the value itself.
`values` has the types of texts.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, with_config

from mtlsd.config import values

table = with_config(ConfigDict(extra="forbid"))  # decorates a dataclass that is a table of a file: forbids other keys


def key(name: str | None = None, *, example: str | None = None) -> Any:
    """The name of a key, if it differs from that of the field; for a mandatory key, an example value in TOML."""
    return Field(alias=name, examples=[example] if example else None)


def text(parse: Callable[[str], object]) -> PlainValidator:
    """A text that `parse` accepts."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("expected text in quotes")
        return parse(value)

    return PlainValidator(validate)


def number(lowest: int, highest: int) -> PlainValidator:
    """A whole number within bounds; true and 1.0 are not whole numbers."""

    def validate(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError(f"expected a whole number from {lowest} to {highest}")
        return value

    return PlainValidator(validate)


_SIZES = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(("k", "M", "G", "T"), 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate(("K", "M", "G", "T"), 1)},
}
_TIMES = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_MEASURED = re.compile(r"([0-9]{1,15}) ?([A-Za-z]+)")


def size(lowest: int, highest: int) -> PlainValidator:
    """A number of octets: whole, or a text such as "100 MB" or "64 KiB"."""
    return _measured(lowest, highest, _SIZES, 'a size such as "100 MB" or "64 KiB"')


def seconds(lowest: int, highest: int) -> PlainValidator:
    """A number of seconds: whole, or a text such as "30 s", "5 min", "2 h" or "3 d"."""
    return _measured(lowest, highest, _TIMES, 'a time such as "30 s" or "5 min"')


def _measured(lowest: int, highest: int, units: Mapping[str, int], like: str) -> PlainValidator:
    def validate(value: object) -> int:
        found = _MEASURED.fullmatch(value) if isinstance(value, str) else None
        if found and found[2] in units:
            value = int(found[1]) * units[found[2]]
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError(f"expected a whole number from {lowest} to {highest}, or {like}")
        return value

    return PlainValidator(validate)


def one_or_more(parse: Callable[[str], object]) -> PlainValidator:
    """A text that `parse` accepts, or a list of different texts."""

    def validate(value: object) -> tuple[object, ...]:
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(each, str) for each in listed):
            raise ValueError("expected text in quotes, or a list of such texts")
        if len(set(listed)) < len(listed):
            raise ValueError("expected each of the list once")
        return tuple(map(parse, listed))

    return PlainValidator(validate)


def texts(
    parse: Callable[[str], object], expected: str, into: Callable[[Iterable[object]], object] = tuple
) -> PlainValidator:
    """A list of texts that `parse` accepts, without repeated values; the list may be empty."""

    def validate(value: object) -> object:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError(f"expected {expected}")
        return into(dict.fromkeys(map(parse, value)))

    return PlainValidator(validate)


def choice(known: Iterable[str | int], later: tuple[str, ...] = ()) -> PlainValidator:
    """One of some values; there is a special message for values that are reserved for a later version."""
    served: dict[object, str | int] = {each: each for each in known}
    listed = ", ".join(map(json.dumps, served))

    def validate(value: object) -> str | int:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value in served:
            return served[value]
        if value in later:
            raise ValueError(f"this is not served by this version; expected {listed}")
        raise ValueError(f"expected one of {listed}" if len(served) > 1 else f"expected {listed}")

    return PlainValidator(validate)


def choices(known: Iterable[str]) -> PlainValidator:
    """A list of known names, as a set."""
    served = {each: each for each in known}
    expected = f"a list of {', '.join(served) or 'nothing'}"

    def parse(value: str) -> str:
        if value not in served:
            raise ValueError(f"expected {expected}")
        return served[value]

    return texts(parse, expected, into=frozenset)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _days(value: object) -> tuple[int, ...]:
    listed = value if isinstance(value, list) else []
    if not listed or any(type(each) is not int or not 0 <= each <= 3650 for each in listed):
        raise ValueError("expected a list of whole numbers from 0 to 3650, such as [30, 7, 0]")
    if len(set(listed)) < len(listed):
        raise ValueError("expected each of the list once")
    return tuple(sorted(listed, reverse=True))


def _as2_ids(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) and value else [value]
    return tuple(dict.fromkeys(values.as2_id(each if isinstance(each, str) else "") for each in listed))


def _moment(of_day: time) -> PlainValidator:
    def validate(value: object) -> datetime:
        if isinstance(value, datetime) and value.tzinfo is not None:
            with suppress(OverflowError):  # at either end of the calendar, UTC may be outside of it
                return value.astimezone(UTC)
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, of_day, UTC)
        raise ValueError(
            "expected a day such as 2027-01-15, or a moment such as 2027-01-15T08:00:00Z, without quotation marks"
        )

    return PlainValidator(validate)


Flag = Annotated[bool, PlainValidator(_flag)]
Days = Annotated[tuple[int, ...], PlainValidator(_days)]  # different numbers, the largest first
AS2Id = Annotated[str, text(values.as2_id)]
AS2Ids = Annotated[tuple[str, ...], PlainValidator(_as2_ids)]  # one id, or a list of ids
FirstMoment = Annotated[datetime, _moment(time.min)]  # a moment with its offset, or the first moment of a day in UTC
LastMoment = Annotated[datetime, _moment(time.max)]  # a moment with its offset, or the last moment of a day in UTC
RelativePath = Annotated[str, text(values.relative_path)]
Fingerprint = Annotated[str, text(values.fingerprint)]
