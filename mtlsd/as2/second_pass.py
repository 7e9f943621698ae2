"""What one pass over a message may find missing, so that the next pass has it from the beginning."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hints:
    """What comes behind the content, and is needed before it."""

    digests: frozenset[str] = frozenset()  # that nothing announced
    authenticated_attributes: bytes = b""  # of an AuthEnvelopedData, in DER as a SET


class ReadAgain(Exception):
    """Read the whole body once more, with these hints. Not a refusal."""

    def __init__(self, hints: Hints) -> None:
        super().__init__(hints)
        self.hints = hints
