"""`mtlsd journal verify`, `prove` and `prune`: checks the journal, proves an exchange, and deletes old contents."""

import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from mtlsd.cli.files import write_errors
from mtlsd.cli.journal.opening import end, open_spool, open_stored, record_named, with_id
from mtlsd.cli.journal.proof_folder import CannotProve, NotSigned, write_proof
from mtlsd.cli.journal.sign_now import sign_now
from mtlsd.cli.journal.verify_report import MARGIN_SECONDS, Unsigned, say_verification, verification
from mtlsd.cli.options import PATH, credentials, problems, user_name, with_config, with_configuration, with_json
from mtlsd.cli.output import say, say_json, values_of
from mtlsd.cli.progress import progress
from mtlsd.config.model import Configuration
from mtlsd.journal import retention
from mtlsd.journal.proof.verify import steps, verify
from mtlsd.net.background.retention import retention_of
from mtlsd.snapshot.snapshot import load_snapshot

with_checkpoints = click.option(
    "--checkpoints",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The directory of the signed checkpoints; default: from the configuration.",
)


@click.command("verify")
@with_configuration
@with_checkpoints
@click.option("--no-documents", is_flag=True, help="Do not read the documents, which is much faster.")
@with_json
def verify_journal(configuration: Configuration, directory: Path | None, no_documents: bool, as_json: bool) -> None:
    """Check that nothing in the journal has been changed.

    The command follows the hash chain of each node along its signed checkpoints, compares every message, MDN, delivery
    and document with its entry, and names the first entry that was changed. Nothing is written, and the daemon may be
    running meanwhile. Dropped, replayed, pruned and erased records are counted, because anyone with write access could
    add such entries: check that they are yours. Anyone with write access to both the journal and the checkpoints could
    rewrite history: give --checkpoints a copy that nobody else can write.

    \b
    Examples:
      mtlsd journal verify
      mtlsd journal verify --checkpoints /mnt/elsewhere/checkpoints --json

    Exit codes: 0 unchanged; 1 something was changed, a chain has no checkpoint, or the journal cannot be read; 78 the
    configuration file has errors.
    """
    with open_stored(configuration) as opened, progress("verifying", steps(opened), patience=0) as advance:
        spool = None if no_documents else open_spool(configuration)
        found = verify(opened, spool, directory or configuration.checkpoints, advance)
    age = MARGIN_SECONDS + configuration.proof.checkpoint_seconds
    unsigned = Unsigned(directory or configuration.checkpoints, age, datetime.now(UTC).timestamp())
    if as_json:
        say_json(verification(found, unsigned))
    else:
        say_verification(found, unsigned)
    if found.broken or any(map(unsigned.is_nobodys, found.chains)):
        sys.exit(1)


@click.command()
@with_configuration
@with_checkpoints
@with_id
@click.option("--output", required=True, type=PATH, help="The folder to create.")
@with_json
def prove(
    configuration: Configuration, directory: Path | None, id_or_message_id: str, output: Path, as_json: bool
) -> None:
    """Write a folder that proves one exchange to a third party.

    The third party needs openssl, but not mtlsd. ID is an id from `mtlsd journal list`, the Message-ID, or the file
    name. The folder has the signed content and the signature, the signer's certificate, the MDN, the entries of the
    chain up to a signed checkpoint, and INSTRUCTIONS.txt. If no checkpoint has been signed since the message arrived,
    the command signs one with the key of this node: run it on the node that accepted the message, as root or as the
    user of mtlsd. The daemon signs a checkpoint every ten minutes, and when it stops.

    \b
    Example:
      mtlsd journal prove '<42@acme.example>' --output proof-42

    Exit codes: 0 success; 1 no such message, no checkpoint yet, or the folder cannot be written; 78 the configuration
    file has errors.
    """
    with open_stored(configuration) as opened:
        about = record_named(opened, id_or_message_id)
        spool = open_spool(configuration)
        signed = directory or configuration.checkpoints
        with write_errors(output):
            try:
                try:
                    write_proof(opened, spool, signed, about, output)
                except NotSigned as missing:
                    if directory:  # a copy, which is not ours to write
                        raise
                    sign_now(opened, configuration.server.state, signed, missing)
                    write_proof(opened, spool, signed, about, output)
            except CannotProve as error:
                end(str(error))
    if as_json:
        say_json({"id": about.id, "folder": str(output), "files": sorted(each.name for each in output.iterdir())})
        return
    say(f"{output} is the proof of {about.id}: start with {output / 'INSTRUCTIONS.txt'}")


@click.command()
@with_config
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@with_json
def prune(file: Path, dry_run: bool, as_json: bool) -> None:
    """Delete the contents of old messages, as [retention] says.

    The daemon does the same every hour. Documents and their signed copies are deleted. Records, MDNs and the chain
    stay, so duplicates are still recognized, and `verify` still passes. Old refusals are deleted entirely. Undelivered
    messages are never touched.

    \b
    Example:
      mtlsd journal prune --dry-run

    Exit codes: 0 success, even if there is nothing to delete; 1 the journal cannot be used; 78 the configuration has
    errors.
    """
    with problems():
        snapshot = load_snapshot(file, credentials(), time.time())
    policy_of = partial(retention_of, snapshot)
    now, rows, words = (
        datetime.now(UTC).timestamp(),
        list[dict[str, object]](),
        "would be deleted" if dry_run else "are deleted",
    )
    with open_stored(snapshot.configuration, read_only=dry_run) as opened:
        if dry_run:
            batches = retention.would_prune(opened, policy_of, now)
        else:
            spool = open_spool(snapshot.configuration)
            batches = retention.prune(opened, spool, policy_of, user_name(), now)
        for each in batches:
            rows.append(values_of(each, "partner", "messages", "octets", "refusals"))
            what = f"{each.refusals} refusals" if each.refusals else f"{each.messages} messages, {each.octets} bytes"
            if not as_json:
                say(f"{each.partner}: {what} {words}")
    if as_json:
        say_json({"dry_run": dry_run, "deleted": rows})
    elif not rows:
        say("nothing to delete")
