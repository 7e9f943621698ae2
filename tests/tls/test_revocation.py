"""A chain is judged with what is known of revocations: by lists, by OCSP, softly or hard."""

import pytest
from cryptography import x509

from mtlsd.errors import CertificateRefused, CertRevoked, CRLExpired, CRLMissing, OCSPUnreachable
from mtlsd.pki.anchors import Anchors
from mtlsd.pki.certificate import PeerUnverified, PeerVerified, Presented
from mtlsd.pki.crl import RevocationList
from mtlsd.pki.ocsp import OCSPFailure, OCSPStatus
from mtlsd.pki.revocation import Revocation, RevocationCheck, RevocationEvidence
from mtlsd.tls.verify import judge
from tests.pki.test_crl import point
from tests.support import pki
from tests.support.pki import DAY, NOW

ROOT = pki.root("Root")
CA = pki.intermediate(ROOT)
LEAF = pki.leaf(CA)
ANCHORS = Anchors((ROOT.certificate,))
OFF, SOFT, HARD = RevocationCheck.OFF, RevocationCheck.SOFT, RevocationCheck.HARD

NAMESAKE = pki.root("Intermediate", issuer=ROOT, key=pki.rsa_key("namesake"))

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


@pytest.mark.parametrize("crl", [SOFT, HARD])
def test_a_pin_without_a_root_is_revoked_by_an_issuer_that_we_have(crl: RevocationCheck) -> None:
    anchors = Anchors(pin=LEAF.certificate, intermediates=(CA.certificate,))
    for lists, expected in (
        ((REVOKED,), CertRevoked),
        ((OF_CA,), CRLMissing if crl is HARD else None),  # proves nothing good
        ((FORGED,), CRLMissing if crl is HARD else None),
        ((pki.crl(NAMESAKE, LEAF),), CRLMissing if crl is HARD else None),
    ):
        verdict = judged(*lists, crl=crl, anchors=anchors)
        assert (type(verdict.error) if isinstance(verdict, PeerUnverified) else None) is expected
    namesake = Anchors(pin=LEAF.certificate, intermediates=(NAMESAKE.certificate,))
    verdict = judged(pki.crl(NAMESAKE, LEAF), crl=SOFT, anchors=namesake)
    assert isinstance(verdict, PeerVerified)  # it has the issuer's name, and did not issue this certificate


def test_nobody_revokes_a_self_signed_certificate_but_who_removes_it() -> None:
    own = pki.self_signed("own")
    evidence = RevocationEvidence(Revocation(HARD, ocsp=HARD))
    anchors = Anchors(pin=own.certificate)
    assert isinstance(judge(Presented(own.certificate), anchors, NOW, frozenset(), evidence), PeerVerified)


# --- A list that does not cover a certificate, and names it ---------------------------------------------------

URL = "http://pki.acme.example/1.crl"
POINTS: dict[str, tuple[str, ...]] = {  # of the certificate; the list is for the part at URL
    "none": (),
    "a capital in the host": ("http://PKI.acme.example/1.crl",),
    "a port spelled out": ("http://pki.acme.example:80/1.crl",),
    "LDAP only": ("ldap://pki.acme.example/cn=1",),
    "another part": ("http://pki.acme.example/2.crl",),
}


def part(*urls: str, **options: object) -> tuple[x509.ExtensionType, bool]:
    names = [x509.UniformResourceIdentifier(each) for each in urls] or None
    return point(full_name=names, **options), True


def with_points(*urls: str, name: str = "with points") -> pki.Issued:
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier(each)], None, None, None) for each in urls]
    extensions = ((x509.CRLDistributionPoints(points), False),) if points else ()
    return pki.leaf(CA, name, key=pki.rsa_key("with points"), extensions=extensions)


def reason(client: pki.Issued, *lists: bytes, crl: RevocationCheck = SOFT) -> type[CertificateRefused] | None:
    evidence = RevocationEvidence(Revocation(crl), tuple(map(RevocationList.from_der, lists)))
    verdict = judge(Presented(client.certificate, client.chain), ANCHORS, NOW, frozenset(), evidence)
    return type(verdict.error) if isinstance(verdict, PeerUnverified) else None  # type: ignore[return-value]


