"""A chain is judged with what is known of revocations: by lists, by OCSP, softly or hard."""

import pytest

from mtlsd.errors import CertificateRefused, CertRevoked, CRLExpired, CRLMissing, OCSPUnreachable
from mtlsd.pki.anchors import Anchors
from mtlsd.pki.certificate import PeerUnverified, PeerVerified, Presented
from mtlsd.pki.crl import RevocationList
from mtlsd.pki.ocsp import OCSPFailure, OCSPStatus
from mtlsd.pki.revocation import Revocation, RevocationCheck, RevocationEvidence
from mtlsd.tls.verify import judge
from tests.support import pki
from tests.support.pki import DAY, NOW

ROOT = pki.root("Root")
CA = pki.intermediate(ROOT)
LEAF = pki.leaf(CA)
ANCHORS = Anchors((ROOT.certificate,))
OFF, SOFT, HARD = RevocationCheck.OFF, RevocationCheck.SOFT, RevocationCheck.HARD

OF_ROOT = pki.crl(ROOT)
OF_CA = pki.crl(CA)
REVOKED = pki.crl(CA, LEAF)
REVOKED_CA = pki.crl(ROOT, CA)
OLD = pki.crl(CA, start=NOW - 9 * DAY, end=NOW - DAY)
OLD_REVOKED = pki.crl(CA, LEAF, start=NOW - 9 * DAY, end=NOW - DAY)
FUTURE = pki.crl(CA, start=NOW + DAY)
FORGED = pki.crl(CA, LEAF, key=pki.rsa_key("forger"))


def judged(
    *lists: bytes,
    evidence: RevocationEvidence | None = None,
    crl: RevocationCheck = SOFT,
    fetch: bool = False,
    anchors: Anchors = ANCHORS,
) -> PeerVerified | PeerUnverified:
    given = evidence or RevocationEvidence(Revocation(crl, fetch), tuple(map(RevocationList.from_der, lists)))
    return judge(Presented(LEAF.certificate, LEAF.chain), anchors, NOW, frozenset(), given)


@pytest.mark.parametrize(
    ("lists", "crl", "expected"),
    [
        ((), SOFT, None),
        ((), HARD, CRLMissing),
        ((OF_ROOT, OF_CA), HARD, None),
        ((OF_CA,), HARD, CRLMissing),
        ((OF_ROOT,), HARD, CRLMissing),
        ((REVOKED,), SOFT, CertRevoked),
        ((REVOKED,), HARD, CertRevoked),
        ((REVOKED, OF_ROOT), HARD, CertRevoked),
        ((REVOKED,), OFF, None),
        ((REVOKED_CA,), SOFT, CertRevoked),
        ((OF_ROOT, OLD), HARD, CRLExpired),
        ((OF_ROOT, OLD), SOFT, None),
        ((OF_ROOT, OLD, OF_CA), HARD, None),
        ((OLD_REVOKED,), SOFT, CertRevoked),
        ((OLD_REVOKED, OF_CA, OF_ROOT), HARD, None),  # a newer list takes it back, as that of a hold
        ((OF_ROOT, FUTURE), HARD, CRLMissing),
        ((FORGED,), SOFT, None),
        ((FORGED, OF_ROOT), HARD, CRLMissing),
    ],
)
def test_lists_decide(
    lists: tuple[bytes, ...], crl: RevocationCheck, expected: type[CertificateRefused] | None
) -> None:
    verdict = judged(*lists, crl=crl)
    assert (type(verdict.error) if isinstance(verdict, PeerUnverified) else None) is expected


def test_what_is_not_known_and_not_asked_for_hard_is_a_warning() -> None:
    for verdict, words in ((judged(OLD), "crl_expired"), (judged(fetch=True), "crl_missing")):
        assert isinstance(verdict, PeerVerified)
        assert verdict.warnings[0].startswith(f"{words}: ")
    quiet = judged()
    assert isinstance(quiet, PeerVerified)
    assert quiet.warnings == ()


def test_the_log_learns_which_certificate_was_revoked_and_when() -> None:
    verdict = judged(REVOKED_CA)
    assert isinstance(verdict, PeerUnverified)
    assert verdict.error.facts["revocation_of"] == "CN=Intermediate"
    assert "on 2026-11-20" in verdict.error.detail


@pytest.mark.parametrize(
    ("found", "ocsp", "expected"),
    [
        (OCSPStatus(False, "", NOW + DAY), HARD, None),
        (OCSPStatus(True, "on 2026-11-20", NOW + DAY), SOFT, CertRevoked),
        (OCSPStatus(True, "on 2026-11-20", NOW + DAY), OFF, None),
        (OCSPFailure("no answer", NOW + DAY), HARD, OCSPUnreachable),
        (OCSPFailure("no answer", NOW + DAY), SOFT, None),
        (None, HARD, OCSPUnreachable),
    ],
)
def test_a_responder_decides(
    found: OCSPStatus | OCSPFailure | None, ocsp: RevocationCheck, expected: type[CertificateRefused] | None
) -> None:
    verdict = judged(evidence=RevocationEvidence(Revocation(ocsp=ocsp), (), found))
    assert (type(verdict.error) if isinstance(verdict, PeerUnverified) else None) is expected
    if isinstance(found, OCSPFailure) and isinstance(verdict, PeerVerified):
        assert verdict.warnings == ("ocsp_unreachable: no answer",)


def test_a_revocation_counts_more_than_what_is_missing() -> None:
    evidence = RevocationEvidence(Revocation(HARD, ocsp=HARD), (), OCSPStatus(True, "", NOW + DAY))
    verdict = judged(evidence=evidence)
    assert isinstance(verdict, PeerUnverified)
    assert isinstance(verdict.error, CertRevoked)


def test_a_pin_without_a_root_has_no_list_that_could_be_verified() -> None:
    verdict = judged(REVOKED, crl=HARD, anchors=Anchors(pin=LEAF.certificate))
    assert isinstance(verdict, PeerUnverified)
    assert isinstance(verdict.error, CRLMissing)


def test_nobody_revokes_a_self_signed_certificate_but_who_removes_it() -> None:
    own = pki.self_signed("own")
    evidence = RevocationEvidence(Revocation(HARD, ocsp=HARD))
    anchors = Anchors(pin=own.certificate)
    assert isinstance(judge(Presented(own.certificate), anchors, NOW, frozenset(), evidence), PeerVerified)
