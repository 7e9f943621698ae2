"""Identifies the partner of a connection on each request; the verdict is cached until something relevant changes."""

from datetime import datetime

from mtlsd.access.known_certificates import KnownCertificates
from mtlsd.access.revocation_port import KnownRevocations
from mtlsd.partners import matching
from mtlsd.partners.matching import Claim, Peer
from mtlsd.pki.certificate import PeerVerified, Presented
from mtlsd.pki.revocation import RevocationCheck, RevocationEvidence
from mtlsd.snapshot.snapshot import Snapshot
from mtlsd.snapshot.verdicts import AcceptedChain
from mtlsd.tls import verify


class Judgement:
    """The verdict on one connection. It holds for one snapshot, until a certificate in it expires or is retired."""

    def __init__(
        self, revocations: KnownRevocations, certificates: KnownCertificates, *, may_ask_later: bool = False
    ) -> None:
        """`may_ask_later`: a responder that was not asked yet does not count against the client."""
        self._may_ask_later = may_ask_later
        self._revocations = revocations
        self._certificates = certificates
        self._version = revocations.version
        self._accepted: AcceptedChain | None = None
        self._snapshot: Snapshot | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the verdict in force."""
        return self._accepted.warnings if self._accepted else ()

    def peer(self, presented: Presented, snapshot: Snapshot, host: str, now: datetime) -> Peer:
        """The partner; raises CertificateRefused or CertKnownOtherHost."""
        version = self._revocations.version
        if self._accepted and self._snapshot is snapshot and self._version == version and self._accepted.holds(now):
            return self._accepted.peer
        self._accepted, self._snapshot, self._version = None, snapshot, version
        self._accepted = snapshot.verdicts.find(presented, host, version, now)
        self._accepted = self._accepted or self._judged(presented, snapshot, host, now)
        if not self._may_ask_later:
            self._certificates.keep(self._accepted.proved, self._accepted.peer.partner.name)
        return self._accepted.peer

    def _judged(self, presented: Presented, snapshot: Snapshot, host: str, now: datetime) -> AcceptedChain:
        """Judge the chain, and remember an acceptance if nothing is still to be asked."""
        claim = matching.claim(presented, snapshot.truststore)
        evidence = self._revocations.evidence(claim)
        if self._may_ask_later and evidence.ocsp is None:
            evidence = evidence.without_ocsp()
        verdict = verify.judge(presented, claim.anchors, now, claim.relax, evidence)
        peer = matching.match(verdict, claim, snapshot.truststore, host)
        assert isinstance(verdict, PeerVerified), "`match` raises otherwise"
        proved = tuple(each for each in (presented.certificate, *presented.chain) if each in verdict.chain)
        until = _first_end(presented, claim, evidence, now)
        accepted = AcceptedChain(peer, verdict.warnings, now, until, proved)
        if not self._may_ask_later and not _is_to_be_asked(evidence):
            snapshot.verdicts.keep(presented, host, self._version, accepted)
        return accepted


def _is_to_be_asked(evidence: RevocationEvidence) -> bool:
    return evidence.settings.ocsp is not RevocationCheck.OFF and evidence.ocsp is None


def _first_end(presented: Presented, claim: Claim, evidence: RevocationEvidence, now: datetime) -> datetime:
    anchors = claim.anchors
    retire_after = claim.partner.dates_of(claim.certificate).retire_after if claim.partner else None
    certificates = (presented.certificate, *presented.chain, *anchors.roots, *anchors.intermediates)
    ends = [each.not_after for each in certificates]
    return min(filter(None, (*ends, retire_after, evidence.until(now))))
