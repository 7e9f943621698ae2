"""The output of the demo: headings, labelled lines, and a tick for each expectation that was met."""

import os
import sys
import textwrap

WIDTH = 110
INDENT = " " * 14


class Failed(Exception):
    """An expectation of the demo was not met."""


class Show:
    """Writes to stdout; in colour only on a terminal."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace", line_buffering=True)

    def heading(self, text: str) -> None:
        print(f"\n{self._painted('1', text)}")

    def line(self, label: str, *texts: str) -> None:
        """A label, and its texts one below the other; long texts are wrapped."""
        for text in texts:
            print(textwrap.fill(text, WIDTH, initial_indent=f"   {label:<10} ", subsequent_indent=INDENT))
            label = ""

    def expect(self, holds: bool, what: str) -> None:
        """Print a tick, or raise Failed."""
        if not holds:
            raise Failed(f"expectation not met: {what}")
        print(f" {self.tick(True)} {what}")

    def tick(self, holds: bool | None) -> str:
        """A mark for success, for failure, and for a step that was not reached (None)."""
        marks = {True: ("32", "✓"), False: ("31", "✗"), None: ("2", "-")}
        return self._painted(*marks[holds])

    def _painted(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
