"""Revocation data other than the partners' files: fetched lists and OCSP answers, collected for the judgement.

Nothing is fetched and no responder is asked for a partner unless its settings say so.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import trio

from mtlsd.log import Logger
from mtlsd.net.services.crl_cache import Lists
from mtlsd.net.services.ocsp_cache import Responders
from mtlsd.partners import matching
from mtlsd.partners.matching import Claim
from mtlsd.partners.partner import Partner
from mtlsd.pki.certificate import Certificate, PeerVerified, Presented
from mtlsd.pki.revocation import RevocationCheck, RevocationEvidence
from mtlsd.snapshot.snapshot import Snapshot
from mtlsd.tls import verify

LOOK_SECONDS = 30
AT_ONCE = 8
AT_ONCE_FOR_ONE = 2  # of one partner
NOTHING = RevocationEvidence()


class Revocations:
    """The revocation data of one daemon. `version` changes whenever a verdict could change."""

    def __init__(self, directory: Path, clock: Callable[[], float], logger: Logger) -> None:
        self.version = 0
        self._clock = clock
        self._lists = Lists(directory, clock, logger, self._change)
        self._responders = Responders(clock, logger, self._change)
        self._woken = trio.Event()

    def evidence(self, claim: Claim) -> RevocationEvidence:
        """Everything known now about the chain of this partner's client."""
        partner = claim.partner
        if partner is None:
            return NOTHING
        found = None
        if partner.revocation.ocsp is not RevocationCheck.OFF:
            found = self._responders.known(claim.certificate, partner.revocation)
        return RevocationEvidence(partner.revocation, (*partner.crls, *self._lists.of(partner)), found)

    async def prepare(self, presented: Presented, snapshot: Snapshot) -> None:
        """Ask the responder about a client's certificate after all else has verified; takes a few seconds at most.

        `run` asks about registered certificates in time, so no request waits because an answer has become old.
        """
        claim = matching.claim(presented, snapshot.truststore)
        partner = claim.partner
        if partner is None or not _asks(partner):
            return
        known = self._responders.known(claim.certificate, partner.revocation)
        if known is None or (
            not claim.anchors.pinned and self._responders.is_due(claim.certificate, partner.revocation)
        ):
            await self._ask(presented, claim, partner)

    async def load(self, snapshot: Snapshot) -> None:
        """Load the lists that are on disk."""
        await self._lists.load(snapshot.truststore)

    def wake(self) -> None:
        """Check immediately what new settings require."""
        self._woken.set()
        self._woken = trio.Event()

    async def run(self, snapshot: Callable[[], Snapshot]) -> None:
        """Fetch lists and ask responders ahead of the requests until cancelled; neither task waits for the other."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._again, lambda: self._lists.fetch_due(snapshot().truststore, nursery))
            nursery.start_soon(self._again, lambda: self._ask_ahead(snapshot()))

    async def _again(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            woken = self._woken
            await look()
            with trio.move_on_after(LOOK_SECONDS):
                await woken.wait()

    def _change(self) -> None:
        self.version += 1

    async def _ask_ahead(self, snapshot: Snapshot) -> None:
        """Ask about the registered certificates, so that no request waits, and no handshake that must refuse."""
        limiter, names = trio.CapacityLimiter(AT_ONCE), snapshot.truststore.partners
        limiters = {name: trio.CapacityLimiter(AT_ONCE_FOR_ONE) for name in names}

        async def ask(partner: Partner, certificate: Certificate) -> None:
            async with limiters[partner.name], limiter:
                presented = Presented(certificate)
                await self._ask(presented, matching.claim(presented, snapshot.truststore), partner)

        async with trio.open_nursery() as nursery:
            for partner, certificate in _registered(snapshot):
                if self._responders.is_due(certificate, partner.revocation):
                    nursery.start_soon(ask, partner, certificate)

    async def _ask(self, presented: Presented, claim: Claim, partner: Partner) -> None:
        """Ask only about a chain that verifies: the URL of any other chain could be a stranger's."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        verdict = verify.judge(presented, claim.anchors, now, claim.relax)
        if isinstance(verdict, PeerVerified):
            issuer = verdict.chain[1] if len(verdict.chain) > 1 else None
            await self._responders.ask(presented.certificate, issuer, partner.revocation)


def _asks(partner: Partner) -> bool:
    return partner.revocation.ocsp is not RevocationCheck.OFF


def _registered(snapshot: Snapshot) -> Iterator[tuple[Partner, Certificate]]:
    for partner in snapshot.truststore.partners.values():
        if _asks(partner):
            yield from ((partner, each) for each in partner.public_certificates if not each.is_self_signed)
