"""Who is whom: a certificate is one partner's or nobody's, and never another's.

Each test goes the whole way: directories, claim, judgement, match.
"""

from pathlib import Path
from typing import Protocol

import pytest

from mtlsd.errors import (
    CertAmbiguousMapping,
    CertChainIncomplete,
    CertEKUNoClientAuth,
    CertExpired,
    CertificateRefused,
    CertKeyUsage,
    CertKnownOtherHost,
    CertNameConstraint,
    CertPinMismatch,
    CertSelfSignedUnknown,
    CertSubjectNotMapped,
    CertUntrustedIssuer,
    PartnerDisabled,
    PeerError,
)
from mtlsd.partners.matching import Peer, claim, match
from mtlsd.partners.registry import load_partners
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.certificate import Presented
from mtlsd.tls.verify import judge
from tests.support import pki
from tests.support.pki import DAY, NOW

HOST = "as2.example.com"
SUBJECT = "CN=edi.acme.example"
MATCH = f'[match]\nsubject = "{SUBJECT}"\nsan = ["dns:edi.acme.example"]\n'
SAN = ("dns:edi.acme.example",)

ROOT = pki.root("Root")
OTHER_ROOT = pki.root("Other root")
CA = pki.intermediate(ROOT)
ACME = pki.leaf(CA, san=SAN)
BETA = pki.leaf(CA, "edi.beta.example")


class Add(Protocol):
    def __call__(self, name: str, *certificates: pki.Issued, toml: str = "") -> None: ...


@pytest.fixture
def partners(tmp_path: Path) -> Path:
    (tmp_path / "partners").mkdir()
    return tmp_path / "partners"


@pytest.fixture
def add(partners: Path) -> Add:
    def add(name: str, *certificates: pki.Issued, toml: str = "") -> None:
        (partners / name).mkdir()
        (partners / name / "partner.toml").write_text(f'as2_id = "{name}"\n{toml}')
        for number, issued in enumerate(certificates):
            (partners / name / f"{number}.pem").write_bytes(issued.pem)

    return add


def store_of(partners: Path) -> TrustStore:
    return load_partners(partners)[0]


def meet(partners: Path, issued: pki.Issued, host: str = HOST, alone: bool = False) -> Peer:
    """What happens to a client with this certificate, which sends its chain along."""
    store = store_of(partners)
    presented = Presented(issued.certificate, () if alone else issued.chain)
    claimed = claim(presented, store)
    verdict = judge(presented, claimed.anchors, NOW, claimed.relax)
    return match(verdict, claimed, store, host)


def refusal(partners: Path, issued: pki.Issued, host: str = HOST, alone: bool = False) -> PeerError:
    with pytest.raises(PeerError) as caught:
        meet(partners, issued, host, alone)
    assert caught.value.facts["sha256"] == issued.certificate.sha256
    return caught.value


# --- Accepted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "registered", "toml", "client"),
    [
        ("pinned under its root", (ROOT, ACME), "", ACME),
        ("pinned without a root", (ACME,), "", ACME),
        ("one of two pins, at a renewal", (ROOT, BETA, ACME), "", ACME),
        ("matched under its root", (ROOT,), MATCH, ACME),
        ("matched, though others are pinned", (ROOT, BETA), MATCH, ACME),
        ("self-signed", (pki.self_signed("x", end=NOW + DAY),), "", None),
        ("self-signed CA", (pki.self_signed("x", ca=True),), "", None),
        ("self-signed CA that matches", (pki.self_signed("edi.acme.example", ca=True, san=SAN),), MATCH, None),
    ],
)
def test_a_partner_is_known(
    partners: Path,
    add: Add,
    case: str,
    registered: tuple[pki.Issued, ...],
    toml: str,
    client: pki.Issued | None,
) -> None:
    add("acme", *registered, toml=toml)
    client = client or registered[0]
    peer = meet(partners, client)
    assert peer.partner.name == "acme", case
    assert peer.certificate == client.certificate


def test_the_partners_directory_may_hold_the_intermediate_that_is_not_sent(partners: Path, add: Add) -> None:
    add("acme", ROOT, CA, toml=MATCH)
    assert meet(partners, ACME, alone=True).partner.name == "acme"


