"""The group of all commands."""

import click

from mtlsd import __version__
from mtlsd.cli.bundle.export import export
from mtlsd.cli.bundle.import_ import import_
from mtlsd.cli.cert.command import cert
from mtlsd.cli.cert.test_ca import ca
from mtlsd.cli.check import check
from mtlsd.cli.journal.command import journal
from mtlsd.cli.journal.payload import payload
from mtlsd.cli.journal.privacy import privacy
from mtlsd.cli.journal.proof import prove, prune, verify_journal
from mtlsd.cli.journal.replay import drop, replay
from mtlsd.cli.partner.command import partner
from mtlsd.cli.run import run
from mtlsd.cli.send.command import send


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mtlsd", message="%(prog)s %(version)s")
def main() -> None:
    """A mutual-TLS and AS2 gateway between trading partners and an EDI backend.

    It knows each partner by its certificate, verifies the AS2 messages that come in, keeps them on disk, delivers
    them to the backend over HTTP and answers with the receipt (MDN).

    \b
    Examples:
      mtlsd check
      mtlsd run --config /etc/mtlsd/virtualhosts.toml
      mtlsd journal list --state failed

    \b
    Exit codes:
      0   fine
      1   refused or failed
      2   wrong usage
      78  a mistake in the configuration; each one is named on stderr
    """


for command in (run, check, partner, cert, ca, send, journal, privacy, export, import_):
    main.add_command(command)
for command in (payload, replay, drop, verify_journal, prove, prune):
    journal.add_command(command)
