"""How the demo speaks: headings, what was sent and got, and a tick for each thing that held."""

import os
import sys
import textwrap

WIDTH = 110
INDENT = " " * 14


class Failed(Exception):
    """Something that the demo promises did not hold."""


class Show:
    """Writes to stdout; in colour only where a person looks at it."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace", line_buffering=True)

    def heading(self, text: str) -> None:
        print(f"\n{self._painted('1', text)}")

    def line(self, label: str, *texts: str) -> None:
        """A label, and what belongs to it below each other; long texts are folded."""
        for text in texts:
            print(textwrap.fill(text, WIDTH, initial_indent=f"   {label:<10} ", subsequent_indent=INDENT))
            label = ""

    def expect(self, holds: bool, what: str) -> None:
        """Tick it off, or raise Failed."""
        if not holds:
            raise Failed(f"this did not hold: {what}")
        print(f" {self.tick(True)} {what}")

    def tick(self, holds: bool | None) -> str:
        """A mark for what held, what did not, and what was not tried."""
        marks = {True: ("32", "✓"), False: ("31", "✗"), None: ("2", "-")}
        return self._painted(*marks[holds])

    def _painted(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
