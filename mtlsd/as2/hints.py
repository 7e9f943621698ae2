"""What one pass over a message may find missing, so that the next pass has it from the beginning."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hints:
    """Digests that nothing announced before the content."""

    digests: frozenset[str] = frozenset()


class ReadAgain(Exception):
    """Read the whole body once more, with these hints. Not a refusal."""

    def __init__(self, hints: Hints) -> None:
        super().__init__(hints)
        self.hints = hints
