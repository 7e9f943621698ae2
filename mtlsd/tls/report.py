"""The report on a client: the result of every rule, so that one answer names everything that is wrong.

Only `judge` and `match` decide whether a request is accepted. The report runs the same list of rules to its end, with
the same relaxations, and does not change the verdict.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from mtlsd.errors import PartnerDisabled, PeerError
from mtlsd.partners.matching import Claim, match
from mtlsd.partners.partner import Partner
from mtlsd.partners.rules import Finding, Result, RuleName, rule_of
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.anchors import Anchors
from mtlsd.pki.certificate import PeerVerified, Presented
from mtlsd.pki.relaxations import RELAXATIONS
from mtlsd.pki.revocation import Evidence
from mtlsd.tls.verify import CHAIN, NO_EVIDENCE, RULES, Breach, Case, breaches, judge

ABOVE = "of a certificate above yours"
UNTOLD = {RuleName.REVOCATION}  # reported only if it fails, because most partners have no lists
TOLD = {rule.name for _, rules in RULES for rule in rules} - UNTOLD


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on a client, and the result of each rule."""

    findings: tuple[Finding, ...]
    refusal: PeerError | None = None  # the reason that counts: every request of this client gets it
    partner: Partner | None = None  # proven by a chain that verifies, or by the key of a registered certificate


def report(
    presented: Presented, claim: Claim, truststore: TrustStore, host: str, now: datetime, evidence: Evidence
) -> Report:
    """Judge this client on this host, with the result of every rule."""
    findings = examine(presented, claim.anchors, now, _relax(claim), evidence)
    verdict = judge(presented, claim.anchors, now, claim.relax, evidence)
    try:
        partner = match(verdict, claim, truststore, host).partner
    except PeerError as refusal:
        if isinstance(refusal, PartnerDisabled):
            findings = tuple(map(_without_chain, findings))
        proven = isinstance(verdict, PeerVerified) or claim.anchors.pinned
        shown = claim.partner if proven else None
        return Report((*findings, _mapping(refusal, shown)), refusal, shown)
    return Report((*findings, _mapping(None, partner)), None, partner)


def examine(
    presented: Presented,
    anchors: Anchors,
    now: datetime,
    relax: frozenset[str] = frozenset(),
    evidence: Evidence = NO_EVIDENCE,
) -> tuple[Finding, ...]:
    """The result of each rule except the mapping, for the arguments of `judge`.

    If the client's certificate is not valid now, its chain is judged as of its last day, or its first.
    """
    case = Case(presented, anchors, now, relax, evidence)
    failed: dict[RuleName, Finding] = {}
    for breach in breaches(case):
        name = rule_of(breach.error)
        failed.setdefault(name, Finding(name, Result.FAILED, breach.error, _remark(breach, case)))
    return tuple(_findings(case, failed))


def _findings(case: Case, failed: dict[RuleName, Finding]) -> Iterator[Finding]:
    for name in RuleName:
        if name in failed:
            yield failed[name]
        elif name is RuleName.CHAIN:
            yield Finding(name, Result.PASSED, remark=_as_of(case)) if case.chain else Finding(name, Result.NOT_JUDGED)
        elif name in TOLD:
            yield Finding(name, Result.PASSED)


def _remark(breach: Breach, case: Case) -> str:
    """Details about the client's own certificate only; those of a chain could be about other people's certificates."""
    leaf = case.presented.certificate
    if breach.certificate != leaf or breach.error.facts.get("revocation_of", leaf.subject) != leaf.subject:
        return ABOVE
    if breach.rule is CHAIN:
        return _as_of(case) if rule_of(breach.error) is RuleName.CHAIN else ABOVE
    return "" if rule_of(breach.error) is RuleName.REVOCATION else breach.error.detail


def _as_of(case: Case) -> str:
    return "" if case.moment == case.now else f"as of {case.moment:%Y-%m-%d}"


def _relax(claim: Claim) -> frozenset[str]:
    """The client's relaxations; all of them, if it belongs to a partner but we cannot tell which or how."""
    undecided = bool(claim.names) and claim.partner is None  # disabled, or claimed by several
    return frozenset(RELAXATIONS) if undecided else claim.relax


def _mapping(refusal: PeerError | None, partner: Partner | None) -> Finding:
    """The partner of the certificate; not reported if the chain does not verify: a subject alone proves nothing."""
    if refusal and rule_of(refusal) is RuleName.MAPPING:
        return Finding(RuleName.MAPPING, Result.FAILED, refusal)
    return Finding(RuleName.MAPPING, Result.PASSED if partner else Result.NOT_JUDGED)


def _without_chain(finding: Finding) -> Finding:
    """Do not judge the chain of a disabled partner: it has no anchors, which is not the client's fault."""
    return Finding(RuleName.CHAIN, Result.NOT_JUDGED) if finding.rule is RuleName.CHAIN else finding
