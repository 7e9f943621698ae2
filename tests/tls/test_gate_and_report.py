"""The gate and the report agree: a client that is let in has passed every rule, and what keeps one out is reported."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations
from pathlib import Path

import pytest
from cryptography import x509

from mtlsd.errors import CertificateRefused, CertKnownOtherHost, ClientCertMissing, PeerError, peer_errors
from mtlsd.partners.matching import Claim, claim, match
from mtlsd.partners.registry import load_partners
from mtlsd.partners.rules import Finding, RuleName, RuleResult
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.anchors import MAX_CHAIN, Anchors
from mtlsd.pki.certificate import Certificate, PeerUnverified, Presented
from mtlsd.pki.relaxations import Relax
from mtlsd.pki.revocation import RevocationEvidence
from mtlsd.tls.report import ABOVE, ClientReport, examine, report
from mtlsd.tls.verify import NO_EVIDENCE, RULES, judge
from tests.support import pki
from tests.support.pki import DAY, NOW, SERVER, Issued

HOST = "as2.example.com"
ROOT = pki.root("Root")
ANCHORS = Anchors((ROOT.certificate,))
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def reasons(findings: tuple[Finding, ...]) -> set[str]:
    """Of what failed."""
    return {each.error.reason for each in findings if each.error}


def gate(issued: Issued, relax: frozenset[str]) -> str | None:
    """Why it is refused; None if it is not."""
    verdict = judge(presented(issued), ANCHORS, NOW, relax)
    return verdict.error.reason if isinstance(verdict, PeerUnverified) else None


def presented(issued: Issued) -> Presented:
    return Presented(issued.certificate, issued.chain)


# --- Relaxations ------------------------------------------------------------------------------------------------

SHA1_CA = pki.intermediate(ROOT, "SHA-1 CA", sha1=True)
SERVER_CA = pki.intermediate(ROOT, "Server CA", eku=(SERVER,))
NEEDING: list[tuple[Relax, str, Issued]] = [
    (Relax.SERVER_AUTH_ONLY, "cert_eku_no_client_auth", pki.leaf(ROOT, eku=(SERVER,))),
    (Relax.SERVER_AUTH_ONLY, "cert_eku_no_client_auth", pki.leaf(SERVER_CA)),
    (Relax.ANY_KEY_USAGE, "cert_key_usage", pki.leaf(ROOT, uses=("key_encipherment",))),
    (Relax.SHA1_CHAIN, "cert_sig_alg_weak", pki.leaf(ROOT, sha1=True)),
    (Relax.SHA1_CHAIN, "cert_sig_alg_weak", pki.leaf(SHA1_CA)),
]
STILL_REFUSED: list[tuple[Relax, str, Issued]] = [
    (Relax.SHA1, "cert_sig_alg_weak", pki.leaf(ROOT, sha1=True)),
    (Relax.RSA_1024, "cert_key_too_weak", pki.leaf(ROOT, key=pki.rsa_key("weak", 1024))),
    (Relax.TRIPLE_DES, "cert_eku_no_client_auth", pki.leaf(ROOT, eku=(SERVER,))),
    (Relax.TE_AND_CL, "cert_key_usage", pki.leaf(ROOT, uses=("key_encipherment",))),
    (Relax.GCM_IN_ENVELOPED_DATA, "cert_key_usage", pki.leaf(ROOT, uses=("key_encipherment",))),
]


@pytest.mark.parametrize(("relax", "reason", "issued"), NEEDING)
def test_a_partner_that_is_excused_is_told_of_nothing_to_replace(relax: Relax, reason: str, issued: Issued) -> None:
    for excused, expected in ((frozenset({relax}), None), (frozenset(Relax) - {relax}, reason)):
        assert gate(issued, excused) == expected
        assert reasons(examine(presented(issued), ANCHORS, NOW, excused)) == {expected} - {None}


@pytest.mark.parametrize(("relax", "reason", "issued"), STILL_REFUSED)
def test_a_relaxation_for_messages_excuses_no_certificate(relax: Relax, reason: str, issued: Issued) -> None:
    for excused in (frozenset({relax}), frozenset[str]()):
        assert gate(issued, excused) == reason
        assert reasons(examine(presented(issued), ANCHORS, NOW, excused)) == {reason}


def test_every_relaxation_is_in_one_of_the_tables() -> None:
    assert {each for each, *_ in NEEDING} | {each for each, *_ in STILL_REFUSED} == set(Relax)


# --- Several things at once -------------------------------------------------------------------------------------

FAULTS: dict[str, dict[str, object]] = {
    "expired": {"end": NOW - DAY},
    "weak": {"key": pki.rsa_key("weak", 1024)},
    "no signing": {"uses": ("key_encipherment",)},
    "for servers": {"eku": (SERVER,)},
    "extension": {"extensions": ((UNKNOWN, True),)},
    "SHA-1": {"sha1": True},
}
ISSUERS = {
    "its root": ROOT,
    "a CA signed with SHA-1": SHA1_CA,
    "a CA for servers": SERVER_CA,
    "an expired CA": pki.intermediate(ROOT, "Old CA", end=NOW - DAY),
    "a stranger": pki.root("Stranger"),
}
EXCUSES = [frozenset[str](), *(frozenset({each}) for each in Relax), frozenset(Relax)]


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("relax", EXCUSES)
def test_whatever_is_wrong_the_reason_that_counts_is_reported_and_what_is_let_in_passes(
    issuer: str, relax: frozenset[str]
) -> None:
    for faults in chain.from_iterable(combinations(FAULTS, count) for count in range(len(FAULTS) + 1)):
        issued = _faulty(issuer, faults)
        reason, findings = gate(issued, relax), examine(presented(issued), ANCHORS, NOW, relax)
        assert len({each.rule for each in findings}) == len(findings)
        if reason is None:
            assert {each.result for each in findings} == {RuleResult.PASSED}, faults
        else:
            assert reason in reasons(findings), faults


@cache
def _faulty(issuer: str, faults: tuple[str, ...]) -> Issued:
    options = {key: value for each in faults for key, value in FAULTS[each].items()}
    return pki.leaf(ISSUERS[issuer], "edi.acme.example", **options)


# --- Every reason -----------------------------------------------------------------------------------------------

OWN = pki.self_signed("own")
CA = pki.intermediate(ROOT)
ACME = pki.leaf(CA)
NO_SIGNING = pki.leaf(ROOT, uses=("key_encipherment",))
EXPIRED = pki.leaf(ROOT, end=NOW - DAY)


@dataclass(frozen=True, slots=True)
class Row:
    """A partner named acme with these files, and a client."""

    client: Issued
    files: tuple[Issued, ...] = (ROOT,)
    toml: str = ""
    crls: tuple[bytes, ...] = ()
    alone: bool = False  # sends no chain along
    also: str | None = None  # partner.toml of another partner with the same files


def pinned(client: Issued, **options: object) -> Row:
    return Row(client, (ROOT, client), **options)  # type: ignore[arg-type]


def tall() -> Issued:
    issuer = ROOT
    for number in range(MAX_CHAIN):
        issuer = pki.intermediate(issuer, f"CA {number}", key=pki.ec_key("tall CA"))
    return pki.leaf(issuer)


def damaged() -> Issued:
    der = bytearray(pki.leaf(ROOT, "damaged").certificate.der)
    der[-1] ^= 1
    return Issued(Certificate.from_der(bytes(der)), pki.ec_key("damaged"))


def constrained() -> Issued:
    above = pki.intermediate(ROOT, "Constrained", extensions=((pki.name_constraints("other.example"), True),))
    return pki.leaf(above, san=("dns:edi.acme.example",))


HARD = '[revocation]\ncrl = "hard"\n'
ASKED = '[revocation]\nocsp = "hard"\n'
ACCEPTED: dict[str, Callable[[], Row]] = {
    "pinned under its root": lambda: pinned(ACME),
    "self-signed": lambda: Row(OWN, (OWN,)),
    "matched": lambda: Row(ACME, toml=f'[match]\nsubject = "{ACME.certificate.subject}"\n'),
    "its lists are there": lambda: pinned(ACME, toml=HARD, crls=(pki.crl(ROOT), pki.crl(CA))),
}
REFUSED: dict[str, Callable[[], Row]] = {
    "cert_expired": lambda: pinned(pki.leaf(ROOT, end=NOW - DAY)),
    "cert_not_yet_valid": lambda: pinned(pki.leaf(ROOT, start=NOW + DAY)),
    "cert_untrusted_issuer": lambda: Row(pki.leaf(pki.root("Stranger"))),
    "cert_self_signed_unknown": lambda: Row(OWN),
    "cert_chain_incomplete": lambda: pinned(ACME, alone=True),
    "cert_chain_too_long": lambda: pinned(tall()),
    "cert_bad_signature": lambda: pinned(damaged()),
    "cert_revoked": lambda: pinned(ACME, crls=(pki.crl(CA, ACME),)),
    "crl_missing": lambda: pinned(ACME, toml=HARD),
    "crl_expired": lambda: pinned(ACME, toml=HARD, crls=(pki.crl(ROOT), pki.crl(CA, end=NOW - DAY / 2))),
    "ocsp_unreachable": lambda: pinned(ACME, toml=ASKED),
    "cert_eku_no_client_auth": lambda: pinned(pki.leaf(ROOT, eku=(SERVER,))),
    "cert_key_usage": lambda: pinned(pki.leaf(ROOT, uses=("key_encipherment",))),
    "cert_key_too_weak": lambda: pinned(pki.leaf(ROOT, key=pki.rsa_key("weak", 1024))),
    "cert_sig_alg_weak": lambda: pinned(pki.leaf(ROOT, sha1=True)),
    "cert_unhandled_critical_ext": lambda: pinned(pki.leaf(ROOT, extensions=((UNKNOWN, True),))),
    "cert_name_constraint": lambda: pinned(constrained()),
    "ca_expired": lambda: pinned(pki.leaf(pki.intermediate(ROOT, "Old CA", end=NOW - DAY))),
    "cert_pin_mismatch": lambda: Row(pki.leaf(CA, "sister"), (ROOT, ACME)),
    "cert_subject_not_mapped": lambda: Row(ACME, toml='[match]\nsubject = "CN=other"\n'),
    "cert_ambiguous_mapping": lambda: pinned(ACME, also=""),
    "partner_disabled": lambda: pinned(ACME, toml="disabled = true\n"),
    "cert_known_but_retired": lambda: pinned(ACME, toml='[[certificate]]\nfile = "1.pem"\nretire_after = 2021-01-01\n'),
    "cert_known_but_pending": lambda: pinned(ACME, toml='[[certificate]]\nfile = "1.pem"\nactive_from = 2098-01-01\n'),
    "cert_known_other_host": lambda: pinned(ACME, toml='hosts = ["other.example.com"]\n'),
}


def told(folder: Path, row: Row) -> ClientReport:
    """The report on the client, which the gate itself has to bear out."""
    _write(folder / "acme", "ACME", row.toml, row)
    if row.also is not None:
        _write(folder / "also", "ALSO", row.also, row)
    store, _, _ = load_partners(folder, NOW)
    client = Presented(row.client.certificate, () if row.alone else row.client.chain)
    claimed = claim(client, store)
    evidence = RevocationEvidence(claimed.partner.revocation, claimed.partner.crls) if claimed.partner else NO_EVIDENCE
    found = report(client, claimed, store, HOST, NOW, evidence)
    assert (found.refusal and found.refusal.reason) == _refusal(client, claimed, store, evidence)
    return found


def _refusal(client: Presented, claimed: Claim, store: TrustStore, evidence: RevocationEvidence) -> str | None:
    verdict = judge(client, claimed.anchors, NOW, claimed.relax, evidence)
    try:
        match(verdict, claimed, store, HOST)
    except PeerError as refusal:
        return refusal.reason
    return None


def _write(folder: Path, as2_id: str, toml: str, row: Row) -> None:
    folder.mkdir()
    (folder / "partner.toml").write_text(f'as2_id = "{as2_id}"\n{toml}')
    for at, each in enumerate(row.files):
        (folder / f"{at}.pem").write_bytes(each.pem)
    for at, crl in enumerate(row.crls):
        (folder / f"{at}.crl").write_bytes(crl)


@pytest.mark.parametrize("reason", REFUSED)
def test_the_reason_of_a_refusal_is_among_what_failed(tmp_path: Path, reason: str) -> None:
    found = told(tmp_path, REFUSED[reason]())
    assert found.refusal is not None
    assert found.refusal.reason == reason
    assert reason in reasons(found.findings)


TOGETHER: list[tuple[str, Callable[[], Row], set[str]]] = [
    (
        "a disabled partner's relaxations count, and its chain has nothing to end at",
        lambda: pinned(NO_SIGNING, toml='disabled = true\nrelax = ["any-key-usage"]\n'),
        {"partner_disabled"},
    ),
    (
        "so do those of partners that claim one certificate",
        lambda: pinned(NO_SIGNING, toml='relax = ["any-key-usage"]\n', also='relax = ["any-key-usage"]\n'),
        {"cert_ambiguous_mapping"},
    ),
    (
        "what is wrong above is said beside what is wrong with the client's own",
        lambda: Row(pki.leaf(pki.root("Stranger"), eku=(SERVER,))),
        {"cert_eku_no_client_auth", "cert_untrusted_issuer"},
    ),
    (
        "an expired certificate that was revoked",
        lambda: pinned(EXPIRED, crls=(pki.crl(ROOT, EXPIRED),)),
        {"cert_expired", "cert_revoked"},
    ),
    (
        "nobody asks the responder about an expired certificate, so its silence is not held against it",
        lambda: pinned(EXPIRED, toml=ASKED),
        {"cert_expired"},
    ),
]


@pytest.mark.parametrize(("case", "make", "expected"), TOGETHER)
def test_nothing_is_reported_but_what_is_wrong(
    tmp_path: Path, case: str, make: Callable[[], Row], expected: set[str]
) -> None:
    assert reasons(told(tmp_path, make()).findings) == expected, case


def test_a_revocation_is_said_of_the_certificate_that_was_revoked(tmp_path: Path) -> None:
    for number, (lists, remark) in enumerate((((pki.crl(CA, ACME),), ""), ((pki.crl(ROOT, CA),), ABOVE))):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = told(folder, pinned(ACME, crls=lists))
        assert [each.remark for each in found.findings if each.rule is RuleName.REVOCATION] == [remark]


@pytest.mark.parametrize("case", ACCEPTED)
def test_of_a_client_that_is_accepted_nothing_failed(tmp_path: Path, case: str) -> None:
    found = told(tmp_path, ACCEPTED[case]())
    assert found.refusal is None
    assert {each.result for each in found.findings} == {RuleResult.PASSED}


def test_every_reason_for_a_certificate_is_tried() -> None:
    about_certificates = (CertificateRefused, CertKnownOtherHost)
    expected = {each.reason for each in peer_errors() if issubclass(each, about_certificates)}
    assert REFUSED.keys() == expected - {ClientCertMissing.reason}


def test_every_rule_of_the_list_is_reported_by_its_name() -> None:
    """Revocation only if it fails, for most partners have no lists; the mapping is what `match` decides."""
    names = {rule.name for _, rules in RULES for rule in rules}
    assert names == set(RuleName) - {RuleName.MAPPING}
    found = {each.rule for each in examine(presented(ACME), ANCHORS, NOW)}
    assert found == names - {RuleName.REVOCATION}
