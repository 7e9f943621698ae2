"""The text of columns that hold more than text: how it is written, and read.

The digests of the hash chain are over this text as well. So it is a stored format: what was written once is read, and
written again, as the same characters, for as long as there are journals. Pure.
"""


def targets_text(targets: tuple[str, ...]) -> str:
    """The URLs of a delivery, with blanks between: no URL contains a blank."""
    return " ".join(targets)


def targets(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))
