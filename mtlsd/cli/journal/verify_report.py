"""What `mtlsd journal verify` found, as text or as values of JSON."""

from dataclasses import dataclass
from pathlib import Path

import click

from mtlsd.cli.output import iso, say
from mtlsd.journal.proof.chain import Break
from mtlsd.journal.proof.verify import Chain, Verification
from mtlsd.text import printable

MARGIN_SECONDS = 60  # the daemon looks now and then whether a checkpoint is due, and clocks differ
REMEDY = (
    "Keep the state directory as it is, compare it with a backup from before, and ask who could write there; "
    "docs/operations.md says how."
)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What to think of entries that no checkpoint is about: after `age` seconds one is due."""

    directory: Path
    age: float
    now: float

    def is_overdue(self, chain: Chain) -> bool:
        """Whether it should be signed by now; what claims to be from the future should, too."""
        since = chain.unsigned_since
        return since is not None and not -MARGIN_SECONDS <= self.now - since < self.age

    def is_nobodys(self, chain: Chain) -> bool:
        """Whether nothing but the database speaks for the chain, and something else should."""
        return chain.checkpoints == 0 and self.is_overdue(chain)

    def warning(self, chain: Chain) -> str | None:
        if not self.is_overdue(chain):
            return None
        since = iso(chain.unsigned_since)
        if chain.checkpoints:
            words = (
                "a checkpoint was due since. Its daemon does not run or cannot write it, or checkpoints were removed"
            )
            return f"node {chain.node}: {chain.unsigned} entries, since {since}, are covered by no signature: {words}"
        words = "whoever can write the database can have made all of them. Is it the right directory?"
        return f"node {chain.node}: its entries begin at {since}, and {self.directory} has no checkpoint of it: {words}"


def say_verification(found: Verification, unsigned: Unsigned) -> None:
    for each in found.chains:
        say(f"node {each.node}: {each.entries} entries; {_signed(each)}")
    for deed, count in found.deeds.items():
        by = f" by {deed.by}" if deed.by else ""
        say(f"{count} {deed.kind}{by}{f': {deed.why}' if deed.why else ''}")
    for warning in filter(None, map(unsigned.warning, found.chains)):
        click.echo(printable(warning), err=True)
    if found.broken:
        click.echo(printable(f"{_sentence(found.broken)}. {REMEDY}"), err=True)
    else:
        say(f"{found.records} messages and refusals are as they were entered")


def verification(found: Verification, unsigned: Unsigned) -> dict[str, object]:
    broken = found.broken
    told = broken and {"node": broken.node, "number": broken.number, "id": broken.subject, "what": broken.what}
    deeds = [{"what": deed.kind, "by": deed.by, "why": deed.why, "count": count} for deed, count in found.deeds.items()]
    return {
        "chains": [_chain(each, unsigned) for each in found.chains],
        "deeds": deeds,
        "records": found.records,
        "broken": told,
    }


def _chain(chain: Chain, unsigned: Unsigned) -> dict[str, object]:
    return {
        "node": chain.node,
        "entries": chain.entries,
        "checkpoints": chain.checkpoints,
        "signed_up_to": chain.signed_up_to,
        "unsigned": chain.unsigned,
        "warning": unsigned.warning(chain),
    }


def _signed(chain: Chain) -> str:
    if not chain.checkpoints:
        return "no checkpoint so far" if chain.entries else "no checkpoint"
    signed = f"{chain.checkpoints} checkpoints, the last one about entry {chain.signed_up_to}"
    behind = f"; the {chain.unsigned} behind it are not yet covered by a signature" if chain.unsigned else ""
    return signed + behind


def _sentence(broken: Break) -> str:
    place = f"entry {broken.number} of node {broken.node}" if broken.number else "a row"
    return f"{place}{f', about {broken.subject},' if broken.subject else ''} {broken.what}"
