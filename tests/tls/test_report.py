"""Every rule for a certificate is judged on its own, and agrees with the judge that counts."""

import pytest

from mtlsd.errors import CertificateRefused, CertKnownOtherHost, peer_errors
from mtlsd.partners.rules import RuleName, RuleResult, rule_of
from mtlsd.pki.anchors import Anchors
from mtlsd.pki.certificate import PeerUnverified, Presented
from mtlsd.tls.report import examine
from mtlsd.tls.verify import judge
from tests.support import pki
from tests.support.pki import DAY, NOW, SERVER, Issued

ROOT = pki.root()
WEAK_CA = pki.intermediate(ROOT, "Weak CA", key=pki.rsa_key("weak CA", 1024))
OLD_CA = pki.intermediate(ROOT, "Old CA", end=NOW - DAY)
CASES: dict[str, tuple[Issued, set[RuleName]]] = {
    "good": (pki.leaf(ROOT), set()),
    "expired": (pki.leaf(ROOT, end=NOW - DAY), {RuleName.DATES}),
    "not yet": (pki.leaf(ROOT, start=NOW + DAY), {RuleName.DATES}),
    "weak": (pki.leaf(ROOT, key=pki.rsa_key("weak", 1024)), {RuleName.KEY}),
    "for servers": (pki.leaf(ROOT, eku=(SERVER,)), {RuleName.EXTENDED_KEY_USAGE}),
    "no signing": (pki.leaf(ROOT, uses=("key_encipherment",)), {RuleName.KEY_USAGE}),
    "SHA-1": (pki.leaf(ROOT, sha1=True), {RuleName.SIGNATURE_ALGORITHM}),
    "under a weak CA": (pki.leaf(WEAK_CA), {RuleName.KEY}),
    "under an old CA": (pki.leaf(OLD_CA), {RuleName.CHAIN}),
    "of a stranger": (pki.leaf(pki.root("Other")), {RuleName.CHAIN}),
    "expired and for servers": (
        pki.leaf(ROOT, end=NOW - DAY, eku=(SERVER,)),
        {RuleName.DATES, RuleName.EXTENDED_KEY_USAGE},
    ),
    "expired and of a stranger": (pki.leaf(pki.root("Other"), end=NOW - DAY), {RuleName.DATES, RuleName.CHAIN}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_fails_is_named_and_nothing_else(case: str) -> None:
    issued, expected = CASES[case]
    presented = Presented(issued.certificate, issued.chain)
    anchors = Anchors(roots=(ROOT.certificate,))
    verdict = judge(presented, anchors, NOW)
    found = examine(presented, anchors, NOW)
    assert {each.rule for each in found if each.result is RuleResult.FAILED} == expected
    assert len({each.rule for each in found}) == len(found)
    assert all((each.error is not None) == (each.result is RuleResult.FAILED) for each in found)
    assert isinstance(verdict, PeerUnverified) == bool(expected)
    if isinstance(verdict, PeerUnverified):  # the reason that counts is among those that are told
        assert verdict.error.reason in {each.error.reason for each in found if each.error}


def test_what_is_said_of_others_is_not_told() -> None:
    """The judge's own words may name an intermediate that a partner registered."""
    hidden = pki.intermediate(pki.root("Hidden Root"), "Hidden CA")
    anchors = Anchors(roots=(ROOT.certificate,), intermediates=(hidden.certificate,))
    presented = Presented(pki.leaf(hidden).certificate)
    verdict = judge(presented, anchors, NOW)
    assert isinstance(verdict, PeerUnverified)
    assert "Hidden Root" in verdict.error.detail
    remarks = "".join(each.remark for each in examine(presented, anchors, NOW))
    assert "Hidden" not in remarks


def test_every_refusal_of_a_certificate_belongs_to_a_rule() -> None:
    of_the_chain = {
        *("client_cert_missing", "cert_untrusted_issuer", "cert_self_signed_unknown", "cert_chain_incomplete"),
        *("cert_chain_too_long", "cert_bad_signature", "cert_name_constraint", "ca_expired"),
    }
    refusals = {each for each in peer_errors() if issubclass(each, CertificateRefused | CertKnownOtherHost)}
    assert {each.reason for each in refusals if rule_of(each()) is RuleName.CHAIN} <= of_the_chain
