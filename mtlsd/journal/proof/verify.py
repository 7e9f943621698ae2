"""Verifies that the journal is unaltered: the chains, their checkpoints, the rows, and the documents.

Verification only reads, and holds one page of entries in memory, whatever their number. The daemon may run meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from mtlsd.errors import JournalUnavailable
from mtlsd.journal.documents import open_document
from mtlsd.journal.integrity import digest_of, documents_of
from mtlsd.journal.model import Evidence, Message, Refusal
from mtlsd.journal.proof import checkpoints as on_disk
from mtlsd.journal.proof.chain import Break, ChainFollower, Checkpoint, Entry, EntryKind
from mtlsd.journal.proof.entries import differences, facts_of
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal

PAGE = 500  # entries per read
_BEGINNINGS = {EntryKind.ACCEPTED, EntryKind.REFUSED}
_DEEDS = {EntryKind.DROPPED, EntryKind.REPLAYED, EntryKind.PRUNED, EntryKind.ERASED}

Progress = Callable[[int], None]  # is given the number of further steps that are done


@dataclass(frozen=True, slots=True)
class Chain:
    """One node's chain, up to its first break."""

    node: str
    entries: int
    checkpoints: int
    signed_up_to: int  # the number of the last entry that a checkpoint covers
    unsigned_since: float | None = None  # when the first entry after that was entered

    @property
    def unsigned(self) -> int:
        """The number of entries that no checkpoint covers yet."""
        return max(self.entries - self.signed_up_to, 0)


