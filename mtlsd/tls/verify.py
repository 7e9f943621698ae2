"""A presented chain judged: at a given time, under given anchors, with OpenSSL and a policy of our own.

The order of the checks is the order of usefulness: what is wrong with the client's own certificate is said
before what is wrong above it. The store holds the given roots and nothing else, and PARTIAL_CHAIN is never set:
with it a pinned certificate would verify beside a root that has nothing to do with it.

OpenSSL takes a certificate with `keyCertSign` and no basic constraints for a CA, and does not look at a purpose
unless it is given one, which pyOpenSSL cannot do: so the verified chain is looked at once more.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from OpenSSL import crypto

from mtlsd.errors import (
    CAExpired,
    CertBadSignature,
    CertChainIncomplete,
    CertChainTooLong,
    CertEKUNoClientAuth,
    CertExpired,
    CertificateRefused,
    CertKeyTooWeak,
    CertNameConstraint,
    CertNotYetValid,
    CertSelfSignedUnknown,
    CertSigAlgWeak,
    CertUnhandledCriticalExt,
    CertUntrustedIssuer,
)
from mtlsd.pki.anchors import MAX_CHAIN, Anchors
from mtlsd.pki.certificate import Certificate, CertificateUnreadable, PeerUnverified, PeerVerified, Presented
from mtlsd.pki.policy import check_client, check_issuer, check_signature_algorithm, refused
from mtlsd.pki.revocation import Evidence, check_revocation

NOT_YET_VALID = 9
EXPIRED = 10
NO_EVIDENCE = Evidence()
OUTSIDE_VALIDITY = {NOT_YET_VALID, EXPIRED}
ISSUER_MISSING = {2, 20, 21}
REASONS: dict[int, type[CertificateRefused]] = {  # X509_V_ERR_…, openssl/x509_vfy.h
    7: CertBadSignature,
    18: CertSelfSignedUnknown,
    19: CertUntrustedIssuer,
    22: CertChainTooLong,
    24: CertUntrustedIssuer,  # INVALID_CA, before OpenSSL 4
    25: CertChainTooLong,  # PATH_LENGTH_EXCEEDED
    26: CertEKUNoClientAuth,
    32: CertUntrustedIssuer,  # the issuer may not sign certificates
    34: CertUnhandledCriticalExt,
    47: CertNameConstraint,
    48: CertNameConstraint,
    49: CertNameConstraint,
    51: CertNameConstraint,
    52: CertNameConstraint,
    53: CertNameConstraint,
    66: CertKeyTooWeak,
    67: CertKeyTooWeak,
    68: CertSigAlgWeak,
    79: CertUntrustedIssuer,  # INVALID_CA
}


def judge(
    presented: Presented,
    anchors: Anchors,
    now: datetime,
    relax: frozenset[str] = frozenset(),
    evidence: Evidence = NO_EVIDENCE,
) -> PeerVerified | PeerUnverified:
    """Whether this chain verifies at `now` (aware).

    `relax` says what the claimed partner is excused from, `evidence` what is known of revocations.
    """
    try:
        chain = _checked_chain(presented, anchors, now, relax)
        warnings = check_revocation(chain, evidence, now)
    except CertificateRefused as error:
        return PeerUnverified(presented, error)
    return PeerVerified(presented, now, warnings, chain)


def _checked_chain(
    presented: Presented, anchors: Anchors, now: datetime, relax: frozenset[str]
) -> tuple[Certificate, ...]:
    """The chain that verifies, from the client's certificate on; raises CertificateRefused."""
    leaf = presented.certificate
    _check_dates(leaf, now)
    check_client(leaf, relax)
    if len(presented.chain) > MAX_CHAIN:
        raise refused(CertChainTooLong, leaf, f"{len(presented.chain)} certificates were sent along")
    if _is_its_own_anchor(leaf, anchors):
        check_signature_algorithm(leaf, relax)
        return (leaf,)
    chain = _verified_chain(presented, anchors, now)
    for each in chain[:-1]:  # the signature of the root, which we have as a file, proves nothing
        check_signature_algorithm(each, relax)
    for each in chain[1:]:
        check_issuer(each, relax)
    return chain