def test_partners_that_share_a_root_are_told_apart(partners: Path, add: Add) -> None:
    add("acme", ROOT, toml=MATCH)
    add("beta", ROOT, BETA)
    add("gamma", ROOT, toml='[match]\nsubject = "CN=edi.gamma.example"')
    assert meet(partners, ACME).partner.name == "acme"
    assert meet(partners, BETA).partner.name == "beta"
    assert meet(partners, pki.leaf(CA, "edi.gamma.example")).partner.name == "gamma"


def test_a_partner_excused_by_name_may_use_a_server_certificate(partners: Path, add: Add) -> None:
    server = pki.leaf(ROOT, eku=(pki.SERVER,))
    add("acme", ROOT, server, toml='relax = ["server-auth-only"]')
    assert meet(partners, server).partner.name == "acme"


OLD_CA = pki.self_signed("renewed", ca=True, end=NOW + DAY)
NEW_CA = pki.self_signed("renewed", ca=True)
EXPIRED_CA = pki.self_signed("renewed", ca=True, end=NOW - DAY)
OLD = pki.self_signed("renewed", end=NOW + DAY)
NEW = pki.self_signed("renewed", key=pki.rsa_key("another"))
EXPIRED = pki.self_signed("renewed", end=NOW - DAY)


@pytest.mark.parametrize("toml", ["", '[match]\nsubject = "CN=renewed"\n'])
@pytest.mark.parametrize(
    "registered",
    [
        *((OLD_CA, NEW_CA), (NEW_CA, OLD_CA), (EXPIRED_CA, NEW_CA), (NEW_CA, EXPIRED_CA), (OLD_CA, EXPIRED_CA)),
        *((OLD_CA, NEW), (NEW, OLD_CA), (OLD, NEW_CA), (NEW_CA, OLD), (EXPIRED, NEW_CA), (NEW_CA, EXPIRED)),
        *((OLD, NEW), (EXPIRED, NEW), (OLD_CA, ROOT, ACME), (ACME, ROOT, NEW_CA), (OLD, ROOT, ACME)),
    ],
)
def test_a_renewed_certificate_beside_the_old_one_means_that_both_work(
    partners: Path, add: Add, registered: tuple[pki.Issued, ...], toml: str
) -> None:
    add("acme", *registered, toml=toml)
    for issued in registered:
        if issued in (EXPIRED, EXPIRED_CA):
            refused = refusal(partners, issued)
            assert type(refused) is CertExpired
            assert refused.facts["nearest"] in {"acme's own, expired", "registered for acme, but as a root only"}
        elif issued is not ROOT:
            assert meet(partners, issued).partner.name == "acme"


def test_a_renewed_certificate_that_is_not_registered_is_not_the_partner(partners: Path, add: Add) -> None:
    add("acme", OLD_CA)
    refused = refusal(partners, NEW_CA)
    assert type(refused) is CertSelfSignedUnknown
    assert refused.facts["nearest"] == "same key as a certificate of acme, renewed: not registered yet"


def test_a_message_certificate_that_connects_is_told_apart_from_a_renewed_one(partners: Path, add: Add) -> None:
    add("acme", OLD)
    (partners / "acme" / "as2").mkdir()
    (partners / "acme" / "as2" / "a").write_bytes(NEW_CA.pem)
    assert refusal(partners, NEW_CA).facts["nearest"] == "registered for acme, but for messages only"


def test_the_partners_own_certificate_is_called_so_whatever_is_wrong_with_it(partners: Path, add: Add) -> None:
    weak = pki.self_signed("weak", key=pki.rsa_key("weak", 1024))
    add("acme", weak)
    assert refusal(partners, weak).facts["nearest"] == "acme's own, but with a key that is too weak"


SERVER_ONLY = pki.leaf(ROOT, eku=(pki.SERVER,), san=SAN)


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("", "acme's own, but not issued for TLS clients"),
        (MATCH, "all that is asked for in [match] of acme, but not issued for TLS clients"),
    ],
)
def test_a_certificate_for_servers_is_a_near_miss_for_that_alone(
    partners: Path, add: Add, toml: str, expected: str
) -> None:
    add("acme", *((ROOT,) if toml else (ROOT, SERVER_ONLY)), toml=toml)
    refused = refusal(partners, SERVER_ONLY)
    assert type(refused) is CertEKUNoClientAuth
    assert refused.facts["nearest"] == expected
    assert "1.3.6.1.5.5.7.3.1" in refused.detail


# --- Attacks on a pin and on [match] ------------------------------------------------------------------------

