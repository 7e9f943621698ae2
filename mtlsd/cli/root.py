"""The group of all commands."""

import click

from mtlsd import __version__
from mtlsd.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "run": Lazy("run:run", "Run the daemon in the foreground until SIGTERM or SIGINT."),
    "check": Lazy("check:check", "Show what would be served, and every error in the configuration."),
    "partner": Lazy("groups:partner", "Add, show and remove trading partners."),
    "cert": Lazy("groups:cert", "Show, repair and convert certificate files."),
    "ca": Lazy("groups:ca", "Create certificates for tests, under a test CA."),
    "send": Lazy("send.command:send", "Send FILE to URL as an AS2 message, and check the receipt (MDN)."),
    "journal": Lazy("groups:journal", "Show the received messages, and manage their deliveries."),
    "privacy": Lazy("groups:privacy", "Export or erase everything stored about a partner."),
    "export": Lazy("bundle.export:export", "Write partners, certificates and policies to a sealed bundle."),
    "import": Lazy("bundle.import_:import_", "Apply a bundle that `mtlsd export` wrote."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mtlsd", message="%(prog)s %(version)s")
def main() -> None:
    """A mutual-TLS and AS2 gateway between trading partners and an EDI backend.

    It identifies each partner by its client certificate, verifies the AS2 messages that arrive, stores them on disk,
    delivers them to the backend over HTTP, and returns the receipt (MDN).

    \b
    Examples:
      mtlsd check
      mtlsd run --config /etc/mtlsd/virtualhosts.toml
      mtlsd journal list --state failed

    \b
    Exit codes:
      0   success
      1   refused or failed
      2   wrong usage
      78  errors in the configuration; stderr names each one
    """
