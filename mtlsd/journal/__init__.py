"""What we promised, on disk before we promised it.

`Message`, `Refusal`, `Delivery` and `Attempt` are the records; `Journal` is what can be done with them.
`SQLiteJournal` does it in one file, `PostgresJournal` in a database that several nodes share; `open_journal` opens the
one that a `Place` names. A `Document` is kept inside the journal while it is small, else in the `Spool`.

What is written is entered in a hash chain as well: `Proof` is what can be done with it, `checkpoints` are what is
signed of it, and `verify` says whether all of it still fits.
"""

from mtlsd.journal import checkpoints
from mtlsd.journal.chain import (
    Break,
    Checkpoint,
    Entry,
    EntryKind,
    Follower,
    Head,
    Note,
    canonical,
    follow,
)
from mtlsd.journal.checkpoints import CheckpointUnreadable, NodeKey, SignedCheckpoint, load_key, node_name
from mtlsd.journal.digests import mdn_octets, record_of
from mtlsd.journal.documents import (
    MAX_INLINE,
    Document,
    Kept,
    keep,
    open_document,
    open_kept,
    remove,
    remove_files,
)
from mtlsd.journal.intact import NotIntact, check_document, check_mdn, open_intact
from mtlsd.journal.lock import DirectoryInUse, lock_directory, node_of
from mtlsd.journal.model import (
    NO_LANES,
    ORDERED,
    TRANSITIONS,
    Acceptance,
    Attempt,
    Backlog,
    Claimed,
    DeliveriesOpen,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Evidence,
    HeaderPairs,
    Journal,
    LeaseLost,
    Listed,
    Message,
    Proof,
    Reason,
    Refusal,
    StoredMDN,
    TransitionRefused,
    transition,
)
from mtlsd.journal.places import Place, migrate_journal, open_journal
from mtlsd.journal.remedies import remedy
from mtlsd.journal.retention import Pruned, RetentionPolicy, prune, would_prune
from mtlsd.journal.signing import ChainBroken, sign_checkpoint
from mtlsd.journal.spool import Space, Spool, SpoolFile
from mtlsd.journal.sqlite import SQLiteJournal
from mtlsd.journal.verification import (
    Chain,
    Deed,
    Progress,
    Verification,
    chain_entries,
    next_checkpoint,
    steps,
    verify,
)

__all__ = [
    "MAX_INLINE",
    "NO_LANES",
    "ORDERED",
    "TRANSITIONS",
    "Acceptance",
    "Attempt",
    "Backlog",
    "Break",
    "Chain",
    "ChainBroken",
    "Checkpoint",
    "CheckpointUnreadable",
    "Claimed",
    "Deed",
    "DeliveriesOpen",
    "Delivery",
    "DeliveryKind",
    "DeliveryState",
    "DirectoryInUse",
    "Document",
    "Entry",
    "EntryKind",
    "Evidence",
    "Follower",
    "Head",
    "HeaderPairs",
    "Journal",
    "Kept",
    "LeaseLost",
    "Listed",
    "Message",
    "NodeKey",
    "NotIntact",
    "Note",
    "Place",
    "Progress",
    "Proof",
    "Pruned",
    "Reason",
    "Refusal",
    "RetentionPolicy",
    "SQLiteJournal",
    "SignedCheckpoint",
    "Space",
    "Spool",
    "SpoolFile",
    "StoredMDN",
    "TransitionRefused",
    "Verification",
    "canonical",
    "chain_entries",
    "check_document",
    "check_mdn",
    "checkpoints",
    "follow",
    "keep",
    "load_key",
    "lock_directory",
    "mdn_octets",
    "migrate_journal",
    "next_checkpoint",
    "node_name",
    "node_of",
    "open_document",
    "open_intact",
    "open_journal",
    "open_kept",
    "prune",
    "record_of",
    "remedy",
    "remove",
    "remove_files",
    "sign_checkpoint",
    "steps",
    "transition",
    "verify",
    "would_prune",
]
