"""`mtlsd journal verify`, `prove` and `prune`: whether the journal is whole, how to show it, and what may go."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from getpass import getuser
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress as Bar

from mtlsd.cli.journal.opening import end, open_spool, open_stored, record_named
from mtlsd.cli.journal.proof_folder import CannotProve, NotSigned, write_proof
from mtlsd.cli.journal.sign_now import sign_now
from mtlsd.cli.journal.verify_report import MARGIN_SECONDS, Unsigned, say_verification, verification
from mtlsd.cli.options import credentials, load_configuration, mistakes, with_config, with_json
from mtlsd.cli.output import say, say_json
from mtlsd.journal import retention
from mtlsd.journal.proof.verify import Progress, steps, verify
from mtlsd.net.background.retention import retention_of
from mtlsd.snapshot.snapshot import load_snapshot

with_checkpoints = click.option(
    "--checkpoints",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the signed checkpoints are; default: as the configuration says.",
)


@click.command("verify")
@with_config
@with_checkpoints
@click.option("--no-documents", is_flag=True, help="Leave the documents unread: much quicker.")
@with_json
def verify_journal(file: Path, directory: Path | None, no_documents: bool, as_json: bool) -> None:
    """Say whether all that was entered is as it was, or name the first entry that is not.

    The hash chain of each node is followed past its signed checkpoints; then every message, MDN, delivery and document
    is compared with what was entered. Nothing is written, and the daemon may run meanwhile. What was dropped, replayed,
    pruned or erased is counted, for who can write the journal can enter that, too: see whether it was you. Whoever can
    write both the journal and the checkpoints can write another history: give --checkpoints the copy that nobody else
    can write.

    \b
    Examples:
      mtlsd journal verify
      mtlsd journal verify --checkpoints /mnt/elsewhere/checkpoints --json

    Exit codes: 0 all is as it was; 1 something is not, a chain has no checkpoint, or the journal cannot be read; 78 the
    configuration file has mistakes.
    """
    configuration = load_configuration(file)
    with open_stored(file) as opened, _progress(steps(opened)) as progress:
        spool = None if no_documents else open_spool(configuration.server.spool_directory)
        found = verify(opened, spool, directory or configuration.checkpoints, progress)
    age = MARGIN_SECONDS + configuration.proof.checkpoint_seconds
    unsigned = Unsigned(directory or configuration.checkpoints, age, datetime.now(UTC).timestamp())
    if as_json:
        say_json(verification(found, unsigned))
    else:
        say_verification(found, unsigned)
    if found.broken or any(map(unsigned.is_nobodys, found.chains)):
        sys.exit(1)


@click.command()
@with_config
@with_checkpoints
@click.argument("id_or_message_id", metavar="ID")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The folder to make.")
def prove(file: Path, directory: Path | None, id_or_message_id: str, output: Path) -> None:
    """Write a folder that proves one exchange to somebody who has openssl and no mtlsd.

    ID is ours, or the Message-ID that the partner gave it. The folder has what was signed and the signature, the
    signer's certificate, the MDN, the entries of the chain up to a signed checkpoint, and INSTRUCTIONS.txt. Where none
    was signed since the message came, one is signed now, with the key of this node: run this where the message was
    accepted, as root or as the user of mtlsd. Otherwise the daemon signs one every ten minutes, and when it stops.

    \b
    Example:
      mtlsd journal prove '<42@acme.example>' --output proof-42

    Exit codes: 0 fine; 1 no such message, no checkpoint yet, or it cannot be written; 78 the configuration file has
    mistakes.
    """
    configuration = load_configuration(file)
    with open_stored(file) as opened:
        about = record_named(opened, id_or_message_id)
        spool = open_spool(configuration.server.spool_directory)
        signed = directory or configuration.checkpoints
        try:
            try:
                write_proof(opened, spool, signed, about, output)
            except NotSigned as missing:
                if directory:  # a copy, where we have nothing to write
                    raise
                sign_now(opened, configuration.server.state, signed, missing)
                write_proof(opened, spool, signed, about, output)
        except CannotProve as error:
            end(str(error))
        except FileExistsError as error:
            raise click.ClickException(f"{output} is there already: it is not overwritten") from error
        except OSError as error:
            raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    say(f"{output} is the proof of {about.id}: begin with {output / 'INSTRUCTIONS.txt'}")


@click.command()
@with_config
@click.option("--dry-run", is_flag=True, help="Say what would go, and let nothing go.")
def prune(file: Path, dry_run: bool) -> None:
    """Let the contents of messages go as [retention] says; the daemon does the same every hour.

    Documents go, and with them the signed copies. Records, MDNs and the chain stay, so a message that comes again is
    still known, and `verify` is content. Refusals that are too old go as a whole. What is not delivered is never
    touched.

    \b
    Example:
      mtlsd journal prune --dry-run

    Exit codes: 0 fine, also where nothing is to go; 1 the journal cannot be used; 78 the configuration has mistakes.
    """
    with mistakes():
        snapshot = load_snapshot(file, credentials(), time.time())
    policy_of = partial(retention_of, snapshot)
    now, went, words = datetime.now(UTC).timestamp(), False, "would go" if dry_run else "are gone"
    with open_stored(file, read_only=dry_run) as opened:
        if dry_run:
            batches = retention.would_prune(opened, policy_of, now)
        else:
            spool = open_spool(snapshot.configuration.server.spool_directory)
            batches = retention.prune(opened, spool, policy_of, getuser(), now)
        for each in batches:
            went = True
            what = f"{each.refusals} refusals" if each.refusals else f"{each.messages} messages, {each.octets} bytes"
            say(f"{each.partner}: {what} {words}")
    if not went:
        say("nothing is to go")


@contextmanager
def _progress(total: int) -> Iterator[Progress]:
    """A bar on the terminal, where there is one."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=total)
        yield lambda done: bar.advance(task, done)
