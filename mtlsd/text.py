"""Text of others: none of it may command a terminal, look like what it is not, or fill a log."""

LONGEST = 256  # characters of a value that a peer chose


def printable(text: str) -> str:
    r"""The text with an escape such as \x1b for every character that is not visible, line ends included."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def cut(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and its length: a peer must not choose how much is written."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"
