"""Times that operators type: ISO 8601, an age, or words such as `yesterday`."""

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds
_NAMED_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}  # seconds
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_AGE = re.compile(r"([0-9]+)([smhd])")
_AGO = re.compile(rf"([0-9]+) ({'|'.join(_NAMED_UNITS)})s? ago")
_LAST = re.compile(rf"last ({'|'.join(_DAYS)})")


class Moment(click.ParamType[float]):
    """A time, in seconds of the epoch; a time without a zone and the beginnings of days are in UTC."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return value
        try:
            return moment_of(value, datetime.now(UTC)).timestamp()
        except (ValueError, OverflowError):
            forms = "today, yesterday, 'last tuesday' or '3 days ago'"
            text = f"{value!r} is neither a time such as 2026-11-21T08:00 (UTC) nor an age such as 36h, nor {forms}"
            self.fail(text, param, ctx)


def moment_of(text: str, now: datetime) -> datetime:
    """The time that the text means; raises ValueError or OverflowError.

    `today` and `yesterday` begin at midnight UTC. `last tuesday` is the beginning of the last Tuesday before today.
    """
    words = " ".join(text.lower().split())
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if words in ("today", "yesterday"):
        return today - timedelta(days=words == "yesterday")
    if last := _LAST.fullmatch(words):
        return today - timedelta(days=(today.weekday() - _DAYS.index(last[1]) - 1) % 7 + 1)
    if ago := _AGO.fullmatch(words):
        return now - timedelta(seconds=int(ago[1]) * _NAMED_UNITS[ago[2]])
    if age := _AGE.fullmatch(text):
        return now - timedelta(seconds=int(age[1]) * _UNITS[age[2]])
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
