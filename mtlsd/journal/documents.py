"""The documents of a message: small ones travel inside the journal's commit, large ones through the spool.

A message of a few kilobytes costs one fsync then, instead of five: measured, its durable part takes a third of the
CPU. Either way nothing is acknowledged before it is on disk.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.protocol import Journal
from mtlsd.journal.spool import Spool, SpoolFile

MAX_INLINE = 64 * 1024  # octets, where nothing else is said
_INLINE = "journal/"


class Document:
    """A document that is being received; it ends with `keep` or `discard`.

    Up to `max_inline` octets are for the journal. With `digest_only` nothing of it is kept.
    """

    def __init__(self, spool: Spool, max_inline: int = MAX_INLINE, *, digest_only: bool = False) -> None:
        self.digest_only = digest_only
        self._spool = spool
        self._max_inline = max_inline
        self._held = bytearray()
        self._file: SpoolFile | None = None
        self._digest = sha256()
        self.size = 0  # octets

    def write(self, data: bytes) -> None:
        """Append; raises `SpoolFull` or `JournalUnavailable`, at once or when it is kept."""
        self.size += len(data)
        self._digest.update(data)
        if self.digest_only:
            return
        if self._file is None and self.size > self._max_inline:
            self._file = self._spool.create()
            self._file.write(bytes(self._held))
            self._held = bytearray()
        if self._file is None:
            self._held += data
        else:
            self._file.write(data)

    def read_back(self, chunk: int) -> Iterator[bytes]:
        """What was written so far, `chunk` octets at a time."""
        if self._file is not None:
            yield from self._file.read_back(chunk)
        else:
            yield bytes(self._held)

    def discard(self) -> None:
        """Remove what is not kept; does nothing after `keep`."""
        if self._file is not None:
            self._file.discard()

    @property
    def file(self) -> SpoolFile | None:
        """The file in the spool, where the document did not fit into memory."""
        return self._file

    @property
    def sha256(self) -> str:
        """The digest of what was written so far."""
        return self._digest.hexdigest()

    @property
    def held(self) -> bytes:
        """The whole document, where it did fit."""
        return bytes(self._held)


@dataclass(frozen=True, slots=True)
class Kept:
    """The names and sizes of documents by suffix, and the contents of those that go into the journal, by name.

    `digests` has the SHA-256 of each, also of what is not kept.
    """

    names: Mapping[str, str]
    sizes: Mapping[str, int]
    inline: Mapping[str, bytes]
    digests: Mapping[str, str] = field(default_factory=dict)


def keep(spool: Spool, id: str, documents: Mapping[str, Document]) -> Kept:  # noqa: A002  # the field's name
    """Bring large documents to the disk; hand small ones back for `Journal.accept`."""
    digests = {suffix: document.sha256 for suffix, document in documents.items()}
    documents = {suffix: document for suffix, document in documents.items() if not document.digest_only}
    files = {suffix: document.file for suffix, document in documents.items() if document.file}
    names = spool.keep(id, files) if files else {}
    held = {suffix: document.held for suffix, document in documents.items() if not document.file}
    inline = {suffix: f"{_INLINE}{id}.{suffix}" for suffix in held}
    sizes = {suffix: document.size for suffix, document in documents.items()}
    return Kept(names | inline, sizes, {inline[suffix]: data for suffix, data in held.items()}, digests)


def is_inline(name: str) -> bool:
    """Whether the journal itself holds the document."""
    return name.startswith(_INLINE)


def remove(spool: Spool, kept: Kept) -> None:
    """Remove kept documents that the journal does not refer to."""
    for name in kept.names.values():
        if name not in kept.inline:
            spool.remove(name)


def remove_files(spool: Spool, names: Iterable[str]) -> None:
    """Remove those of these documents that are files; the journal has let them go already."""
    for name in names:
        if not is_inline(name):
            spool.remove(name)


def open_kept(spool: Spool, inline: Mapping[str, bytes], name: str) -> BinaryIO:
    """Open a document that the journal does not have yet."""
    return BytesIO(inline[name]) if name in inline else spool.open(name)


def open_document(journal: Journal, spool: Spool, name: str) -> BinaryIO:
    """Open a kept document for reading, wherever it is."""
    if not is_inline(name):
        return spool.open(name)
    data = journal.document(name)
    if data is None:
        raise JournalUnavailable(f"the journal has lost the document {name!r}")
    return BytesIO(data)
