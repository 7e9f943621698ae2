"""The rules that a client certificate is judged by, one by one: which of them hold, and why the others do not.

The gate itself stops at the first that fails (`tls.judge`, `match`). Whoever asks what is wrong wants to hear of all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mtlsd.errors import CertificateRefused, CertKeyUsage, PeerError
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.policy import (
    _check_critical_extensions,
    _check_key,
    _check_purpose,
    check_signature_algorithm,
    may_sign,
    refused,
)


class Rule(StrEnum):
    """One thing that is asked of a client certificate, in the order in which people look at them."""

    DATES = "dates"
    KEY = "key"
    KEY_USAGE = "key usage"
    EXTENDED_KEY_USAGE = "extended key usage"
    EXTENSIONS = "critical extensions"
    SIGNATURE_ALGORITHM = "signature algorithm"
    CHAIN = "chain"
    REVOCATION = "revocation"
    MAPPING = "mapping to a partner"


class Result(StrEnum):
    """What came of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"  # something else must be mended first


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one rule, and the refusal where it failed. `remark` is about the client's own certificates alone."""

    rule: Rule
    result: Result
    error: PeerError | None = None
    remark: str = ""


_RULES = {
    Rule.DATES: ("cert_expired", "cert_not_yet_valid"),
    Rule.KEY: ("cert_key_too_weak",),
    Rule.KEY_USAGE: ("cert_key_usage",),
    Rule.EXTENDED_KEY_USAGE: ("cert_eku_no_client_auth",),
    Rule.EXTENSIONS: ("cert_unhandled_critical_ext",),
    Rule.SIGNATURE_ALGORITHM: ("cert_sig_alg_weak",),
    Rule.REVOCATION: ("cert_revoked", "crl_missing", "crl_expired", "ocsp_unreachable"),
    Rule.MAPPING: (
        *("cert_pin_mismatch", "cert_known_but_retired", "cert_known_but_pending", "cert_known_other_host"),
        *("cert_subject_not_mapped", "cert_ambiguous_mapping", "partner_disabled"),
    ),
}
_RULE_OF = {reason: rule for rule, reasons in _RULES.items() for reason in reasons}


def rule_of(error: PeerError) -> Rule:
    """The rule that a refusal is about; what is no other rule's is the chain's."""
    return _RULE_OF.get(error.reason, Rule.CHAIN)


def find(rule: Rule, check: Callable[[], None]) -> Finding:
    """What came of a check that raises CertificateRefused about a certificate of the client's own."""
    try:
        check()
    except CertificateRefused as error:
        return Finding(rule, Result.FAILED, error, error.detail)
    return Finding(rule, Result.PASSED)


def examine_client(certificate: Certificate, relax: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """What came of each rule that `check_client` checks, and of its signature algorithm."""
    yield find(Rule.KEY, lambda: _check_key(certificate))
    yield find(Rule.KEY_USAGE, lambda: _check_key_usage(certificate))
    yield find(Rule.EXTENDED_KEY_USAGE, lambda: _check_purpose(certificate, relax))
    yield find(Rule.EXTENSIONS, lambda: _check_critical_extensions(certificate))
    yield find(Rule.SIGNATURE_ALGORITHM, lambda: check_signature_algorithm(certificate))


def _check_key_usage(certificate: Certificate) -> None:
    if not may_sign(certificate):
        raise refused(CertKeyUsage, certificate)
