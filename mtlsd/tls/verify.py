"""Judges a presented chain at a given time, under given anchors, with OpenSSL and our own policy.

`RULES` is the one list of rules. `judge`, which accepts or refuses a request, stops at the first broken rule; a report
(`mtlsd.tls.report`) runs the same list to its end. The order is that of usefulness: an error in the client's own
certificate is reported before an error above it. The store holds the given roots and nothing else, and PARTIAL_CHAIN is
never set: with it, a pinned certificate would verify beside a root that has nothing to do with it.

OpenSSL accepts a certificate with `keyCertSign` and no basic constraints as a CA, and does not check a purpose unless
it is given one, which pyOpenSSL cannot do. So our rules check the verified chain again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from OpenSSL import crypto

from mtlsd import errors
from mtlsd.errors import CertificateRefused
from mtlsd.partners.rules import CLIENT_RULES, ISSUER_RULES, SIGNATURE_ALGORITHM, Rule, RuleName, refusal
from mtlsd.pki.anchors import MAX_CHAIN, Anchors
from mtlsd.pki.certificate import Certificate, CertificateUnreadable, PeerUnverified, PeerVerified, Presented
from mtlsd.pki.policy import check_dates, refused
from mtlsd.pki.revocation import RevocationEvidence, check_revocation
from mtlsd.text import cut

NOT_YET_VALID = 9
EXPIRED = 10
NO_EVIDENCE = RevocationEvidence()
OUTSIDE_VALIDITY = {NOT_YET_VALID, EXPIRED}
ISSUER_MISSING = {2, 20, 21}
REASONS: dict[int, type[CertificateRefused]] = {  # X509_V_ERR_…, openssl/x509_vfy.h
    7: errors.CertBadSignature,
    18: errors.CertSelfSignedUnknown,
    19: errors.CertUntrustedIssuer,
    22: errors.CertChainTooLong,
    24: errors.CertUntrustedIssuer,  # INVALID_CA, before OpenSSL 4
    25: errors.CertChainTooLong,  # PATH_LENGTH_EXCEEDED
    26: errors.CertEKUNoClientAuth,
    32: errors.CertUntrustedIssuer,  # the issuer may not sign certificates
    34: errors.CertUnhandledCriticalExt,
    **dict.fromkeys((47, 48, 49, 51, 52, 53), errors.CertNameConstraint),
    66: errors.CertKeyTooWeak,
    67: errors.CertKeyTooWeak,
    68: errors.CertSigAlgWeak,
    79: errors.CertUntrustedIssuer,  # INVALID_CA
}


@dataclass(slots=True, eq=False)
class Case:
    """A chain and everything that decides about it; a rule stores its results here for the rules that follow."""

    presented: Presented
    anchors: Anchors
    now: datetime
    relax: frozenset[str] = frozenset()
    evidence: RevocationEvidence = NO_EVIDENCE
    chain: tuple[Certificate, ...] = ()  # as it verified, from the client's certificate on; empty until then
    warnings: tuple[str, ...] = ()  # about unknown revocations, if they are not a refusal
    is_broken: bool = False  # at least one rule is broken

    @property
    def moment(self) -> datetime:
        """The time as of which the chain is judged: now, or the nearest validity of the client's own certificate."""
        leaf = self.presented.certificate
        return min(max(self.now, leaf.not_before), leaf.not_after)


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken rule, the certificate that breaks it, and the refusal."""

    rule: Rule[Case]
    certificate: Certificate
    error: CertificateRefused


def judge(
    presented: Presented,
    anchors: Anchors,
    now: datetime,
    relax: frozenset[str] = frozenset(),
    evidence: RevocationEvidence = NO_EVIDENCE,
) -> PeerVerified | PeerUnverified:
    """Judge whether this chain verifies at `now` (an aware time).

    `relax` has the relaxations of the claimed partner, `evidence` what is known about revocations.
    """
    case = Case(presented, anchors, now, relax, evidence)
    first = next(breaches(case), None)
    if first is not None:
        return PeerUnverified(presented, first.error)
    assert case.chain, "a rule makes it or refuses"
    return PeerVerified(presented, now, case.warnings, case.chain)


def breaches(case: Case) -> Iterator[Breach]:
    """The broken rules, in the order of `RULES`; a rule is checked only when the iterator reaches it."""
    for whose, rules in RULES:
        for certificate in whose(case):
            for rule in rules:
                error = refusal(rule, certificate, case)
                if error is not None:
                    case.is_broken = True
                    yield Breach(rule, certificate, error)


# --- The rules ------------------------------------------------------------------------------------------


def _check_chain(leaf: Certificate, case: Case) -> None:
    sent = case.presented.chain
    if len(sent) > MAX_CHAIN:
        raise refused(errors.CertChainTooLong, leaf, f"{len(sent)} certificates were sent along")
    if _is_its_own_anchor(leaf, case.anchors):
        case.chain = (leaf,)
    else:
        case.chain = _verified_chain(case.presented, case.anchors, case.moment)


def _check_revocation(_: Certificate, case: Case) -> None:
    """No responder is asked about a chain that another rule refuses, so a missing answer does not count against it."""
    unasked = case.is_broken and case.evidence.ocsp is None
    evidence = case.evidence.without_ocsp() if unasked else case.evidence
    case.warnings = check_revocation(case.chain, evidence, case.now, case.anchors.intermediates)


def _own(case: Case) -> tuple[Certificate, ...]:
    return (case.presented.certificate,)


def _below_the_root(case: Case) -> tuple[Certificate, ...]:
    """The chain without its root, whose signature proves nothing because the root itself is trusted."""
    return (case.presented.certificate, *case.chain[1:-1])


def _issuers(case: Case) -> tuple[Certificate, ...]:
    return case.chain[1:]


def _own_if_verified(case: Case) -> tuple[Certificate, ...]:
    return case.chain[:1]


DATES: Rule[Case] = Rule(RuleName.DATES, lambda certificate, case: check_dates(certificate, case.now))
CHAIN: Rule[Case] = Rule(RuleName.CHAIN, _check_chain)
REVOCATION: Rule[Case] = Rule(RuleName.REVOCATION, _check_revocation)

# The certificates to check, and the rules for each of them. Rules after CHAIN may use the chain that CHAIN found.
RULES: tuple[tuple[Callable[[Case], tuple[Certificate, ...]], tuple[Rule[Case], ...]], ...] = (
    (_own, (DATES, *CLIENT_RULES, CHAIN)),
    (_below_the_root, (SIGNATURE_ALGORITHM,)),
    (_issuers, ISSUER_RULES),
    (_own_if_verified, (REVOCATION,)),
)


# --- The chain ------------------------------------------------------------------------------------------


def _is_its_own_anchor(leaf: Certificate, anchors: Anchors) -> bool:
    """Whether the client's certificate is itself trusted, byte for byte, and needs no issuer.

    A self-signed certificate has no issuer, and OpenSSL would take another root of the same name and key for it. An
    issued certificate needs a root if the partner has any.
    """
    if leaf.is_self_signed:
        return leaf == anchors.pin or leaf in anchors.roots
    return leaf == anchors.pin and not anchors.roots


def _verified_chain(presented: Presented, anchors: Anchors, now: datetime) -> tuple[Certificate, ...]:
    """The chain from the client's certificate to one of the roots, both included, as OpenSSL built it."""
    leaf = presented.certificate
    try:
        chain = tuple(_build_chain(presented, anchors, now))
    except crypto.X509StoreContextError as error:
        raise _translated(error, presented, anchors) from error
    except (crypto.Error, CertificateUnreadable) as error:
        raise refused(errors.CertUntrustedIssuer, leaf, f"OpenSSL cannot read the chain: {error}") from error
    if len(chain) > MAX_CHAIN + 1:
        raise refused(errors.CertChainTooLong, leaf, f"{len(chain)} certificates up to the root")
    if chain[-1] not in anchors.roots:
        raise refused(errors.CertUntrustedIssuer, leaf, "the chain does not end at a root")
    return chain


