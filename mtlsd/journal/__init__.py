"""What we promised, on disk before we promised it.

`Message`, `Delivery` and `Attempt` are the records; `Journal` is what can be done with them, and
`SQLiteJournal` does it in one file. `Spool` holds the documents themselves.
"""

from mtlsd.journal.model import (
    TRANSITIONS,
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
    StoredMDN,
    TransitionRefused,
    transition,
)
from mtlsd.journal.spool import Spool, SpoolFile
from mtlsd.journal.sqlite import SQLiteJournal

__all__ = [
    "TRANSITIONS",
    "Attempt",
    "Claimed",
    "Delivery",
    "DeliveryKind",
    "DeliveryState",
    "HeaderPairs",
    "Journal",
    "LeaseLost",
    "Listed",
    "Message",
    "SQLiteJournal",
    "Spool",
    "SpoolFile",
    "StoredMDN",
    "TransitionRefused",
    "transition",
]