def _is_its_own_anchor(leaf: Certificate, anchors: Anchors) -> bool:
    """Whether the client's certificate is trusted by its bytes, and needs nothing above it.

    A self-signed one never has anything above it; to ask OpenSSL is to have it take another root of the same
    name and key for the issuer. One that was issued needs the root, where the partner has any.
    """
    if leaf.is_self_signed:
        return leaf == anchors.pin or leaf in anchors.roots
    return leaf == anchors.pin and not anchors.roots


def _check_dates(leaf: Certificate, now: datetime) -> None:
    if now < leaf.not_before:
        raise refused(CertNotYetValid, leaf, f"valid in {_rounded(leaf.not_before - now)}, from {leaf.not_before}")
    if now > leaf.not_after:
        raise refused(CertExpired, leaf, f"ended {_rounded(now - leaf.not_after)} ago, on {leaf.not_after}")


def _rounded(time: timedelta) -> str:
    """Whole days where there are several, else hours, minutes and seconds."""
    return f"{time.days} days" if time.days > 1 else str(timedelta(seconds=round(time.total_seconds())))


# --- The chain ------------------------------------------------------------------------------------------


def _verified_chain(presented: Presented, anchors: Anchors, now: datetime) -> tuple[Certificate, ...]:
    """The chain from the client's certificate to one of the roots, both included, as OpenSSL built it."""
    leaf = presented.certificate
    try:
        chain = tuple(_build_chain(presented, anchors, now))
    except crypto.X509StoreContextError as error:
        raise _translated(error, presented, anchors) from error
    except (crypto.Error, CertificateUnreadable) as error:
        raise refused(CertUntrustedIssuer, leaf, f"OpenSSL cannot read the chain: {error}") from error
    if len(chain) > MAX_CHAIN + 1:
        raise refused(CertChainTooLong, leaf, f"{len(chain)} certificates up to the root")
    if chain[-1] not in anchors.roots:
        raise refused(CertUntrustedIssuer, leaf, "the chain does not end at a root")
    return chain


def _build_chain(presented: Presented, anchors: Anchors, now: datetime) -> Iterator[Certificate]:
    store = crypto.X509Store()  # empty: OpenSSL does not look for system roots unless it is told to
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
    """Our words for OpenSSL's; a code that is not in the table is a refusal all the same."""
    code, depth, words = error.errors
    detail = f"{words} (OpenSSL {code} at depth {depth})"
    if code in OUTSIDE_VALIDITY:
        return refused(_outside_validity(code, depth), presented.certificate, detail)
    if code in ISSUER_MISSING:
        return _issuer_missing(presented, anchors, detail)
    return refused(REASONS.get(code, CertUntrustedIssuer), presented.certificate, detail)


def _outside_validity(code: int, depth: int) -> type[CertificateRefused]:
    if depth > 0:
        return CAExpired
    return CertExpired if code == EXPIRED else CertNotYetValid


def _issuer_missing(presented: Presented, anchors: Anchors, detail: str) -> CertificateRefused:
    """Incomplete, if a known partner's chain stops short; no end of a stranger's would be the right one.

    A subject alone makes nobody known: a forger would learn by the answer which subjects some `[match]` has.
    """
    top = _top(presented, anchors)
    named = {each.subject for each in anchors.roots}
    stops_short = not top.is_self_signed and top.issuer not in named
    is_known = anchors.pinned or not anchors.issuers.isdisjoint((presented.certificate.issuer, top.issuer))
    error = CertChainIncomplete if is_known and anchors.roots and stops_short else CertUntrustedIssuer
    return refused(error, presented.certificate, f"{detail}; wanted: {top.issuer}", wanted_issuer=top.issuer)


def _top(presented: Presented, anchors: Anchors) -> Certificate:
    """As far up as the names lead from the client's certificate."""
    by_subject = {each.subject: each for each in (*anchors.intermediates, *presented.chain)}
    top = presented.certificate
    for _ in range(MAX_CHAIN):
        top = by_subject.get(top.issuer, top)
    return top