SISTER = pki.leaf(CA, "sister")
SAME_KEY = pki.leaf(CA, "edi.acme.example", end=NOW + 9 * DAY)
SAME_NAME = pki.leaf(CA, "edi.acme.example", key=pki.rsa_key("thief"), serial=ACME.certificate.serial)
FOREIGN = pki.leaf(OTHER_ROOT, "edi.acme.example", key=pki.rsa_key("thief"), san=SAN)
FORGED_ROOT = pki.leaf(
    pki.root("Root", key=pki.rsa_key("forger")), "edi.acme.example", key=pki.rsa_key("thief"), san=SAN
)
SELF_MADE = pki.self_signed("edi.acme.example", key=pki.rsa_key("thief"), san=SAN)
BELOW_A_LEAF = pki.leaf(BETA, "edi.acme.example", key=pki.rsa_key("thief"), san=SAN)
BELOW_EXPIRED = pki.leaf(pki.intermediate(ROOT, "Old", end=NOW - DAY), "edi.acme.example", san=SAN)
NO_SAN = pki.leaf(CA, "edi.acme.example", key=pki.rsa_key("thief"))
SPELLED_OTHERWISE = pki.leaf(CA, "EDI.acme.example", san=SAN)
MORE_NAME = pki.leaf(CA, "x", subject="CN=edi.acme.example,O=Thief", san=SAN)

PIN_ATTACKS: list[tuple[pki.Issued, type[PeerError], str]] = [
    (SISTER, CertPinMismatch, ""),
    (SAME_KEY, CertPinMismatch, "same key as a certificate of acme"),
    (SAME_NAME, CertPinMismatch, "same subject as a certificate of acme, other key"),
    (FOREIGN, CertUntrustedIssuer, "same subject as a certificate of acme, other key"),
    (FORGED_ROOT, CertUntrustedIssuer, "same subject"),
    (SELF_MADE, CertSelfSignedUnknown, "same subject"),
    (BELOW_A_LEAF, CertUntrustedIssuer, "same subject"),
    (ROOT, CertKeyUsage, "registered for acme, but as a root only"),
    (pki.self_signed("stranger", ca=True), CertSelfSignedUnknown, ""),
]
MATCH_ATTACKS: list[tuple[pki.Issued, type[PeerError], str]] = [
    (SISTER, CertSubjectNotMapped, ""),
    (NO_SAN, CertSubjectNotMapped, "the subject in [match] of acme, other alternative names"),
    (SPELLED_OTHERWISE, CertSubjectNotMapped, ""),
    (MORE_NAME, CertSubjectNotMapped, ""),
    (FOREIGN, CertUntrustedIssuer, "[match] of acme"),
    (FORGED_ROOT, CertUntrustedIssuer, "[match] of acme"),
    (SELF_MADE, CertSelfSignedUnknown, "[match] of acme"),
    (BELOW_A_LEAF, CertUntrustedIssuer, "[match] of acme"),
    (ROOT, CertKeyUsage, "registered for acme, but as a root only"),
]


@pytest.mark.parametrize(("thief", "expected", "nearest"), PIN_ATTACKS)
def test_nothing_but_the_pinned_certificate_is_the_partners(
    partners: Path, add: Add, thief: pki.Issued, expected: type[PeerError], nearest: str
) -> None:
    add("acme", ROOT, ACME)
    refused = refusal(partners, thief)
    assert type(refused) is expected
    assert nearest in str(refused.facts["nearest"])
    assert bool(nearest) == bool(refused.facts["nearest"])


def test_a_root_that_could_sign_handshakes_is_still_not_the_partner_of_a_match(partners: Path, add: Add) -> None:
    lax = pki.root("Lax root", uses=())
    add("acme", lax, toml=MATCH)
    refused = refusal(partners, lax)
    assert type(refused) is CertSubjectNotMapped
    assert refused.facts["nearest"] == "registered for acme, but as a root only"


def test_a_root_that_two_partners_share_is_neither_of_them(partners: Path, add: Add) -> None:
    lax = pki.root("Lax root", uses=())
    acme, beta = pki.leaf(lax), pki.leaf(lax, "edi.beta.example")
    add("acme", lax, acme)
    add("beta", lax, beta)
    assert type(refusal(partners, lax)) is CertPinMismatch
    assert meet(partners, acme).partner.name == "acme"
    assert meet(partners, beta).partner.name == "beta"


