"""The command line. `main` is the entry point; each module is a command.

At the top of a module stand `click`, the standard library and its neighbours. All else is imported inside the
functions, so that `mtlsd --help` answers at once.
"""

from mtlsd.cli.root import main

__all__ = ["main"]
