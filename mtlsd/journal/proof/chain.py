"""The hash chain of a node: what was done, in its order, each entry bound to all entries before it. Pure.

The rules, and why:

1. *An entry is one line of JSON in ASCII* (`Entry.line`), and its digest is the SHA-256 of that line, without a line
   feed. The keys have a fixed order, and `facts` is canonical JSON, so the same entry is always the same octets.
   `sha256sum` is all that anybody needs to follow a chain.
2. *An entry holds the digest of the entry before it* as `previous`; the first one holds `GENESIS`. Numbers count from 1
   without a gap. So the digest of the last entry, with its number the *head*, stands for the whole chain.
3. *Each node has its own chain*, because nodes must not wait for each other. The node's name is in every line.
4. *Records are named by our ids and by salted digests.* The salt is in the record and not in the chain. Whoever has the
   record can show that it is the one that was entered; after the record was erased, nobody can guess it from the chain,
   and the chain is as whole as before.
5. *A checkpoint is a head that the node signed*, kept where nobody who can write the journal can write. Checkpoints are
   counted (`sequence`), so that a line missing from their file is noticed, unless it was the last one.

What a chain proves:

- An entry that was altered no longer has its digest. If its digest was computed again, the next entry follows another
  one. If all later digests were computed again, the next checkpoint has another digest.
- A missing entry leaves a gap in the numbers, and an inserted entry has a number that is already taken.
- An end that was cut off is known to a checkpoint only, and so is a chain that was rewritten from the beginning.

What a chain does not prove:

- That an entry after the last checkpoint is ours. An entry needs no key: anyone who can write the journal can append
  one, or replace all that is unsigned. The next checkpoint signs such entries, because they continue the chain.
- That an entry is true. It was entered, in this order, and not altered since it was signed.
- Anything at all against someone who has the node's key, or can write the checkpoints too.
- That the rows of the journal are still those that were entered: `entries.py` and `verify.py` compare them.

For the code below:

- The line is a stored format. `Entry.is_whole` writes the line again from the columns of an old row, so neither the
  order of the keys nor the text of a number may change. `facts` is stored as text, never encoded again, and comes last,
  so that no text in it can pass for another key.
- `follow` makes entries from notes and a head. The journal locks the chain, and commits the entries together with the
  rows that they are about.
- `ChainFollower` checks one entry at a time and holds only the last one, so a chain of any length can be read in pages.
  It can begin after a head that the caller trusts: this is how a checkpoint is signed without reading from number 1.
- A `Break` names the first entry that can be wrong. If entry 8 does not follow entry 7, and entry 8 is whole, then
  entry 7 was altered; if a checkpoint disagrees, it is one of the entries since the checkpoint before.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

FORMAT = 1
GENESIS = "0" * 64  # `previous` of the first entry

# JSON in ASCII with sorted keys and without blanks, so that equal values give equal text. The values have no circular
# references, and without the check for them encoding takes a third less time.
canonical = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False, check_circular=False).encode


class EntryKind(StrEnum):
    """The kind of an entry. The outcome of a delivery has the name of the resulting state."""

    SELFTESTED = "selftested"  # a receipt was signed for a self-test, whose message is not stored
    CONFIGURATION = "configuration"  # another configuration is in force
    PROMOTED = "promoted"  # a newer certificate was used for the first time
    EXPORTED = "exported"  # partners, certificates and keys were written to a bundle
    IMPORTED = "imported"  # partners, certificates and keys were read from a bundle
    ACCEPTED = "accepted"
    REFUSED = "refused"
    PROMISED = "promised"  # another delivery, or a late MDN
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"
    REPLAYED = "replayed"  # a delivery is due again
    PRUNED = "pruned"  # the contents were deleted, and the record was kept
    ERASED = "erased"  # everything was deleted except the entries


@dataclass(frozen=True, slots=True)
class Note:
    """A fact to enter: `subject` is our id of the thing that the note is about, `facts` are values of JSON."""

    kind: str
    subject: str
    at: float
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A note in the chain; `facts` is canonical JSON, and `digest` is that of the line when it was entered."""

    node: str
    number: int
    at: float
    kind: str
    subject: str
    facts: str
    previous: str
    digest: str

    @property
    def line(self) -> bytes:
        """The octets that are digested. The facts are last, so that no other column can pass for a part of them."""
        return _line(self.node, self.number, self.at, self.kind, self.subject, self.facts, self.previous)

    @property
    def is_whole(self) -> bool:
        """Whether the line still has the digest that was entered."""
        return _digest(self.line) == self.digest


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and the digest of its last entry."""

    number: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head to be signed; `sequence` counts the checkpoints of a node in one directory from 1."""

    node: str
    number: int
    digest: str
    at: float
    sequence: int = 1

    @property
    def text(self) -> bytes:
        """The octets that are signed: one line of JSON, without a line feed."""
        values = {"at": float(self.at), "digest": self.digest, "node": self.node, "number": self.number}
        return canonical({**values, "sequence": self.sequence, "version": FORMAT}).encode()


