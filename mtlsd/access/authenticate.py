"""Identifies the partner of a connection on each request; the verdict is cached until something relevant changes."""

from datetime import datetime

from mtlsd.access.revocation_port import KnownRevocations
from mtlsd.partners import matching
from mtlsd.partners.matching import Claim, Peer
from mtlsd.pki.certificate import PeerVerified, Presented
from mtlsd.pki.revocation import Evidence
from mtlsd.snapshot.snapshot import Snapshot
from mtlsd.tls import verify


class Judgement:
    """The verdict on one connection. It holds for one snapshot, until a certificate in it expires or is retired."""

    def __init__(self, revocations: KnownRevocations, *, may_ask_later: bool = False) -> None:
        """`may_ask_later`: a responder that was not asked yet does not count against the client."""
        self._may_ask_later = may_ask_later
        self._revocations = revocations
        self._version = revocations.version
        self.warnings: tuple[str, ...] = ()  # of the verdict in force
        self._peer: Peer | None = None
        self._snapshot: Snapshot | None = None
        self._since: datetime | None = None
        self._until: datetime | None = None

    def peer(self, presented: Presented, snapshot: Snapshot, host: str, now: datetime) -> Peer:
        """The partner; raises CertificateRefused or CertKnownOtherHost."""
        if self._peer is not None and self._snapshot is snapshot and self._holds(now):
            return self._peer
        self._peer, self.warnings, self._version = None, (), self._revocations.version
        claim = matching.claim(presented, snapshot.truststore)
        evidence = self._revocations.evidence(claim)
        if self._may_ask_later and evidence.ocsp is None:
            evidence = evidence.without_ocsp()
        verdict = verify.judge(presented, claim.anchors, now, claim.relax, evidence)
        self._peer = matching.match(verdict, claim, snapshot.truststore, host)
        self._snapshot, self._since, self._until = snapshot, now, _first_end(presented, claim, evidence, now)
        self.warnings = verdict.warnings if isinstance(verdict, PeerVerified) else ()
        return self._peer

    def _holds(self, now: datetime) -> bool:
        known = self._version == self._revocations.version
        return known and self._since is not None and self._until is not None and self._since <= now < self._until


def _first_end(presented: Presented, claim: Claim, evidence: Evidence, now: datetime) -> datetime:
    anchors = claim.anchors
    retire_after = claim.partner.dates_of(claim.certificate).retire_after if claim.partner else None
    certificates = (presented.certificate, *presented.chain, *anchors.roots, *anchors.intermediates)
    ends = [each.not_after for each in certificates]
    return min(filter(None, (*ends, retire_after, evidence.until(now))))
