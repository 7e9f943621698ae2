"""The result of `mtlsd journal verify`, as text or as values of JSON."""

from dataclasses import dataclass
from pathlib import Path

from mtlsd.cli.output import iso, say, values_of
from mtlsd.journal.proof.chain import Break
from mtlsd.journal.proof.verify import Chain, Verification

MARGIN_SECONDS = 60  # the daemon checks at intervals whether a checkpoint is due, and clocks differ
REMEDY = (
    "Keep the state directory unchanged, compare it with an earlier backup, and find out who could write there; "
    "docs/operations.md describes how."
)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Judges entries that no checkpoint covers: a checkpoint is due after `age` seconds."""

    directory: Path
    age: float
    now: float

    def is_overdue(self, chain: Chain) -> bool:
        """Whether the entries should be signed by now; also if they claim to be from the future."""
        since = chain.unsigned_since
        return since is not None and not -MARGIN_SECONDS <= self.now - since < self.age

    def is_nobodys(self, chain: Chain) -> bool:
        """Whether only the database vouches for the chain, although a checkpoint is due."""
        return chain.checkpoints == 0 and self.is_overdue(chain)

    def warning(self, chain: Chain) -> str | None:
        if not self.is_overdue(chain):
            return None
        since = iso(chain.unsigned_since)
        if chain.checkpoints:
            words = "a checkpoint is overdue. The daemon is not running or cannot write, or checkpoints were removed"
            return f"node {chain.node}: no signature covers {chain.unsigned} entries since {since}: {words}"
        words = (
            "anyone with write access to the database could have written them. Check that this is the right directory"
        )
        return f"node {chain.node}: {self.directory} has no checkpoint of its entries, which begin at {since}: {words}"


def say_verification(found: Verification, unsigned: Unsigned) -> None:
    for each in found.chains:
        say(f"node {each.node}: {each.entries} entries; {_signed(each)}")
    for deed, count in found.deeds.items():
        by = f" by {deed.by}" if deed.by else ""
        say(f"{count} {deed.kind}{by}{f': {deed.why}' if deed.why else ''}")
    for warning in filter(None, map(unsigned.warning, found.chains)):
        say(warning, err=True)
    if found.broken:
        say(f"{_sentence(found.broken)}. {REMEDY}", err=True)
    else:
        say(f"{found.records} messages and refusals are unchanged")


def verification(found: Verification, unsigned: Unsigned) -> dict[str, object]:
    broken = found.broken
    chain = ("node", "entries", "checkpoints", "signed_up_to", "unsigned")
    return {
        "chains": [values_of(each, *chain) | {"warning": unsigned.warning(each)} for each in found.chains],
        "deeds": [
            {"what": deed.kind, "by": deed.by, "why": deed.why, "count": count} for deed, count in found.deeds.items()
        ],
        "records": found.records,
        "broken": broken and {**values_of(broken, "node", "number"), "id": broken.subject, "what": broken.what},
    }


def _signed(chain: Chain) -> str:
    if not chain.checkpoints:
        return "no checkpoint yet" if chain.entries else "no checkpoint"
    signed = f"{chain.checkpoints} checkpoints, the last one covers entry {chain.signed_up_to}"
    behind = f"; the {chain.unsigned} later entries are not signed yet" if chain.unsigned else ""
    return signed + behind


def _sentence(broken: Break) -> str:
    place = f"entry {broken.number} of node {broken.node}" if broken.number else "a row"
    return f"{place}{f', about {broken.subject},' if broken.subject else ''} {broken.what}"
