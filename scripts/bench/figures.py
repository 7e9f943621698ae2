"""The table that a benchmark prints: each figure beside what is to be reached, and beside a peer in the same run."""

from collections.abc import Iterable
from dataclasses import dataclass

HEADINGS = ("figure", "to reach", "measured", "beside it, in the same run")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `reached` is None where nothing is to be reached."""

    name: str
    to_reach: str
    measured: str
    peer: str = ""
    reached: bool | None = None

    def cells(self) -> tuple[str, ...]:
        missed = "  MISSED" if self.reached is False else ""
        return self.name, self.to_reach, self.measured + missed, self.peer


def table(figures: Iterable[Figure]) -> str:
    """The figures in columns."""
    rows = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
