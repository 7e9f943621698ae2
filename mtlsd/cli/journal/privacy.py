"""`mtlsd privacy`: exports or erases everything that is stored about a partner."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.files import write_errors
from mtlsd.cli.journal.opening import end, open_spool, open_stored
from mtlsd.cli.journal.proof_folder import copy_document
from mtlsd.cli.journal.show import whole
from mtlsd.cli.journal.suggestions import knows_partner, nobody
from mtlsd.cli.options import PATH, user_name, with_configuration, with_yes
from mtlsd.cli.output import say
from mtlsd.config.model import Configuration
from mtlsd.journal.documents import remove_files
from mtlsd.journal.model import DeliveriesOpen, Message, Reason, Refusal
from mtlsd.journal.proof.digests import mdn_octets
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal

PAGE = 100
with_partner = click.option("--partner", required=True, metavar="NAME", help="The name of the partner's directory.")


@click.command()
@with_configuration
@with_partner
@click.option("--output", required=True, type=PATH, help="The folder to create.")
def export(configuration: Configuration, partner: str, output: Path) -> None:
    """Write everything that the journal holds about a partner.

    Each message and refusal gets a folder with record.json, the MDN, and the documents that are still stored. The
    partner's own directory, the log and backups are not part of the journal: check them separately.

    \b
    Example:
      mtlsd privacy export --partner acme --output acme-export

    Exit codes: 0 success, even if there is nothing; 1 something cannot be read or written; 78 the configuration
    has errors.
    """
    count = 0
    spool = open_spool(configuration)
    with open_stored(configuration) as opened, write_errors(output):
        output.mkdir(mode=0o700)
        for about in _held(opened, partner):
            _write(opened, spool, about, output / about.id)
            count += 1
    say(f"{count} messages and refusals of {partner} are in {output}")


@click.command()
@with_configuration
@with_partner
@with_yes
@click.option(
    "--undelivered", is_flag=True, help="Also erase messages whose delivery failed and waits for an operator."
)
@click.option("--why", default="erasure was asked for", show_default=True, help="The reason to enter in the chain.")
def erase(configuration: Configuration, partner: str, yes: bool, undelivered: bool, why: str) -> None:
    """Erase everything that the journal holds about a partner.

    This cannot be undone. The command erases messages, MDNs, deliveries and documents. The chain stays: its entries
    hold salted digests, and the salt is erased. A new entry for each message records who erased it, when and why, so
    `mtlsd journal verify` still passes. If a message arrives again afterwards, it counts as new: disable the partner
    first.

    \b
    Example:
      mtlsd privacy erase --partner acme --why 'contract ended'

    Exit codes: 0 success, even if there is nothing; 1 no such partner, open deliveries, nobody confirmed, or the
    journal cannot be written; 78 the configuration has errors.
    """
    if not yes:
        click.confirm(f"Erase everything about {partner}?", abort=True)
    reason = Reason(user_name(), why, datetime.now(UTC).timestamp())
    certs, spool, total = configuration.server.certs, open_spool(configuration), 0
    with open_stored(configuration, read_only=False) as opened:
        if not knows_partner(opened, certs, partner):
            end(f"nothing is erased: {nobody(certs, partner)}")
        try:
            while True:
                count, names = opened.proof.erase(partner, reason, PAGE, undelivered=undelivered)
                remove_files(spool, names)
                total += count
                if not count:
                    break
        except DeliveriesOpen as error:
            end(f"{error}: {_ways_out(partner, undelivered)}")
    say(f"{total} messages and refusals of {partner} are erased")


def _ways_out(partner: str, undelivered: bool) -> str:
    """What to do about deliveries that prevent erasing."""
    drop = "or give them up with mtlsd journal drop"
    pending = f"wait for the pending deliveries, {drop} (mtlsd journal list --partner {partner} --state pending)"
    return pending if undelivered else f"{pending}; --undelivered erases failed deliveries"


def _held(opened: Journal, partner: str) -> Iterator[Message | Refusal]:
    before = None
    while page := opened.messages(limit=PAGE, partner=partner, before=before):
        yield from (each.message for each in page)
        before = page[-1].message.id
    before = None
    while refusals := opened.refusals(limit=PAGE, partner=partner, before=before):
        yield from refusals
        before = refusals[-1].id


def _write(opened: Journal, spool: Spool, about: Message | Refusal, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    attempted = [(each, opened.attempts(each.id)) for each in opened.deliveries(about.id)]
    (folder / "record.json").write_text(json.dumps(whole(about, attempted), indent=2))
    if about.mdn:
        (folder / "mdn").write_bytes(mdn_octets(about.mdn))
    if not isinstance(about, Message) or not about.contents:
        return
    for kind in ("payload", "original", "signed", "signature"):
        name: str | None = getattr(about, kind)
        if name is not None:
            copy_document(opened, spool, name, folder / kind)