def _build_chain(presented: Presented, anchors: Anchors, now: datetime) -> Iterator[Certificate]:
    store = crypto.X509Store()  # empty: OpenSSL does not use system roots unless told to
    store.set_time(now.astimezone(UTC))
    for root in anchors.roots:
        store.add_cert(_openssl(root))
    untrusted = (*presented.chain, *anchors.intermediates)
    context = crypto.X509StoreContext(store, _openssl(presented.certificate), list(map(_openssl, untrusted)))
    known = {each.der: each for each in (presented.certificate, *untrusted, *anchors.roots)}
    for each in context.get_verified_chain():
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, each)
        yield known[der] if der in known else Certificate.from_der(der)


def _openssl(certificate: Certificate) -> crypto.X509:
    return crypto.load_certificate(crypto.FILETYPE_ASN1, certificate.der)


def _translated(error: crypto.X509StoreContextError, presented: Presented, anchors: Anchors) -> CertificateRefused:
    """Translate an error of OpenSSL; a code that is not in the table is also a refusal."""
    code, depth, words = error.errors
    detail = f"{words} (OpenSSL {code} at depth {depth})"
    if code in OUTSIDE_VALIDITY:
        return refused(_outside_validity(code, depth), presented.certificate, detail)
    if code in ISSUER_MISSING:
        return _issuer_missing(presented, anchors, detail)
    return refused(REASONS.get(code, errors.CertUntrustedIssuer), presented.certificate, detail)


def _outside_validity(code: int, depth: int) -> type[CertificateRefused]:
    if depth > 0:
        return errors.CAExpired
    return errors.CertExpired if code == EXPIRED else errors.CertNotYetValid


def _issuer_missing(presented: Presented, anchors: Anchors, detail: str) -> CertificateRefused:
    """The refusal for a missing issuer: incomplete, if the chain of a known partner ends early; otherwise untrusted.

    A subject alone does not make a client known: a forger would learn from the answer which subjects a `[match]` has.
    """
    top = _top(presented, anchors)
    named = {each.subject for each in anchors.roots}
    stops_short = not top.is_self_signed and top.issuer not in named
    is_known = anchors.pinned or not anchors.issuers.isdisjoint((presented.certificate.issuer, top.issuer))
    error = errors.CertChainIncomplete if is_known and anchors.roots and stops_short else errors.CertUntrustedIssuer
    return refused(error, presented.certificate, f"{detail}; wanted: {cut(top.issuer)}", wanted_issuer=top.issuer)


def _top(presented: Presented, anchors: Anchors) -> Certificate:
    """The topmost certificate that the names lead to from the client's certificate."""
    by_subject = {each.subject: each for each in (*anchors.intermediates, *presented.chain)}
    top = presented.certificate
    for _ in range(MAX_CHAIN):
        top = by_subject.get(top.issuer, top)
    return top
