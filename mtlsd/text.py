"""Text of others on a terminal: none of it may command the terminal, or look like what it is not."""


def printable(text: str) -> str:
    r"""The text with an escape such as \x1b for every character that is not visible, line ends included."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
