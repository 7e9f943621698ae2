"""Demonstrates mtlsd: starts the daemon in a new folder, then acts as its partners and as its backend.

Nothing is simulated: the daemon is `mtlsd run` in its own process, the partners connect over TLS, and the openssl
command verifies the receipts. No data leaves this machine.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlsd.errors import MtlsdError
from scripts import demo_backend, demo_daemon, demo_site
from scripts.demo_serve import serve
from scripts.demo_show import Failed, Show
from scripts.demo_story import Story


def main() -> int:
    """Run the scenario, or serve; return the exit code."""
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with _folder(keep=arguments.keep) as folder, demo_backend.running() as backend:
            site = demo_site.prepare(folder, backend.url)
            with demo_daemon.running(site.configuration.file) as daemon:
                if arguments.serve:
                    serve(site, daemon, backend)
                Story(site, daemon, backend, Show()).tell()
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0 if arguments.serve else 130
    except (Failed, demo_daemon.DaemonGone, MtlsdError, subprocess.CalledProcessError) as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1
    print("\nEvery step succeeded. To try mtlsd yourself, run: scripts/demo --serve")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep the daemon running, and print commands to try")
    parser.add_argument("--keep", action="store_true", help="keep the folder even if every step succeeds")
    return parser.parse_args()


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    """A new folder, removed at the end unless a step failed."""
    folder = Path(tempfile.mkdtemp(prefix="mtlsd-demo-"))
    try:
        yield folder
    except Exception:
        keep = True
        raise
    finally:
        if keep:
            print(f"\nThe folder was kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
