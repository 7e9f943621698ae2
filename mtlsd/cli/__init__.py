"""The command line."""

import sys
from pathlib import Path

from mtlsd import app


def main() -> None:
    sys.exit(app.run(Path(sys.argv[2])))
