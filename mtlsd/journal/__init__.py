"""What we promised, on disk before we promised it.

`Message`, `Refusal`, `Delivery` and `Attempt` are the records; `Journal` is what can be done with them.
`SQLiteJournal` does it in one file, `PostgresJournal` in a database that several nodes share; `open_journal` opens the
one that a `Place` names. A `Document` is kept inside the journal while it is small, else in the `Spool`.
"""

from mtlsd.journal.documents import MAX_INLINE, Document, Kept, keep, open_document, open_kept, remove
from mtlsd.journal.lock import DirectoryInUse, lock_directory, node_of
from mtlsd.journal.model import (
    TRANSITIONS,
    Acceptance,
    Attempt,
    Claimed,
    Delivery,
    DeliveryKind,
    DeliveryState,
    HeaderPairs,
    Journal,
    LeaseLost,
    Listed,
    Message,
    Refusal,
    StoredMDN,
    TransitionRefused,
    transition,
)
from mtlsd.journal.places import Place, migrate_journal, open_journal
from mtlsd.journal.spool import Spool, SpoolFile
from mtlsd.journal.sqlite import SQLiteJournal

__all__ = [
    "MAX_INLINE",
    "TRANSITIONS",
    "Acceptance",
    "Attempt",
    "Claimed",
    "Delivery",
    "DeliveryKind",
    "DeliveryState",
    "DirectoryInUse",
    "Document",
    "HeaderPairs",
    "Journal",
    "Kept",
    "LeaseLost",
    "Listed",
    "Message",
    "Place",
    "Refusal",
    "SQLiteJournal",
    "Spool",
    "SpoolFile",
    "StoredMDN",
    "TransitionRefused",
    "keep",
    "lock_directory",
    "migrate_journal",
    "node_of",
    "open_document",
    "open_journal",
    "open_kept",
    "remove",
    "transition",
]