@pytest.mark.parametrize(("thief", "expected", "nearest"), MATCH_ATTACKS)
def test_nothing_but_the_subject_under_the_partners_root_is_the_partners(
    partners: Path, add: Add, thief: pki.Issued, expected: type[PeerError], nearest: str
) -> None:
    add("acme", ROOT, toml=MATCH)
    refused = refusal(partners, thief)
    assert type(refused) is expected
    assert nearest in str(refused.facts["nearest"])


@pytest.mark.parametrize(
    "written",
    [
        "O=Del\\\\,ta,CN=edi.delta.example",
        "C=US,O=Delta,OU=EDI,CN=x",
        "OU=EDI,O=Delta,CN=x,C=US",
        "C=US,O=2,OU=3,L=4,CN=5",
    ],
)
def test_a_subject_in_the_order_of_openssl_is_named(partners: Path, add: Add, written: str) -> None:
    add("delta", ROOT, toml=f'[match]\nsubject = "{written}"\n')
    reverse = {
        "O=Del\\\\,ta,CN=edi.delta.example": "CN=edi.delta.example,O=Del\\,ta",
        "C=US,O=2,OU=3,L=4,CN=5": "CN=5,L=4,OU=3,O=2,C=US",
    }
    client = pki.leaf(CA, "x", subject=reverse.get(written, "CN=x,OU=EDI,O=Delta,C=US"))
    refused = refusal(partners, client)
    assert type(refused) is CertSubjectNotMapped
    words = "the subject in [match] of delta, in another order: RFC 4514 begins with the last"
    assert refused.facts["nearest"] == words


def test_whose_certificate_it_nearly_is_decides_what_is_missing(partners: Path, add: Add) -> None:
    add("acme", ROOT, toml=MATCH)
    add("beta", ROOT, BETA)
    assert type(refusal(partners, NO_SAN)) is CertSubjectNotMapped
    assert type(refusal(partners, pki.leaf(CA, "edi.beta.example", end=NOW + 9 * DAY))) is CertPinMismatch
    assert type(refusal(partners, SISTER)) is CertSubjectNotMapped


@pytest.mark.parametrize("thief", [SISTER, SAME_KEY, SAME_NAME, FOREIGN, SELF_MADE, ROOT])
def test_a_pin_without_a_root_accepts_nothing_else(partners: Path, add: Add, thief: pki.Issued) -> None:
    add("acme", ACME)
    assert isinstance(refusal(partners, thief), CertificateRefused)


def test_a_pin_beside_an_unrelated_root_is_refused(partners: Path, add: Add) -> None:
    own = pki.self_signed("own")
    add("acme", OTHER_ROOT, ACME, own)
    assert type(refusal(partners, ACME)) is CertChainIncomplete
    assert meet(partners, own).partner.name == "acme"


def test_what_the_unrelated_root_issues_is_refused_as_well(partners: Path, add: Add) -> None:
    add("acme", OTHER_ROOT, ACME)
    assert type(refusal(partners, FOREIGN)) is CertPinMismatch


def test_one_partners_root_does_not_vouch_for_another_partner(partners: Path, add: Add) -> None:
    add("acme", ROOT, toml=MATCH)
    add("beta", OTHER_ROOT, BETA)
    assert type(refusal(partners, FOREIGN)) is CertUntrustedIssuer
    assert type(refusal(partners, BETA)) is CertChainIncomplete


def test_a_pinned_certificate_is_not_the_partners_whose_match_it_meets(partners: Path, add: Add) -> None:
    add("acme", ROOT, ACME)
    add("beta", ROOT, toml=MATCH)
    assert meet(partners, ACME).partner.name == "acme"


@pytest.mark.parametrize("toml", ["", MATCH])
def test_a_certificate_that_two_partners_claim_identifies_nobody(partners: Path, add: Add, toml: str) -> None:
    certificates = (ROOT,) if toml else (ROOT, ACME)
    add("acme", *certificates, toml=toml)
    add("beta", *certificates, toml=toml)
    refused = refusal(partners, ACME)
    assert type(refused) is CertAmbiguousMapping
    assert refused.facts["partners"] == ("acme", "beta")


def test_a_mistake_in_one_partners_file_does_not_hand_a_disputed_certificate_to_the_other(
    partners: Path, add: Add
) -> None:
    add("acme", ROOT, ACME)
    add("beta", ROOT, ACME, toml="hosts = 1")
    assert type(refusal(partners, ACME)) is CertAmbiguousMapping


