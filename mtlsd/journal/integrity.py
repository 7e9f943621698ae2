"""Checks that a document or an MDN is unaltered before it is sent: documents by their digests, MDNs by the chain.

A document is hashed before its first octet is sent, and not while it is sent, because the backend could already use the
first part. The document is therefore read twice, the second time mostly from memory: about 0.7 s per GiB.
"""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from io import SEEK_END
from typing import BinaryIO

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.documents import is_inline, open_document
from mtlsd.journal.model import Message, Refusal
from mtlsd.journal.proof.entries import has_entered_mdn
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal

PIECE = 256 * 1024  # octets per read of a document
_SUFFIXES = {"payload": "payload", "original": "as2", "signed": "signed", "signature": "p7s"}  # of `Message.digests`
_REMEDY = "restore it from a backup, or give up the delivery with mtlsd journal drop"


class NotIntact(JournalUnavailable):
    """A document or an MDN was altered or removed; the detail names it, its place and the remedy."""


def documents_of(message: Message) -> Iterator[tuple[str, str, str | None]]:
    """The documents of a message: the kind, the name and the recorded SHA-256 of each."""
    digests = dict(message.digests)
    for kind, suffix in _SUFFIXES.items():
        name: str | None = getattr(message, kind)
        if name is not None:
            yield kind, name, digests.get(suffix)


def check_document(file: BinaryIO, name: str, message: Message, promised: int | None = None) -> None:
    """Read the file, and seek to its beginning; raises NotIntact.

    `promised` is the size that is announced to the receiver; a file of another size is not read.
    """
    where = f"the document {name!r} in the {'database' if is_inline(name) else 'spool'}"
    size = file.seek(0, SEEK_END)
    if promised not in (None, size):
        raise NotIntact(f"{where} has {size} bytes instead of {promised}: {_REMEDY}")
    known = next((digest for _, named, digest in documents_of(message) if named == name), None)
    file.seek(0)
    if (found := digest_of(file)) != known:
        raise NotIntact(f"{where} was altered: its SHA-256 is {found} instead of {known}; {_REMEDY}")
    file.seek(0)


def open_intact(journal: Journal, spool: Spool, message: Message, name: str) -> BinaryIO:
    """Open a stored document, and check that it is unaltered; raises JournalUnavailable."""
    file = open_document(journal, spool, name)
    try:
        check_document(file, name, message)
    except BaseException:
        file.close()
        raise
    return file


def check_mdn(journal: Journal, about: Message | Refusal) -> None:
    """Raises NotIntact if the chain has another MDN than the database, or JournalUnavailable."""
    if not has_entered_mdn(about, journal.proof.evidence(about.id).entries):
        raise NotIntact(f"the MDN of {about.id} in the database was altered: run mtlsd journal verify")


def digest_of(file: BinaryIO) -> str:
    """The SHA-256 of a file, from its present position."""
    digest = sha256()
    for data in iter(partial(file.read, PIECE), b""):
        digest.update(data)
    return digest.hexdigest()
