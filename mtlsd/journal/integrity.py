"""Whether what is about to leave is what was kept: documents by the digests of their record, MDNs by the chain.

A document is hashed before its first octet is sent, and not on the way: a backend may use what it has got so far, and a
directory would have to take it back. It is read twice then, the second time mostly from memory: about 0.7 s a GiB.
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
from mtlsd.journal.protocol import Journal
from mtlsd.journal.spool import Spool

PIECE = 256 * 1024  # octets a read of a document
_SUFFIXES = {"payload": "payload", "original": "as2", "signed": "signed", "signature": "p7s"}  # of `Message.digests`
_REMEDY = "bring it back from a backup, or give the delivery up with mtlsd journal drop"


class NotIntact(JournalUnavailable):
    """A document or an MDN is not the one that was kept; the detail says which, where, and what to do."""


def documents_of(message: Message) -> Iterator[tuple[str, str, str | None]]:
    """What each document of a message is, its name, and the SHA-256 that was entered."""
    digests = dict(message.digests)
    for kind, suffix in _SUFFIXES.items():
        name: str | None = getattr(message, kind)
        if name is not None:
            yield kind, name, digests.get(suffix)


def check_document(file: BinaryIO, name: str, message: Message, promised: int | None = None) -> None:
    """Read the file, and leave it at its beginning; raises NotIntact.

    `promised` is the size that is announced to whoever gets it: of another one nothing is read.
    """
    where = f"the document {name!r} in the {'database' if is_inline(name) else 'spool'}"
    size = file.seek(0, SEEK_END)
    if promised not in (None, size):
        raise NotIntact(f"{where} has {size} octets, and {promised} were kept: {_REMEDY}")
    known = next((digest for _, named, digest in documents_of(message) if named == name), None)
    file.seek(0)
    if (found := digest_of(file)) != known:
        raise NotIntact(f"{where} is not what was kept: its SHA-256 is {found}, and was {known}; {_REMEDY}")
    file.seek(0)


def open_intact(journal: Journal, spool: Spool, message: Message, name: str) -> BinaryIO:
    """Open a kept document that is as it was; raises JournalUnavailable."""
    file = open_document(journal, spool, name)
    try:
        check_document(file, name, message)
    except BaseException:
        file.close()
        raise
    return file


def check_mdn(journal: Journal, about: Message | Refusal) -> None:
    """Raises NotIntact where the stored MDN is not the one that the chain knows of, or JournalUnavailable."""
    if not has_entered_mdn(about, journal.proof.evidence(about.id).entries):
        raise NotIntact(f"the MDN of {about.id} in the database is not what was entered: see mtlsd journal verify")


def digest_of(file: BinaryIO) -> str:
    """The SHA-256 of what is left of a file."""
    digest = sha256()
    for data in iter(partial(file.read, PIECE), b""):
        digest.update(data)
    return digest.hexdigest()