def test_a_message_certificate_opens_no_connection(partners: Path, add: Add) -> None:
    add("acme", ROOT, BETA)
    (partners / "acme" / "as2").mkdir()
    (partners / "acme" / "as2" / "a").write_bytes(ACME.pem)
    assert type(refusal(partners, ACME)) is CertPinMismatch


@pytest.mark.parametrize("toml", ["", MATCH])
def test_a_chain_is_followed_with_all_its_rules(partners: Path, add: Add, toml: str) -> None:
    expired = pki.leaf(ROOT, end=NOW - DAY, san=SAN)
    certificates = (ROOT,) if toml else (ROOT, expired, BELOW_EXPIRED)
    add("acme", *certificates, toml=toml)
    assert type(refusal(partners, expired)) is CertExpired
    assert refusal(partners, BELOW_EXPIRED).reason == "ca_expired"
    assert refusal(partners, expired).facts["partner"] == "acme"


@pytest.mark.parametrize("toml", ["", MATCH])
def test_names_that_a_ca_may_not_use_and_a_ca_too_many_are_refused(partners: Path, add: Add, toml: str) -> None:
    constraints = pki.name_constraints(permitted="other.example")
    wrong_name = pki.leaf(pki.intermediate(ROOT, "NC", extensions=((constraints, True),)), san=SAN)
    too_deep = pki.leaf(pki.intermediate(pki.intermediate(ROOT, "P0", path_length=0), "P1"), san=SAN)
    add("acme", *((ROOT,) if toml else (ROOT, wrong_name, too_deep)), toml=toml)
    assert type(refusal(partners, wrong_name)) is CertNameConstraint
    assert refusal(partners, too_deep).reason == "cert_chain_too_long"


# --- Other refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [ACME, ROOT, SELF_MADE, FOREIGN])
def test_an_empty_store_knows_nobody(partners: Path, client: pki.Issued) -> None:
    assert isinstance(refusal(partners, client), CertificateRefused)


def test_a_match_without_a_root_accepts_nobody(partners: Path, add: Add) -> None:
    add("acme", CA, toml=MATCH)
    assert type(refusal(partners, ACME)) is CertUntrustedIssuer


def test_the_certificate_of_a_disabled_partner_says_so(partners: Path, add: Add) -> None:
    add("acme", ROOT, ACME, toml="hosts = 1")
    refused = refusal(partners, ACME)
    assert type(refused) is PartnerDisabled
    assert refused.facts["partner"] == "acme"
    assert type(refusal(partners, SISTER)) is CertUntrustedIssuer


def test_a_partner_of_another_host_is_told_so_once_it_is_proven(partners: Path, add: Add) -> None:
    add("acme", ROOT, ACME, toml='hosts = ["other.example"]')
    refused = refusal(partners, ACME)
    assert type(refused) is CertKnownOtherHost
    assert refused.http_status == 403
    assert meet(partners, ACME, host="other.example").partner.name == "acme"
    assert type(refusal(partners, ACME, alone=True)) is CertChainIncomplete


def test_a_refusal_that_is_raised_often_does_not_grow(partners: Path, add: Add) -> None:
    store = store_of(partners)
    presented = Presented(SELF_MADE.certificate)
    claimed = claim(presented, store)
    verdict = judge(presented, claimed.anchors, NOW)
    raised = []
    for _ in range(3):
        with pytest.raises(CertSelfSignedUnknown) as caught:
            match(verdict, claimed, store, HOST)
        raised.append(caught.value)
    assert len(set(map(id, raised))) == 3


def test_a_stranger_costs_no_more_where_there_are_many_partners(partners: Path, add: Add) -> None:
    for number in range(30):
        add(f"p{number}", pki.root(f"Root {number}", key=pki.ec_key("Root")), toml=MATCH.replace("edi", str(number)))
    add("acme", ROOT, CA, toml=MATCH)
    anchors = claim(Presented(SISTER.certificate), store_of(partners)).anchors
    assert anchors.roots == (ROOT.certificate,)
    assert anchors.intermediates == (CA.certificate,)
    assert not anchors.pinned


def test_a_verdict_on_another_certificate_proves_nothing(partners: Path, add: Add) -> None:
    add("acme", ROOT, ACME)
    store = store_of(partners)
    claimed = claim(Presented(ACME.certificate), store)
    other = Presented(BETA.certificate, BETA.chain)
    with pytest.raises(AssertionError):
        match(judge(other, claimed.anchors, NOW), claimed, store, HOST)
