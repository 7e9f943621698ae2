"""Which alerts were given, as the hash chain has it: it outlives a restart, and several nodes share it in PostgreSQL.

Before a node gives an alert it enters a claim; afterwards, that it was given. The first claim counts, in the order of
writing, so of two nodes that look at once one gives it. A claim that nothing follows ends by itself: then another node,
or this one after a crash, gives the alert. It comes twice only where a node dies between giving it and entering that.
"""

import json
from collections.abc import Iterable
from enum import Enum, auto

from mtlsd.journal.proof.chain import Entry, Note
from mtlsd.journal.protocol import Proof
from mtlsd.partners.expiry import Alert

CLAIMED, GIVEN = "alert_claimed", "alert_given"
CLAIM_SECONDS = 2 * 3600
WRONG_CLOCK_SECONDS = 2 * 86400  # what is later than so was entered by a wrong clock, and does not count


class Standing(Enum):
    """What is known of an alert."""

    GIVEN = auto()
    OURS = auto()  # it is for this node to give
    THEIRS = auto()
    OPEN = auto()


def subject(alert: Alert) -> str:
    """Under which the chain has what is about this; who renews a certificate makes another."""
    return f"expiry {alert.about.sha256}"


def claim(proof: Proof, alert: Alert, now: float) -> Standing:
    """Claim an alert unless it was given or is claimed; raises JournalUnavailable or SpoolFull."""
    found = standing(proof.evidence(subject(alert)).entries, alert.days, proof.node, now)
    if found is not Standing.OPEN:
        return found
    proof.enter([_note(CLAIMED, alert, now)])
    return standing(proof.evidence(subject(alert)).entries, alert.days, proof.node, now)


def enter_given(proof: Proof, alerts: Iterable[Alert], now: float) -> None:
    """Enter that alerts were given; raises JournalUnavailable or SpoolFull."""
    proof.enter([_note(GIVEN, each, now) for each in alerts])


def standing(entries: Iterable[Entry], days: int, node: str, now: float) -> Standing:
    """Where an alert stands; one for fewer days was given after it, and covers it."""
    credible = [each for each in entries if each.at <= now + WRONG_CLOCK_SECONDS]
    said = [(each, json.loads(each.facts)["days"]) for each in credible if each.kind in (CLAIMED, GIVEN)]
    if any(each.kind == GIVEN and number <= days for each, number in said):
        return Standing.GIVEN
    for each, number in said:
        if each.kind == CLAIMED and number == days and now - each.at < CLAIM_SECONDS:
            return Standing.OURS if each.node == node else Standing.THEIRS
    return Standing.OPEN


def _note(kind: str, alert: Alert, now: float) -> Note:
    about = alert.about
    facts = {"days": alert.days, "owner": about.owner, "use": about.use, "not_after": about.not_after.timestamp()}
    return Note(kind, subject(alert), now, facts)
