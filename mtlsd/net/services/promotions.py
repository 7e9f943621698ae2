"""Promotions: the first successful use of a newer certificate, said in the log and kept in the chain of the journal.

They decide nothing, so nobody waits for them: they are entered in the background, and one that cannot be written is
tried again later. Nodes that share a journal know each other's at their start, and enter none twice.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import trio

from mtlsd import log
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.proof.chain import EntryKind, Note
from mtlsd.journal.protocol import Journal
from mtlsd.log import Logger
from mtlsd.partners.rollover import Promotions, Standing, State, Use, standings
from mtlsd.partners.warnings import never_retired
from mtlsd.pki.key_pair import KeyPair
from mtlsd.snapshot.snapshot import Snapshot

SUBJECT = "certificates"  # of all entries about promotions, so that one query finds them
THEIRS = (Use.CONNECTION, Use.MESSAGE)
RETRY_SECONDS = 30


def promotions_in(journal: Journal) -> dict[str, datetime]:
    """What is promoted so far, on any node; raises JournalUnavailable."""
    found: dict[str, datetime] = {}
    for entry in journal.proof.evidence(SUBJECT).entries:
        if entry.kind == EntryKind.PROMOTED:
            found.setdefault(json.loads(entry.facts)["mark"], datetime.fromtimestamp(entry.at, UTC))
    return found


def standings_in(snapshot: Snapshot, use: Use, owner: str, promotions: Promotions, now: datetime) -> list[Standing]:
    """Where the certificates of one use stand: of a partner, of an organization or of a host, by its name."""
    if use in THEIRS:
        partner = snapshot.truststore.partners.get(owner)
        return partner.standings(use, promotions, now) if partner else []
    return standings(use, owner, _pairs(snapshot, use, owner), promotions, now)


def _pairs(snapshot: Snapshot, use: Use, owner: str) -> Iterable[KeyPair]:
    organization, keys = snapshot.organizations.get(owner), snapshot.keys.get(owner)
    if organization and use in (Use.SIGNING, Use.DECRYPTION):
        return organization.signing_pairs if use is Use.SIGNING else organization.decryption
    if keys and use in (Use.SERVER, Use.CLIENT):
        return keys.server if use is Use.SERVER else keys.client or keys.server
    return ()


class Promoter:
    """Promotes for one node. `promotions` is what is known; `used` is called by one thread only."""

    def __init__(self, journal: Journal, logger: Logger) -> None:
        self.promotions: dict[str, datetime] = {}
        self._journal = journal
        self._log = logger
        self._waiting: list[Note] = []
        self._due = trio.Event()
        self._snapshot: Snapshot | None = None
        self._settled: set[tuple[Use, str, str]] = set()  # in that snapshot there is nothing to promote any longer

    def recall(self) -> None:
        """Read what was promoted before; raises JournalUnavailable."""
        self.promotions = promotions_in(self._journal)

    def used(self, use: Use, owner: str, sha256: str, snapshot: Snapshot, now: datetime) -> None:
        """Promote this certificate, if it is newer than the one in use; it was used with success."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._settled.clear()
        if (use, owner, sha256) in self._settled:
            return
        several = standings_in(snapshot, use, owner, self.promotions, now)
        found = next((each for each in several if each.certificate.sha256 == sha256), None)
        if found and found.state is State.PENDING and not found.usable:
            return  # it is early: a message that is encrypted to our next certificate
        self._settled.add((use, owner, sha256))
        if found and found.state is State.PENDING:
            self._promote(use, owner, found, several, now)

    def _promote(self, use: Use, owner: str, new: Standing, several: list[Standing], now: datetime) -> None:
        mark = use.mark(owner, new.certificate)
        self.promotions[mark] = now
        retiring = [each for each in several[: several.index(new)] if each.usable]
        endless = [never_retired(each) for each in retiring if use in THEIRS and each.dates.retire_after is None]
        facts = {"use": use, "owner": owner, "subject": new.certificate.subject, "sha256": new.certificate.sha256}
        old = [each.certificate.sha256 for each in retiring]
        self._log.info(log.CERTIFICATE_PROMOTED, **facts, retiring=old, **({"detail": endless} if endless else {}))
        self._waiting.append(Note(EntryKind.PROMOTED, SUBJECT, now.timestamp(), {"use": use, "mark": mark}))
        self._due.set()

    async def run(self) -> None:
        """Enter promotions as they come, until it is cancelled."""
        while True:
            await self._due.wait()
            self._due = trio.Event()
            if not await trio.to_thread.run_sync(self.flush):
                self._due.set()
                await trio.sleep(RETRY_SECONDS)

    def flush(self) -> bool:
        """Enter what waits; whether that was possible."""
        notes = list(self._waiting)
        try:
            if notes:
                known = promotions_in(self._journal)
                self._journal.proof.enter([each for each in notes if each.facts["mark"] not in known])
        except (JournalUnavailable, SpoolFull) as error:
            self._log.error(log.PROMOTION_NOT_ENTERED, reason=error.reason, detail=error.detail)
            return False
        del self._waiting[: len(notes)]
        return True
