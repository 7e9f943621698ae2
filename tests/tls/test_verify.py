"""A chain is judged: what verifies, what does not, and for which reason."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import (
    CAExpired,
    CertBadSignature,
    CertChainIncomplete,
    CertChainTooLong,
    CertEKUNoClientAuth,
    CertExpired,
    CertificateRefused,
    CertKeyTooWeak,
    CertKeyUsage,
    CertNameConstraint,
    CertNotYetValid,
    CertSelfSignedUnknown,
    CertSigAlgWeak,
    CertUnhandledCriticalExt,
    CertUntrustedIssuer,
)
from mtlsd.partners.rules import Result
from mtlsd.pki.anchors import MAX_CHAIN, Anchors
from mtlsd.pki.certificate import Certificate, CertificateUnreadable, PeerUnverified, PeerVerified, Presented
from mtlsd.tls.report import examine
from mtlsd.tls.verify import judge
from tests.support import pki
from tests.support.pki import DAY, NOW

ROOT = pki.root("Root")
OTHER_ROOT = pki.root("Other root")
CA = pki.intermediate(ROOT)
LEAF = pki.leaf(CA)
AS2 = pki.self_signed("AS2", ca=True)
COSTLY = pki.costly_rsa_keys()
SECOND = timedelta(seconds=1)


def anchors(*roots: pki.Issued, pin: pki.Issued | None = None, via: tuple[pki.Issued, ...] = ()) -> Anchors:
    return Anchors(
        roots=tuple(each.certificate for each in roots),
        intermediates=tuple(each.certificate for each in via),
        pin=pin.certificate if pin else None,
        issuers=frozenset({"CN=Intermediate"}),
    )


def reason(
    issued: pki.Issued,
    given: Anchors,
    chain: tuple[Certificate, ...] | None = None,
    now: datetime = NOW,
    relax: frozenset[str] = frozenset(),
) -> type[CertificateRefused] | None:
    """Why a client with this certificate is refused; None if it is not. It sends its whole chain along."""
    presented = Presented(issued.certificate, issued.chain if chain is None else chain)
    verdict = judge(presented, given, now, relax)
    assert verdict.presented is presented
    if isinstance(verdict, PeerVerified):
        return None
    assert isinstance(verdict.error, CertificateRefused)
    assert verdict.error.facts["sha256"]
    return type(verdict.error)


# --- What verifies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "issued", "given_anchors", "chain"),
    [
        ("leaf under a root", pki.leaf(ROOT), anchors(ROOT), ()),
        ("leaf and its intermediate", LEAF, anchors(ROOT), (CA.certificate,)),
        ("the root is sent too", LEAF, anchors(ROOT), (CA.certificate, ROOT.certificate)),
        ("in the wrong order, with a stray", LEAF, anchors(ROOT), (OTHER_ROOT.certificate, CA.certificate)),
        ("the partner's directory has the intermediate", LEAF, anchors(ROOT, via=(CA,)), ()),
        ("pinned under a root", LEAF, anchors(ROOT, pin=LEAF), (CA.certificate,)),
        ("pinned without a root", LEAF, anchors(pin=LEAF), ()),
        ("self-signed, pinned", pki.self_signed("b"), anchors(pin=pki.self_signed("b")), ()),
        ("self-signed CA, its own root", AS2, anchors(AS2), ()),
        ("any purpose", pki.leaf(ROOT, eku=(pki.ANY_USE,)), anchors(ROOT), ()),
        ("both purposes", pki.leaf(ROOT, eku=(pki.SERVER, pki.CLIENT)), anchors(ROOT), ()),
        ("without a purpose, as AS2 has it", pki.leaf(ROOT, eku=()), anchors(ROOT), ()),
        ("key usage", pki.leaf(ROOT, uses=("digital_signature",)), anchors(ROOT), ()),
        ("without identifiers", pki.leaf(ROOT, identifiers=False, ca=None), anchors(ROOT), ()),
        ("P-256", pki.leaf(ROOT, key=pki.ec_key("a")), anchors(ROOT), ()),
        ("Ed25519", pki.leaf(ROOT, key=pki.ed25519_key("a")), anchors(ROOT), ()),
    ],
)
def test_a_good_chain_verifies(
    case: str, issued: pki.Issued, given_anchors: Anchors, chain: tuple[Certificate, ...]
) -> None:
    if case == "self-signed, pinned":
        given_anchors = anchors(pin=issued)
    assert reason(issued, given_anchors, chain) is None


def test_a_root_signed_with_sha1_is_a_root_all_the_same() -> None:
    old = pki.root("Old root", sha1=True)
    assert reason(pki.leaf(old), anchors(old)) is None


def test_a_pinned_self_signed_certificate_may_be_signed_with_sha1() -> None:
    old = pki.self_signed("old", sha1=True)
    assert reason(old, anchors(pin=old)) is None


# --- Anchors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issued", [LEAF, pki.leaf(ROOT), AS2, ROOT])
def test_without_anchors_everybody_is_refused(issued: pki.Issued) -> None:
    assert reason(issued, Anchors()) is not None
    assert reason(issued, anchors()) is not None


def test_an_intermediate_is_no_anchor() -> None:
    assert reason(LEAF, anchors(via=(CA,))) is CertUntrustedIssuer


def test_another_root_does_not_vouch() -> None:
    assert reason(LEAF, anchors(OTHER_ROOT), (CA.certificate, ROOT.certificate)) is CertUntrustedIssuer


def test_a_pin_does_not_verify_beside_a_root_that_has_nothing_to_do_with_it() -> None:
    assert reason(LEAF, anchors(OTHER_ROOT, pin=LEAF)) is CertChainIncomplete
    assert reason(LEAF, anchors(OTHER_ROOT, AS2, pin=LEAF)) is CertChainIncomplete


# `openssl req -x509` makes these: a renewal has the subject and the key of the old one, and both say CA:TRUE.
OLD = pki.self_signed("renewed", ca=True, end=NOW + DAY)
NEW = pki.self_signed("renewed", ca=True)
PLAIN = pki.self_signed("renewed")
EXPIRED = pki.self_signed("renewed", ca=True, end=NOW - DAY)


@pytest.mark.parametrize("issued", [OLD, NEW])
@pytest.mark.parametrize(
    "roots", [(OLD, NEW), (NEW, OLD), (EXPIRED, NEW, OLD), (OLD, NEW, EXPIRED), (OTHER_ROOT, OLD, NEW)]
)
@pytest.mark.parametrize("pinned", [True, False])  # it is not, where the partner has a [match]
def test_a_self_signed_certificate_is_judged_by_itself_beside_its_renewals(
    issued: pki.Issued, roots: tuple[pki.Issued, ...], pinned: bool
) -> None:
    assert reason(issued, anchors(*roots, pin=issued if pinned else None)) is None


@pytest.mark.parametrize("roots", [(), (OLD,), (NEW, OLD), (EXPIRED,), (OTHER_ROOT,)])
def test_a_pinned_self_signed_end_entity_is_judged_by_itself(roots: tuple[pki.Issued, ...]) -> None:
    assert reason(PLAIN, anchors(*roots, pin=PLAIN)) is None


def test_beside_its_renewals_a_self_signed_certificate_still_has_dates_and_a_key() -> None:
    weak = pki.self_signed("renewed", ca=True, key=pki.rsa_key("weak", 1024))
    server = pki.self_signed("renewed", ca=True, eku=(pki.SERVER,))
    for issued, expected in ((EXPIRED, CertExpired), (weak, CertKeyTooWeak), (server, CertEKUNoClientAuth)):
        assert reason(issued, anchors(issued, NEW, pin=issued)) is expected


@pytest.mark.parametrize(
    "stranger",
    [
        pki.self_signed("renewed", ca=True, key=pki.rsa_key("thief")),
        pki.self_signed("renewed", key=pki.rsa_key("thief")),
        pki.leaf(pki.root("renewed", key=pki.rsa_key("thief")), "renewed"),
    ],
)
def test_the_name_of_a_root_lets_no_other_certificate_in(stranger: pki.Issued) -> None:
    assert reason(stranger, anchors(OLD, NEW)) is not None
    assert reason(stranger, anchors(OLD, NEW, pin=OLD)) is not None


def test_a_pin_is_a_comparison_of_bytes() -> None:
    twin = pki.leaf(CA, serial=LEAF.certificate.serial, end=NOW + DAY)  # the same name, key and serial
    assert reason(twin, anchors(pin=LEAF)) is not None


def test_a_root_of_the_same_name_with_another_key_does_not_vouch() -> None:
    for identifiers in (True, False):
        forged = pki.root("Root", key=pki.rsa_key("forged"), identifiers=identifiers)
        victim = pki.leaf(forged, identifiers=identifiers)
        assert reason(victim, anchors(ROOT)) in {CertUntrustedIssuer, CertBadSignature}
        assert reason(victim, anchors(ROOT), (forged.certificate,)) in {CertUntrustedIssuer, CertBadSignature}


# --- The client's own certificate ---------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"end": NOW - SECOND}, CertExpired),
        ({"start": NOW + SECOND}, CertNotYetValid),
        ({"key": pki.rsa_key("weak", 1024)}, CertKeyTooWeak),
        ({"key": pki.ec_key("weak", "secp224r1")}, CertKeyTooWeak),
        ({"key": pki.ec_key("weak", "secp192r1")}, CertKeyTooWeak),
        *(({"key": key}, CertKeyTooWeak) for key in COSTLY.values()),
        ({"eku": (pki.SERVER,)}, CertEKUNoClientAuth),
        ({"eku": (ObjectIdentifier("1.2.3.4"),)}, CertEKUNoClientAuth),
        ({"uses": ("key_encipherment",)}, CertKeyUsage),
        ({"sha1": True}, CertSigAlgWeak),
    ],
)
def test_the_policy_holds_with_a_root_and_with_a_pin(
    options: dict[str, object], expected: type[CertificateRefused], pinned: bool
) -> None:
    issued = pki.leaf(ROOT, "edi.acme.example", **options)
    assert reason(issued, anchors(pin=issued) if pinned else anchors(ROOT)) is expected


def test_the_dates_are_included() -> None:
    leaf = pki.leaf(ROOT).certificate
    for pin in (None, pki.leaf(ROOT)):
        issued = pin or pki.leaf(ROOT)
        given_anchors = anchors(pin=pin) if pin else anchors(ROOT)
        for moment in (leaf.not_before, leaf.not_after):
            assert reason(issued, given_anchors, now=moment) is None
        assert reason(issued, given_anchors, now=leaf.not_after + SECOND) is CertExpired
        assert reason(issued, given_anchors, now=leaf.not_before - SECOND) is CertNotYetValid


def test_a_clock_that_is_wrong_shows_by_how_much() -> None:
    early = pki.leaf(ROOT, start=NOW + 3 * DAY)
    verdict = judge(Presented(early.certificate), anchors(ROOT), NOW)
    assert isinstance(verdict, PeerUnverified)
    assert "3 days" in verdict.error.detail


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (35 * DAY + timedelta(seconds=2, microseconds=215458), "expired 35 days ago, on "),
        (DAY + timedelta(hours=2, seconds=3.1), "expired 1 day, 2:00:03 ago, on "),
        (SECOND, "expired 0:00:01 ago, on "),
    ],
)
def test_how_long_ago_a_certificate_ended_is_said_in_round_numbers(age: timedelta, words: str) -> None:
    leaf = pki.leaf(ROOT).certificate
    verdict = judge(Presented(leaf), anchors(ROOT), leaf.not_after + age)
    assert isinstance(verdict, PeerUnverified)
    assert verdict.error.detail.startswith(words)


def test_a_partner_may_be_excused_for_a_server_certificate_and_for_nothing_else() -> None:
    excuse = frozenset({"server-auth-only"})
    assert reason(pki.leaf(ROOT, eku=(pki.SERVER,)), anchors(ROOT), relax=excuse) is None
    other = pki.leaf(ROOT, eku=(ObjectIdentifier("1.2.3.4"),))
    assert reason(other, anchors(ROOT), relax=excuse) is CertEKUNoClientAuth
    assert reason(pki.leaf(ROOT, sha1=True), anchors(ROOT), relax=excuse | {"sha1"}) is CertSigAlgWeak


def test_a_partner_may_be_excused_for_its_key_usage() -> None:
    issued = pki.leaf(ROOT, uses=("key_encipherment",))
    assert reason(issued, anchors(ROOT), relax=frozenset({"any-key-usage"})) is None
    server = pki.leaf(ROOT, uses=("key_encipherment",), eku=(pki.SERVER,))
    assert reason(server, anchors(ROOT), relax=frozenset({"any-key-usage"})) is CertEKUNoClientAuth


def test_a_partner_may_be_excused_for_sha1_in_its_chain() -> None:
    excuse = frozenset({"sha1-chain"})
    assert reason(pki.leaf(ROOT, sha1=True), anchors(ROOT), relax=excuse) is None
    assert reason(pki.leaf(pki.intermediate(ROOT, "S", sha1=True)), anchors(ROOT), relax=excuse) is None
    assert reason(pki.leaf(ROOT, key=pki.rsa_key("weak", 1024)), anchors(ROOT), relax=excuse) is CertKeyTooWeak


def test_an_unknown_critical_extension_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    assert reason(pki.leaf(ROOT, extensions=((unknown, True),)), anchors(ROOT)) is CertUnhandledCriticalExt
    assert reason(pki.leaf(ROOT, extensions=((unknown, False),)), anchors(ROOT)) is None


def test_a_pin_without_a_root_refuses_an_unknown_critical_extension_too() -> None:
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    issued = pki.leaf(ROOT, extensions=((unknown, True),))
    assert reason(issued, anchors(pin=issued)) is CertUnhandledCriticalExt


def test_a_damaged_signature_is_refused() -> None:
    der = bytearray(pki.leaf(ROOT).certificate.der)
    der[-1] ^= 1
    issued = pki.Issued(Certificate.from_der(bytes(der)), ROOT.key)
    assert reason(issued, anchors(ROOT)) is CertBadSignature


# --- The chain ----------------------------------------------------------------------------------------------


def constrained(permitted: str | None = None, excluded: str | None = None) -> pki.Issued:
    """A leaf for edi.acme.example under a CA with name constraints."""
    constraints = pki.name_constraints(permitted, excluded)
    ca = pki.intermediate(ROOT, "Constrained", extensions=((constraints, True),))
    return pki.leaf(ca, san=("dns:edi.acme.example",))


CHAINS = [
    ("expired intermediate", pki.leaf(pki.intermediate(ROOT, end=NOW - DAY)), CAExpired),
    ("future intermediate", pki.leaf(pki.intermediate(ROOT, start=NOW + DAY)), CAExpired),
    ("a leaf that is not a CA", pki.leaf(pki.leaf(ROOT, "not a CA")), CertUntrustedIssuer),
    (
        "a leaf that may sign and is not a CA",
        pki.leaf(pki.leaf(ROOT, "signs", uses=("digital_signature", "key_cert_sign"))),
        CertUntrustedIssuer,
    ),
    (
        "key usage alone, without basic constraints, makes no CA",
        pki.leaf(pki.leaf(ROOT, "signs 2", ca=None, uses=("digital_signature", "key_cert_sign"))),
        CertUntrustedIssuer,
    ),
    (
        "a CA that may not sign certificates",
        pki.leaf(pki.intermediate(ROOT, "silent", uses=("crl_sign",))),
        CertUntrustedIssuer,
    ),
    (
        "a CA below a CA that may have none",
        pki.leaf(pki.intermediate(pki.intermediate(ROOT, "A", path_length=0), "B")),
        CertChainTooLong,
    ),
    ("names that the CA may not use", constrained(permitted="other.example"), CertNameConstraint),
    ("names that the CA must not use", constrained(excluded="acme.example"), CertNameConstraint),
    ("names that the CA may use", constrained(permitted="acme.example"), None),
    ("costly CA key", pki.leaf(pki.intermediate(ROOT, "C", key=COSTLY["a large exponent"])), CertKeyTooWeak),
    ("weak CA key", pki.leaf(pki.intermediate(ROOT, "W", key=pki.rsa_key("W", 1024))), CertKeyTooWeak),
    ("SHA-1 on the intermediate", pki.leaf(pki.intermediate(ROOT, "S", sha1=True)), CertSigAlgWeak),
    ("a CA for servers", pki.leaf(pki.intermediate(ROOT, "E", eku=(pki.SERVER,))), CertEKUNoClientAuth),
]


@pytest.mark.parametrize(("case", "issued", "expected"), CHAINS)
@pytest.mark.parametrize("pinned", [True, False])
def test_a_chain_is_as_good_as_its_weakest_certificate(
    case: str, issued: pki.Issued, expected: type[CertificateRefused] | None, pinned: bool
) -> None:
    assert reason(issued, anchors(ROOT, pin=issued if pinned else None)) is expected, case


def test_an_expired_root_is_refused() -> None:
    old = pki.root("Old", end=NOW - DAY)
    assert reason(pki.leaf(old), anchors(old)) is CAExpired


def test_a_weak_root_is_refused() -> None:
    weak = pki.root("Weak", key=pki.rsa_key("Weak", 1024))
    assert reason(pki.leaf(weak), anchors(weak)) is CertKeyTooWeak


def test_a_missing_intermediate_is_named() -> None:
    verdict = judge(Presented(LEAF.certificate), anchors(ROOT), NOW)
    assert isinstance(verdict, PeerUnverified)
    assert isinstance(verdict.error, CertChainIncomplete)
    assert verdict.error.facts["wanted_issuer"] == "CN=Intermediate"


def test_the_missing_intermediate_is_the_one_above_those_that_were_sent() -> None:
    middle = pki.intermediate(CA, "Middle")
    leaf = pki.leaf(middle)
    verdict = judge(Presented(leaf.certificate, (middle.certificate,)), anchors(ROOT), NOW)
    assert isinstance(verdict, PeerUnverified)
    assert isinstance(verdict.error, CertChainIncomplete)
    assert verdict.error.facts["wanted_issuer"] == "CN=Intermediate"


def test_who_has_no_more_than_the_subject_is_not_told_that_the_chain_is_incomplete() -> None:
    assert reason(LEAF, Anchors(roots=(ROOT.certificate,)), ()) is CertUntrustedIssuer
    assert reason(LEAF, Anchors(roots=(ROOT.certificate,), pin=LEAF.certificate), ()) is CertChainIncomplete


def test_a_stranger_is_not_told_that_the_chain_is_incomplete() -> None:
    stranger = Anchors(roots=(ROOT.certificate,))
    assert reason(LEAF, stranger, ()) is CertUntrustedIssuer


def test_a_self_signed_stranger_is_called_so() -> None:
    assert reason(AS2, anchors(ROOT)) is CertSelfSignedUnknown


def test_a_chain_that_is_too_long_is_refused_before_it_is_followed() -> None:
    issuer = ROOT
    for number in range(MAX_CHAIN + 1):
        issuer = pki.intermediate(issuer, f"CA {number}", key=pki.ec_key("CA"))
        expected = None if number < MAX_CHAIN - 1 else CertChainTooLong
        assert reason(pki.leaf(issuer), anchors(ROOT)) is expected, number
    assert reason(LEAF, anchors(ROOT), (CA.certificate,) * (MAX_CHAIN + 1)) is CertChainTooLong


def test_a_loop_of_issuers_ends() -> None:
    first = pki.root("First", key=pki.rsa_key("1"))
    second = pki.intermediate(first, "Second", key=pki.rsa_key("2"))
    crossed = pki.intermediate(second, "First", key=pki.rsa_key("1"))
    leaf = pki.leaf(crossed)
    chain = (crossed.certificate, second.certificate)
    assert reason(leaf, anchors(ROOT), chain) in {CertUntrustedIssuer, CertChainIncomplete}


@given(st.data())
def test_a_damaged_chain_is_never_an_exception(data: st.DataObject) -> None:
    damaged = []
    for each in (LEAF.certificate, CA.certificate):
        der = bytearray(each.der)
        for _ in range(data.draw(st.integers(0, 3))):
            der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
        damaged.append(bytes(der))
    try:
        leaf, ca = map(Certificate.from_der, damaged)
    except CertificateUnreadable:
        return
    verdict = judge(Presented(leaf, (ca,)), anchors(ROOT), NOW)
    assert isinstance(verdict, PeerUnverified) or damaged == [LEAF.certificate.der, CA.certificate.der]
    results = {each.result for each in examine(Presented(leaf, (ca,)), anchors(ROOT), NOW)}
    assert (results == {Result.PASSED}) == isinstance(verdict, PeerVerified)
