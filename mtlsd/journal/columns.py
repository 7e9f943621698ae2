"""The text of columns that hold more than text: how it is written, and read.

The digests of the hash chain are over this text as well. So it is a stored format: what was written once is read, and
written again, as the same characters, for as long as there are journals. Pure.
"""

from mtlsd.journal.model import Lane

_ORDERED = "ordered "  # how the name of an ordered lane begins; the queries compare with it


def targets_text(targets: tuple[str, ...]) -> str:
    """The URLs of a delivery, with blanks between: no URL contains a blank."""
    return " ".join(targets)


def targets(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


def lane_text(lane: Lane) -> str:
    return f"{_ORDERED}{lane.name}" if lane.ordered else lane.name


def lane(text: str) -> Lane:
    return Lane(text.removeprefix(_ORDERED), ordered=text.startswith(_ORDERED))
