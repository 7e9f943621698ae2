"""What we promised, on disk before we promised it.

`Message`, `Refusal`, `Delivery` and `Attempt` are the records; `Journal` is what can be done with them, and
`SQLiteJournal` does it in one file. A `Document` is kept inside the journal while it is small, else in the `Spool`.
"""

from mtlsd.journal.documents import MAX_INLINE, Document, Kept, keep, open_document, open_kept, remove
from mtlsd.journal.lock import DirectoryInUse, lock_directory
from mtlsd.journal.model import (
    NO_LANES,
    ORDERED,
    TRANSITIONS,
    Acceptance,
    Attempt,
    Backlog,
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
from mtlsd.journal.spool import Space, Spool, SpoolFile
from mtlsd.journal.sqlite import SQLiteJournal

__all__ = [
    "MAX_INLINE",
    "NO_LANES",
    "ORDERED",
    "TRANSITIONS",
    "Acceptance",
    "Attempt",
    "Backlog",
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
    "Refusal",
    "SQLiteJournal",
    "Space",
    "Spool",
    "SpoolFile",
    "StoredMDN",
    "TransitionRefused",
    "keep",
    "lock_directory",
    "open_document",
    "open_kept",
    "remove",
    "transition",
]
