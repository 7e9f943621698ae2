"""State for a second pass over a body: what follows the content of a message, and is needed before the content."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hints:
    """Values that follow the content of a message and are needed before it."""

    digests: frozenset[str] = frozenset()  # digest algorithms that nothing announced
    authenticated_attributes: bytes = b""  # of an AuthEnvelopedData, in DER as a SET
    is_signed: bool = False  # a signature of the partner verified over the compressed content


class ReadAgain(Exception):
    """Read the whole body once more, with these hints. Not a refusal."""

    def __init__(self, hints: Hints) -> None:
        super().__init__(hints)
        self.hints = hints
