"""Retention: deletes the contents of messages, by their age and by their total size, in small batches.

The record of a message remains, with its MDN and its key, so that a duplicate is still recognized. A refusal has no
key, so the whole refusal is deleted by its age.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mtlsd.journal.documents import remove_files
from mtlsd.journal.model import Reason
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal

BATCH = 100  # messages in one commit
_DAY = 86400  # seconds
_NEVER = 1e18  # seconds of the epoch, after every message


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long the contents of one partner's messages are kept, and how much of them; 0 is no limit."""

    days: int = 0
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """The deleted contents of one partner in one batch, or the contents that would be deleted."""

    partner: str
    messages: int
    octets: int
    refusals: int = 0


def prune(
    journal: Journal, spool: Spool, policy_of: Callable[[str], RetentionPolicy], by: str, now: float
) -> Iterator[Pruned]:
    """Delete the contents that are due, batch by batch. Undelivered messages are kept, whatever their age."""
    for partner, stored in sorted(journal.proof.stored().items()):
        policy = policy_of(partner)
        while due := _due(journal, partner, stored, policy, now, BATCH):
            reason = Reason(by, _why(policy), now)
            remove_files(spool, journal.proof.prune([id_ for id_, _ in due], reason))
            octets = sum(each for _, each in due)
            stored -= octets
            yield Pruned(partner, len(due), octets)
    for partner in journal.proof.refused_partners():
        policy = policy_of(partner)
        while old := _old_refusals(journal, partner, policy, now, BATCH):
            yield Pruned(partner, 0, 0, journal.proof.forget(old, Reason(by, _why(policy), now)))


def would_prune(journal: Journal, policy_of: Callable[[str], RetentionPolicy], now: float) -> Iterator[Pruned]:
    """What `prune` would delete now."""
    for partner, stored in sorted(journal.proof.stored().items()):
        if due := _due(journal, partner, stored, policy_of(partner), now, limit=1 << 62):
            yield Pruned(partner, len(due), sum(octets for _, octets in due))
    for partner in journal.proof.refused_partners():
        if old := _old_refusals(journal, partner, policy_of(partner), now, limit=1 << 62):
            yield Pruned(partner, 0, 0, len(old))


def _old_refusals(journal: Journal, partner: str, policy: RetentionPolicy, now: float, limit: int) -> list[str]:
    return journal.proof.forgettable(partner, now - policy.days * _DAY, limit) if policy.days else []


def _due(
    journal: Journal, partner: str, stored: int, policy: RetentionPolicy, now: float, limit: int
) -> list[tuple[str, int]]:
    """The oldest messages that are too old or too much; the longer list, because both begin with the oldest."""
    proof = journal.proof
    too_old = proof.prunable(partner, now - policy.days * _DAY, limit) if policy.days else []
    excess = stored - policy.max_bytes if policy.max_bytes else 0
    too_much: list[tuple[str, int]] = []
    for id_, octets in proof.prunable(partner, _NEVER, limit) if excess > 0 else []:
        if excess <= 0:
            break
        too_much.append((id_, octets))
        excess -= octets
    return max(too_old, too_much, key=len)


def _why(policy: RetentionPolicy) -> str:
    kept = [f"{policy.days} days"] if policy.days else []
    kept += [f"{policy.max_bytes} octets"] if policy.max_bytes else []
    return f"retention: {' or '.join(kept)} a partner"
