"""Each rule for a client certificate judged on its own, so that one answer names all that is wrong.

What lets a request in is `judge`, and this changes nothing about it: the checks are the same functions.
"""

from datetime import datetime

from mtlsd.partners.rules import Finding, Result, Rule, examine_client, find, rule_of
from mtlsd.pki.anchors import Anchors
from mtlsd.pki.certificate import PeerUnverified, PeerVerified, Presented
from mtlsd.tls.verify import _check_dates, judge

ABOVE = "of a certificate above yours"


def examine(
    presented: Presented,
    anchors: Anchors,
    now: datetime,
    relax: frozenset[str],
    verdict: PeerVerified | PeerUnverified,
) -> tuple[Finding, ...]:
    """What came of each rule but the mapping; `verdict` is the one of `judge` for the same arguments.

    Where the client's certificate is out of its dates, the chain is judged as of its last day, or its first.
    """
    leaf = presented.certificate
    own = (find(Rule.DATES, lambda: _check_dates(leaf, now)), *examine_client(leaf, relax))
    moment = min(max(now, leaf.not_before), leaf.not_after)
    if moment == now:
        return _with_chain(own, verdict, "")
    return _with_chain(own, judge(presented, anchors, moment, relax), f"as of {moment:%Y-%m-%d}")


def _with_chain(own: tuple[Finding, ...], verdict: PeerVerified | PeerUnverified, as_of: str) -> tuple[Finding, ...]:
    """The findings with that of the chain. What `judge` says in detail is left out: it could be about others."""
    if isinstance(verdict, PeerVerified):
        return (*own, Finding(Rule.CHAIN, Result.PASSED, remark=as_of))
    rule = rule_of(verdict.error)
    if rule is Rule.CHAIN:
        return (*own, Finding(rule, Result.FAILED, verdict.error, as_of))
    unknown = Finding(Rule.CHAIN, Result.NOT_JUDGED)
    if any(each.rule is rule and each.result is Result.FAILED for each in own):
        return (*own, unknown)
    others = tuple(each for each in own if each.rule is not rule)
    return (*others, Finding(rule, Result.FAILED, verdict.error, ABOVE), unknown)
