"""What was asked for and cannot be: a reason that no mtlsd gives, a partner that nobody knows."""

from difflib import get_close_matches
from pathlib import Path

import click

from mtlsd import errors
from mtlsd.journal.protocol import Journal

SHOWN = 3  # names that are alike


class ReasonCode(click.ParamType[str]):
    """A reason code of docs/errors.md."""

    name = "reason"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in (known := reasons()):
            alike = get_close_matches(value.lower()[:60], sorted(known), n=SHOWN, cutoff=0.4)
            near = f": did you mean {', '.join(alike)}?" if alike else ": docs/errors.md has all of them"
            self.fail(f"there is no reason {value!r}{near}", param, ctx)
        return value


def reasons() -> frozenset[str]:
    """Every reason that a refusal or an attempt may have."""
    found = (getattr(each, "reason", None) for each in vars(errors).values() if isinstance(each, type))
    return frozenset(each for each in found if isinstance(each, str))


def knows_partner(opened: Journal, certs: Path, partner: str) -> bool:
    """Whether there is a directory of this partner, or anything of it in the journal."""
    return (
        partner in _names(certs / "partners")
        or bool(opened.messages(limit=1, partner=partner))
        or bool(opened.refusals(limit=1, partner=partner))
    )


def nobody(certs: Path, partner: str) -> str:
    """That this partner is not known, and who is meant perhaps."""
    alike = get_close_matches(partner[:60], _names(certs / "partners"), n=SHOWN)
    near = f"; did you mean {' or '.join(alike)}?" if alike else ""
    return f"nobody knows a partner {partner!r}: none is in {certs / 'partners'} or in the journal{near}"


def _names(directory: Path) -> list[str]:
    try:
        return sorted(each.name for each in directory.iterdir() if each.is_dir())
    except OSError:  # the journal is what was asked about
        return []
