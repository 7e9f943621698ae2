"""Who is at the other end of a connection, judged on each request: cached while nothing that counts has changed."""

from datetime import datetime

from mtlsd import identity, tls
from mtlsd.identity import Claim, Peer, Presented
from mtlsd.net.snapshot import Snapshot


class Judgement:
    """One connection's verdict. It holds for one snapshot, until the first certificate in it expires or is retired."""

    def __init__(self) -> None:
        self._peer: Peer | None = None
        self._snapshot: Snapshot | None = None
        self._since: datetime | None = None
        self._until: datetime | None = None

    def peer(self, presented: Presented, snapshot: Snapshot, host: str, now: datetime) -> Peer:
        """The partner; raises CertificateRefused or CertKnownOtherHost."""
        if self._peer is not None and self._snapshot is snapshot and self._holds(now):
            return self._peer
        self._peer = None
        claim = identity.claim(presented, snapshot.truststore)
        verdict = tls.judge(presented, claim.anchors, now, claim.relax)
        self._peer = identity.match(verdict, claim, snapshot.truststore, host)
        self._snapshot, self._since, self._until = snapshot, now, _first_end(presented, claim)
        return self._peer

    def _holds(self, now: datetime) -> bool:
        return self._since is not None and self._until is not None and self._since <= now < self._until


def _first_end(presented: Presented, claim: Claim) -> datetime:
    anchors = claim.anchors
    retire_after = claim.partner.dates_of(claim.certificate).retire_after if claim.partner else None
    certificates = (presented.certificate, *presented.chain, *anchors.roots, *anchors.intermediates)
    ends = [certificate.not_after for certificate in certificates]
    return min([*ends, retire_after] if retire_after else ends)