@dataclass(frozen=True, slots=True)
class Deed:
    """A recorded action that deletes something or repeats a delivery; `by` and `why` are empty if unknown."""

    kind: str
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result: the chains, and the first break, if there is one."""

    chains: tuple[Chain, ...]
    records: int  # messages and refusals that were checked
    broken: Break | None = None
    deeds: Mapping[Deed, int] = field(default_factory=dict)  # how often each was entered


def steps(journal: Journal) -> int:
    """The approximate number of steps that `verify` takes."""
    return 2 * sum(journal.proof.head(node).number for node in journal.proof.nodes())


def verify(journal: Journal, spool: Spool | None, directory: Path, progress: Progress = lambda _: None) -> Verification:
    """Verify the whole journal; without a spool, no document is read. Raises JournalUnavailable.

    `directory` holds the checkpoints.
    """
    chains: list[Chain] = []
    deeds: Counter[Deed] = Counter()
    for node in sorted({*journal.proof.nodes(), *on_disk.nodes(directory)}):
        chain, broken = _follow(journal, node, directory, deeds, progress)
        chains.append(chain)
        if broken:
            return Verification(tuple(chains), 0, broken, deeds)
    if broken := next(_altered_certificates(journal), None):
        return Verification(tuple(chains), 0, broken, deeds)
    records = 0
    for broken in _records(journal, spool, [each.node for each in chains], progress):
        if broken:
            return Verification(tuple(chains), records, broken, deeds)
        records += 1
    return Verification(tuple(chains), records, None, deeds)


def chain_entries(journal: Journal, node: str, after: int = 0) -> Iterator[Entry]:
    """The entries of a chain after a number, read page by page."""
    while page := journal.proof.entries(node, after, PAGE):
        yield from page
        after = page[-1].number


# --- The chain ------------------------------------------------------------------------------------------------


def _follow(
    journal: Journal, node: str, directory: Path, deeds: Counter[Deed], progress: Progress
) -> tuple[Chain, Break | None]:
    signed = list(on_disk.read(directory, node))
    broken = _forged(node, directory, signed)
    points = [each.checkpoint for each in signed]
    last = max((each.number for each in points), default=0)
    follower, unsigned_since = ChainFollower(node, points), None
    for entry in chain_entries(journal, node):
        broken = broken or follower.follow(entry)
        if broken:
            break
        if entry.number == last + 1:
            unsigned_since = entry.at
        if entry.kind in _DEEDS:
            facts = facts_of(entry.facts)
            deeds[Deed(entry.kind, str(facts.get("by", "")), str(facts.get("why", "")))] += 1
        progress(1)
    broken = broken or follower.end()
    if not broken and (lost := on_disk.lost(directory, node)):
        broken = Break(node, lost[0], "", lost[1])
    return Chain(node, follower.head.number, len(points), last, unsigned_since), broken


def _forged(node: str, directory: Path, signed: list[on_disk.SignedCheckpoint]) -> Break | None:
    """The break for a checkpoint that the node did not sign, if any; raises CheckpointUnreadable."""
    if not signed:
        return None
    key = on_disk.public_key(directory, node)
    for each in signed:
        if each.checkpoint.node != node or not each.is_signed_by(key):
            what = f"has a checkpoint, in line {each.line} of {node}.jsonl, that the node did not sign"
            return Break(node, each.checkpoint.number, "", what)
    return None


# --- Records --------------------------------------------------------------------------------------------------


def _records(journal: Journal, spool: Spool | None, nodes: list[str], progress: Progress) -> Iterator[Break | None]:
    """Check each message and refusal in the order of the chains, then find records that no chain has an entry for."""
    for node in nodes:
        for entry in chain_entries(journal, node):
            if entry.kind in _BEGINNINGS:
                yield _check(journal, spool, entry)
            progress(1)
    after = ""
    while page := journal.proof.subjects(after, PAGE):
        for subject in page:
            if broken := _unknown(journal.proof.evidence(subject), subject):
                yield broken
        after = page[-1]


def _check(journal: Journal, spool: Spool | None, entry: Entry) -> Break | None:
    evidence = journal.proof.evidence(entry.subject)
    what = next(differences(evidence), None) or _lost_signer(journal, evidence.about)
    if what is None and spool and isinstance(evidence.about, Message):
        what = next(document_differences(journal, spool, evidence, evidence.about), None)
    return Break(entry.node, entry.number, entry.subject, what) if what else None


def _lost_signer(journal: Journal, about: Message | Refusal | None) -> str | None:
    signer = about.signer_sha256 if isinstance(about, Message) else None
    if signer is None or journal.proof.certificate(signer):
        return None
    return f"has lost the certificate of its signer ({signer}): it was removed"


def _altered_certificates(journal: Journal) -> Iterator[Break]:
    """The breaks for stored certificates that do not match their digest."""
    after = ""
    while page := journal.proof.certificates(after, PAGE):
        for digest, der in page:
            if sha256(der).hexdigest() != digest:
                yield Break("", 0, digest, "is the certificate of a signer that was replaced by another one")
        after = page[-1][0]


def _unknown(evidence: Evidence, subject: str) -> Break | None:
    """The break for a row without a first entry, unless it was erased a moment ago."""
    if evidence.about is None or any(entry.kind in _BEGINNINGS for entry in evidence.entries):
        return None
    return Break("", 0, subject, "was inserted: no chain has an entry for it")


# --- Documents ------------------------------------------------------------------------------------------------


def document_differences(journal: Journal, spool: Spool, evidence: Evidence, message: Message) -> Iterator[str]:
    """The differences between the documents of a message and their digests, unless they were pruned."""
    if any(entry.kind == EntryKind.PRUNED for entry in evidence.entries):
        return
    for kind, name, known in documents_of(message):
        found = _digest_of(journal, spool, name)
        if found is None and journal.proof.evidence(message.id).about != message:
            return  # it was pruned meanwhile
        if found is None:
            yield f"has lost its {kind} ({name}): it was removed, and no entry says that it was pruned"
        elif found != known:
            yield f"has another {kind} ({name}) than the one that was entered: it was altered"


def _digest_of(journal: Journal, spool: Spool, name: str) -> str | None:
    """The SHA-256 of a document; None if it is missing."""
    try:
        with open_document(journal, spool, name) as file:
            return digest_of(file)
    except JournalUnavailable:
        return None


def next_checkpoint(checkpoints: list[Checkpoint], number: int) -> Checkpoint | None:
    """The first checkpoint that covers the entry with this number."""
    later = (each for each in checkpoints if each.number >= number)
    return min(later, key=lambda each: each.number, default=None)
