""" "Did you mean …?" for unknown reason codes and partners."""

from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

import click

from mtlsd import errors
from mtlsd.journal.sql.journal import Journal

SHOWN = 3  # similar names


class ReasonCode(click.ParamType[str]):
    """A reason code of docs/errors.md."""

    name = "reason"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in (known := reasons()):
            alike = get_close_matches(value.lower()[:60], sorted(known), n=SHOWN, cutoff=0.4)
            near = f"; did you mean {', '.join(alike)}?" if alike else "."
            self.fail(f"unknown reason {value!r}{near} The reasons are {', '.join(sorted(known))}", param, ctx)
        return value


def reasons() -> frozenset[str]:
    """Every reason that a refusal or a delivery attempt may have."""
    found = (getattr(each, "reason", None) for each in vars(errors).values() if isinstance(each, type))
    return frozenset(each for each in found if isinstance(each, str))


def knows_partner(opened: Journal, certs: Path, partner: str) -> bool:
    """Whether the partner has a directory, or any record in the journal."""
    records = opened.messages(limit=1, partner=partner) or opened.refusals(limit=1, partner=partner)
    return bool(records) or partner in _names(certs / "partners")


def nobody(certs: Path, partner: str) -> str:
    """The message about an unknown partner, with similar names."""
    alike = get_close_matches(partner[:60], _names(certs / "partners"), n=SHOWN)
    near = f"; did you mean {' or '.join(alike)}?" if alike else ""
    return f"unknown partner {partner!r}: not in {certs / 'partners'} and not in the journal{near}"


def _names(directory: Path) -> list[str]:
    with suppress(OSError):  # the command is about the journal
        return sorted(each.name for each in directory.iterdir() if each.is_dir())
    return []
