"""The documents of a message: small documents are part of the journal's commit, large documents are files in the spool.

A message of a few kilobytes then needs one fsync instead of five, and a third of the CPU for its storage, as measured.
In both cases nothing is acknowledged before it is on disk.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.spool import Spool, SpoolFile
from mtlsd.journal.sql.journal import Journal

MAX_INLINE = 64 * 1024  # octets, by default
_INLINE = "journal/"


class Document:
    """A document that is being received, until `keep` or `discard`.

    A document of up to `max_inline` octets is for the journal. With `digest_only` only its digest is kept.
    """

    def __init__(self, spool: Spool, max_inline: int = MAX_INLINE, *, digest_only: bool = False) -> None:
        self.digest_only = digest_only
        self._spool = spool
        self._max_inline = max_inline
        self._held = bytearray()
        self.file: SpoolFile | None = None  # if the document is too large for the journal
        self._digest = sha256()
        self.size = 0  # octets

    def write(self, data: bytes) -> None:
        """Append data; raises `SpoolFull` or `JournalUnavailable`, now or in `keep`."""
        self.size += len(data)
        self._digest.update(data)
        if self.digest_only:
            return
        if self.file is None and self.size > self._max_inline:
            self.file = self._spool.create()
            self.file.write(bytes(self._held))
            self._held = bytearray()
        if self.file is None:
            self._held += data
        else:
            self.file.write(data)

    def read_back(self, chunk: int) -> Iterator[bytes]:
        """The octets written so far, at most `chunk` at a time if they are in a file."""
        if self.file is not None:
            yield from self.file.read_back(chunk)
        else:
            yield bytes(self._held)

    def discard(self) -> None:
        """Delete the document; does nothing after `keep`."""
        if self.file is not None:
            self.file.discard()

    @property
    def sha256(self) -> str:
        """The digest of the octets written so far."""
        return self._digest.hexdigest()

    @property
    def held(self) -> bytes:
        """The whole document, if it is for the journal."""
        return bytes(self._held)


@dataclass(frozen=True, slots=True)
class Kept:
    """The names and sizes of documents by suffix, and the contents of documents for the journal by name.

    `digests` has the SHA-256 of every document, also of a document that is not kept.
    """

    names: Mapping[str, str]
    sizes: Mapping[str, int]
    inline: Mapping[str, bytes]
    digests: Mapping[str, str] = field(default_factory=dict)


def keep(spool: Spool, id: str, documents: Mapping[str, Document]) -> Kept:  # noqa: A002  # the field's name
    """Make large documents durable, and return small documents for `Journal.accept`."""
    digests = {suffix: document.sha256 for suffix, document in documents.items()}
    documents = {suffix: document for suffix, document in documents.items() if not document.digest_only}
    files = {suffix: document.file for suffix, document in documents.items() if document.file}
    names = spool.keep(id, files) if files else {}
    held = {suffix: document.held for suffix, document in documents.items() if not document.file}
    inline = {suffix: f"{_INLINE}{id}.{suffix}" for suffix in held}
    sizes = {suffix: document.size for suffix, document in documents.items()}
    return Kept(names | inline, sizes, {inline[suffix]: data for suffix, data in held.items()}, digests)


def is_inline(name: str) -> bool:
    """Whether the document is in the journal itself."""
    return name.startswith(_INLINE)


def remove(spool: Spool, kept: Kept) -> None:
    """Delete kept documents that the journal does not refer to."""
    remove_files(spool, kept.names.values())


def remove_files(spool: Spool, names: Iterable[str]) -> None:
    """Delete the files of these documents; the journal no longer refers to them."""
    for name in names:
        if not is_inline(name):
            spool.remove(name)


def open_kept(spool: Spool, inline: Mapping[str, bytes], name: str) -> BinaryIO:
    """Open a kept document that is not in the journal yet."""
    return BytesIO(inline[name]) if name in inline else spool.open(name)


def open_document(journal: Journal, spool: Spool, name: str) -> BinaryIO:
    """Open a stored document for reading, in the journal or in the spool."""
    if not is_inline(name):
        return spool.open(name)
    data = journal.document(name)
    if data is None:
        raise JournalUnavailable(f"the journal has lost the document {name!r}")
    return BytesIO(data)
