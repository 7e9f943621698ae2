"""The command line. `main` is the entry point.

`root` and `groups` name the modules of the commands, and `lazy` imports a module when its command is used.
"""

from mtlsd.cli.root import main

__all__ = ["main"]