@pytest.mark.parametrize("crl", [SOFT, HARD])
@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("listed", [URL, "ldap://pki.acme.example/cn=2"])
def test_a_list_of_another_part_revokes_what_it_names_and_proves_nothing_good(
    points: str, listed: str, crl: RevocationCheck
) -> None:
    client, other = with_points(*POINTS[points]), with_points(*POINTS[points], name="other")
    naming = pki.crl(CA, client, extensions=(part(listed),))
    assert reason(client, naming, OF_ROOT, crl=crl) is CertRevoked
    assert reason(other, naming, OF_ROOT, crl=crl) is (CRLMissing if crl is HARD else None)


PARTS = {
    "users only": part(only_contains_user_certs=True),
    "CAs only": part(only_contains_ca_certs=True),
    "some reasons": part(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})),
    "indirect": part(indirect_crl=True),
    "relative": (point(relative_name=x509.Name.from_rfc4514_string("CN=1").rdns[0]), True),
    "a directory": (point(full_name=[x509.DirectoryName(x509.Name.from_rfc4514_string("CN=1"))]), True),
}


@pytest.mark.parametrize("scope", PARTS)
def test_a_list_of_any_scope_revokes_what_it_names(scope: str) -> None:
    assert reason(LEAF, pki.crl(CA, LEAF, extensions=(PARTS[scope],))) is CertRevoked
    assert reason(LEAF, pki.crl(ROOT, CA, extensions=(PARTS[scope],))) is CertRevoked
    silent = reason(LEAF, pki.crl(CA, extensions=(PARTS[scope],)), OF_ROOT, crl=HARD)
    assert silent is (None if scope == "users only" else CRLMissing)


def test_the_newest_list_of_each_scope_counts() -> None:
    client = with_points("http://pki.acme.example/2.crl")
    named = pki.crl(CA, client, start=NOW - 9 * DAY, extensions=(part(URL),))
    taken_back = pki.crl(CA, start=NOW - 2 * DAY, extensions=(part(URL),))
    newer, whole = (pki.crl(CA, extensions=each) for each in ((part("http://pki.acme.example/2.crl"),), ()))
    assert reason(client, named, newer, whole) is CertRevoked  # other scopes take nothing back
    assert reason(client, named, taken_back, newer, whole) is None
    assert reason(client, taken_back, named) is None
    old = pki.crl(CA, client, start=NOW - 9 * DAY, end=NOW - 8 * DAY, extensions=(part(URL),))
    assert reason(client, old) is CertRevoked  # expired, but nothing newer is known


def test_a_list_from_the_future_revokes_and_takes_nothing_back() -> None:
    assert reason(LEAF, pki.crl(CA, LEAF, start=NOW + DAY)) is CertRevoked
    assert reason(LEAF, REVOKED, FUTURE) is CertRevoked
    assert reason(LEAF, OF_ROOT, OF_CA, FUTURE, crl=HARD) is None


STRANGER = pki.root("Stranger")
SERIAL = LEAF.certificate.serial


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pki.crl(CA, entries=((SERIAL, None),)), CertRevoked),
        (pki.crl(CA, entries=((SERIAL, "CN=Elsewhere"),)), None),
        (pki.crl(CA, entries=((1, "CN=Elsewhere"), (SERIAL, None))), None),  # of the issuer of the entry before
        (pki.crl(CA, entries=((1, "CN=Elsewhere"), (SERIAL, "CN=Intermediate"))), CertRevoked),
        (pki.crl(ROOT, entries=((SERIAL, "CN=Intermediate"),)), CertRevoked),  # by a CA above the issuer
        (pki.crl(ROOT, entries=((SERIAL, None),)), None),
        (pki.crl(ROOT, entries=((CA.certificate.serial, None),)), CertRevoked),
        (pki.crl(ROOT, entries=((CA.certificate.serial, "CN=Elsewhere"),)), None),
        (pki.crl(STRANGER, entries=((SERIAL, "CN=Intermediate"),)), None),  # nobody that the chain leads to
        (pki.crl(NAMESAKE, entries=((SERIAL, None),)), None),
        (pki.crl(CA, entries=((SERIAL, "CN=Intermediate"),), key=pki.rsa_key("forger")), None),
        (pki.crl(CA, LEAF, extensions=(part(URL),), key=pki.rsa_key("forger")), None),
    ],
)
def test_an_entry_revokes_the_certificates_of_its_own_issuer(
    made: bytes, expected: type[CertificateRefused] | None
) -> None:
    assert reason(LEAF, made) is expected


def test_a_verdict_is_made_again_when_a_list_comes_into_force() -> None:
    evidence = RevocationEvidence(lists=(RevocationList.from_der(FUTURE),))
    assert evidence.until(NOW) == NOW + DAY
