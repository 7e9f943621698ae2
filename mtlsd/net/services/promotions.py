"""Promotions: the first successful use of a newer certificate, logged and entered into the chain of the journal.

Promotions decide nothing, so nothing waits for them: they are entered in the background, and if one cannot be written,
it is retried later. Nodes that share a journal read each other's promotions at their start, and enter none twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import trio

from mtlsd import log
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.proof.chain import Entry, EntryKind, Note
from mtlsd.journal.proof.entries import facts_of
from mtlsd.journal.sql.journal import Journal
from mtlsd.log import Logger
from mtlsd.partners.rollover import CertificateState, Promotions, Standing, Use, Used, standings
from mtlsd.partners.warnings import never_retired
from mtlsd.pki.key_pair import KeyPair
from mtlsd.snapshot.snapshot import Snapshot

SUBJECT = "certificates"  # of all entries about promotions, so that one query finds them
THEIRS = (Use.CONNECTION, Use.MESSAGE)
RETRY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Promotion:
    """A newer certificate became the active one; `mark` is what `Use.mark` makes of it."""

    use: str  # a string, because a newer version may know other values of `Use`
    mark: str
    at: datetime

    def note(self) -> Note:
        """The chain entry for this promotion."""
        return Note(EntryKind.PROMOTED, SUBJECT, self.at.timestamp(), {"use": self.use, "mark": self.mark})

    @classmethod
    def read(cls, entry: Entry) -> Self:
        """Read a promotion from its chain entry."""
        facts = facts_of(entry.facts)
        return cls(facts["use"], facts["mark"], datetime.fromtimestamp(entry.at, UTC))


def promotions_in(journal: Journal) -> dict[str, datetime]:
    """The promotions so far, on any node; raises JournalUnavailable."""
    entries = journal.proof.evidence(SUBJECT).entries
    said = [Promotion.read(each) for each in entries if each.kind == EntryKind.PROMOTED]
    return {each.mark: each.at for each in reversed(said)}  # the first counts


def standings_in(snapshot: Snapshot, use: Use, owner: str, promotions: Promotions, now: datetime) -> list[Standing]:
    """The standings of the certificates for one use; `owner` names a partner, an organization or a host."""
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
    """Promotes for one node. `promotions` has the known promotions; only one thread may call `note`."""

    def __init__(self, journal: Journal, logger: Logger) -> None:
        self.promotions: dict[str, datetime] = {}
        self._journal = journal
        self._log = logger
        self._waiting: list[Promotion] = []
        self._due = trio.Event()
        self._snapshot: Snapshot | None = None
        self._settled: set[Used] = set()  # have nothing left to promote in that snapshot

    def recall(self) -> None:
        """Read the earlier promotions; raises JournalUnavailable."""
        self.promotions = promotions_in(self._journal)

    def note(self, used: Used, snapshot: Snapshot, now: datetime) -> None:
        """Promote this certificate if it is newer than the certificate in use."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._settled.clear()
        if used in self._settled:
            return
        several = standings_in(snapshot, used.use, used.owner, self.promotions, now)
        found = next((each for each in several if each.certificate.sha256 == used.sha256), None)
        if found and found.state is CertificateState.PENDING and not found.usable:
            return  # not valid yet: a message was encrypted to our next certificate
        self._settled.add(used)
        if found and found.state is CertificateState.PENDING:
            self._promote(used, found, several, now)

    def _promote(self, used: Used, new: Standing, several: list[Standing], now: datetime) -> None:
        use = used.use
        promotion = Promotion(use, use.mark(used.owner, new.certificate), now)
        self.promotions[promotion.mark] = now
        retiring = [each for each in several[: several.index(new)] if each.usable]
        endless = [never_retired(each) for each in retiring if use in THEIRS and each.dates.retire_after is None]
        facts = {"use": use, "owner": used.owner, "subject": new.certificate.subject, "sha256": new.certificate.sha256}
        old = [each.certificate.sha256 for each in retiring]
        self._log.info(log.CERTIFICATE_PROMOTED, **facts, retiring=old, **({"detail": endless} if endless else {}))
        self._waiting.append(promotion)
        self._due.set()

    async def run(self) -> None:
        """Enter new promotions until cancelled."""
        while True:
            await self._due.wait()
            self._due = trio.Event()
            if not await trio.to_thread.run_sync(self.flush):
                self._due.set()
                await trio.sleep(RETRY_SECONDS)

    def flush(self) -> bool:
        """Enter the waiting promotions; return whether that succeeded."""
        waiting = list(self._waiting)
        try:
            if waiting:
                known = promotions_in(self._journal)
                self._journal.proof.enter([each.note() for each in waiting if each.mark not in known])
        except (JournalUnavailable, SpoolFull) as error:
            self._log.error(log.PROMOTION_NOT_ENTERED, reason=error.reason, detail=error.detail)
            return False
        del self._waiting[: len(waiting)]
        return True
