"""Enters into the hash chain that security material is exported or imported: who, when, what, and to whom."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256

import click

from mtlsd.cli.options import credentials, user_name
from mtlsd.config.model import Configuration
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.files import writing
from mtlsd.files.private import make_directory
from mtlsd.journal.location import Place, open_journal
from mtlsd.journal.proof.chain import EntryKind, Note
from mtlsd.journal.proof.checkpoints import load_key
from mtlsd.journal.sql.journal import Journal
from mtlsd.partners.edit import bundle as packing

MAX_TOLD = 1000  # units whose digests are in the audit entry; with more, only the digest of the manifest


@contextmanager
def opened(configuration: Configuration) -> Iterator[Journal]:
    """The journal, open for writing; created if there is none, as before the first start of the daemon."""
    server = configuration.server
    place = Place(server.journal, server.state, credentials())
    try:
        make_directory(server.state)
        chain = load_key(server.state).node
        with closing(open_journal(place, chain=chain)) as journal:
            for each in server.state.iterdir():
                if each.is_file():
                    writing.give(each, server.state)
            yield journal
    except (JournalUnavailable, SpoolFull, OSError) as error:
        raise click.ClickException(
            f"the journal at {place} cannot be written, so nothing is changed: {error}"
        ) from error


def enter(journal: Journal, kind: EntryKind, sealed: bytes, bundle: packing.Bundle, now: float, **more: object) -> None:
    """Enter a note about the action of this user with a bundle."""
    digest = sha256(sealed).hexdigest()
    facts = {"by": user_name(), "uid": os.getuid(), "bundle": digest, "private_keys": bundle.private_keys}
    journal.proof.enter([Note(kind, digest[:32], now, facts | _contents(bundle) | more)])


def _contents(bundle: packing.Bundle) -> dict[str, object]:
    """The digests of a bundle: of the manifest, and of each unit if there are not too many."""
    told: dict[str, object] = {"manifest": bundle.manifest_sha256, "count": len(bundle.units)}
    if len(bundle.units) <= MAX_TOLD:
        told["units"] = {unit: _digest(bundle, unit) for unit in bundle.units}
    return told


def _digest(bundle: packing.Bundle, unit: str) -> str:
    lines = sorted(f"{bundle.digests[f'{unit}/{name}']}  {name}\n" for name in bundle.units[unit])
    return sha256("".join(lines).encode()).hexdigest()  # as sha256sum would print them