@dataclass(frozen=True, slots=True)
class Break:
    """The first place at which a chain is broken; `what` ends a sentence that begins with the number."""

    node: str
    number: int
    subject: str
    what: str


def follow(head: Head, node: str, notes: Iterable[Note]) -> Iterator[Entry]:
    """The entries for these notes, in their order, from the head on."""
    number, previous = head.number, head.digest
    for note in notes:
        number += 1
        facts, at = canonical(note.facts), float(note.at)
        digest = _digest(_line(node, number, at, note.kind, note.subject, facts, previous))
        yield Entry(node, number, at, str(note.kind), note.subject, facts, previous, digest)
        previous = digest


class ChainFollower:
    """Checks one chain, entry by entry, against its checkpoints. Holds only the last entry."""

    def __init__(self, node: str, checkpoints: Iterable[Checkpoint] = (), head: Head | None = None) -> None:
        self.head = head or Head()
        self._node = node
        self._subject = ""  # of the last entry
        self._sure_of = self.head.number  # confirmed up to this number, by a checkpoint or by the caller
        ahead = (each for each in checkpoints if each.number > self._sure_of)
        self._checkpoints = sorted(ahead, key=lambda each: each.number)
        self._at = 0  # index of the next checkpoint

    def follow(self, entry: Entry) -> Break | None:
        """Check the next entry: None, or the first break."""
        broken = self._broken(entry)
        if broken is None:
            self.head, self._subject = Head(entry.number, entry.digest), entry.subject
            broken = self._past_checkpoints()
        return broken

    def end(self) -> Break | None:
        """End the chain: None, or a break if a checkpoint is about an entry that the chain does not have."""
        if self._at == len(self._checkpoints):
            return None
        last, first = self._checkpoints[-1].number, self.head.number + 1
        return self._break(first, f"was removed, with all entries up to {last}: the chain was cut off")

    def _broken(self, entry: Entry) -> Break | None:
        number = self.head.number + 1
        if entry.number > number:
            return self._break(number, "was removed" + _up_to(number, entry.number - 1))
        if entry.number < number:
            return self._break(entry.number, "was inserted: its number already exists", entry.subject)
        if entry.node != self._node or not entry.is_whole:
            return self._break(number, "was altered: its digest does not match", entry.subject)
        if entry.previous != self.head.digest:
            if number == 1:
                return self._break(number, "was altered: it is not the beginning of a chain", entry.subject)
            return self._break(number - 1, f"was altered: entry {number} follows a different entry", self._subject)
        return None

    def _past_checkpoints(self) -> Break | None:
        while self._at < len(self._checkpoints) and self._checkpoints[self._at].number == self.head.number:
            if self._checkpoints[self._at].digest != self.head.digest:
                first = self._sure_of + 1
                return self._break(
                    first, f"was altered{_up_to(first, self.head.number)}: the signed checkpoint has another digest"
                )
            self._at += 1
            self._sure_of = self.head.number
        return None

    def _break(self, number: int, what: str, subject: str = "") -> Break:
        return Break(self._node, number, subject, what)


def _up_to(first: int, last: int) -> str:
    return f", or one of those up to {last}" if last > first else ""


def _line(node: str, number: int, at: float, kind: str, subject: str, facts: str, previous: str) -> bytes:
    beginning = f'{{"version":{FORMAT},"node":{quoted(node)},"number":{number},"at":{at!r},"kind":{quoted(kind)}'
    return f'{beginning},"subject":{quoted(subject)},"previous":{quoted(previous)},"facts":{facts}}}'.encode()


def _digest(line: bytes) -> str:
    return sha256(line).hexdigest()
