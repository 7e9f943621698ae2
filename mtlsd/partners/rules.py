"""The rules for the certificates of clients: one list for the gate, the report and the warnings.

The gate (`mtlsd.tls.verify`) stops at the first broken rule. A report (`mtlsd.tls.report`) applies all rules, so that
one answer names every error. The warnings apply the rules to registered certificates. The rules themselves respect the
`relax` of a partner.

The rules in this module need only one certificate and `relax`. `mtlsd.tls.verify.RULES` adds the rules that need a
time, a chain or revocation lists, and is the list of all rules, in the order of the gate.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from mtlsd.errors import CertificateRefused, PeerError
from mtlsd.pki import policy
from mtlsd.pki.certificate import Certificate


class RuleName(StrEnum):
    """The names of the rules, in the order in which a report shows them."""

    DATES = "dates"
    KEY = "key"
    KEY_USAGE = "key usage"
    EXTENDED_KEY_USAGE = "extended key usage"
    EXTENSIONS = "critical extensions"
    SIGNATURE_ALGORITHM = "signature algorithm"
    CHAIN = "chain"
    REVOCATION = "revocation"
    MAPPING = "mapping to a partner"


class RuleResult(StrEnum):
    """The result of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"  # something else must be fixed first


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule, with the refusal if it failed; `remark` is only about the client's own certificates."""

    rule: RuleName
    result: RuleResult
    error: PeerError | None = None
    remark: str = ""


class Terms(Protocol):
    """Whatever a rule needs beside the certificate; a partner suffices."""

    @property
    def relax(self) -> frozenset[str]: ...


T = TypeVar("T", bound=Terms, contravariant=True)


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """One rule: its name, and the check, which raises CertificateRefused if a certificate breaks it."""

    name: RuleName
    check: Callable[[Certificate, T], None]


def _rule(name: RuleName, check: Callable[[Certificate, frozenset[str]], None]) -> Rule[Terms]:
    return Rule(name, lambda certificate, terms: check(certificate, terms.relax))


KEY = _rule(RuleName.KEY, lambda certificate, _: policy.check_key(certificate))
KEY_USAGE = _rule(RuleName.KEY_USAGE, policy.check_key_usage)
EXTENDED_KEY_USAGE = _rule(RuleName.EXTENDED_KEY_USAGE, policy.check_purpose)
EXTENSIONS = _rule(RuleName.EXTENSIONS, lambda certificate, _: policy.check_critical_extensions(certificate))
SIGNATURE_ALGORITHM = _rule(RuleName.SIGNATURE_ALGORITHM, policy.check_signature_algorithm)
IS_CA = _rule(RuleName.CHAIN, lambda certificate, _: policy.check_is_ca(certificate))

CLIENT_RULES = (KEY, KEY_USAGE, EXTENDED_KEY_USAGE, EXTENSIONS)
ISSUER_RULES = (IS_CA, KEY, EXTENDED_KEY_USAGE)


def refusals(rules: Iterable[Rule[T]], certificate: Certificate, terms: T) -> Iterator[CertificateRefused]:
    """The refusals of a certificate: one for each rule that it breaks, in the order of the rules."""
    return filter(None, (refusal(rule, certificate, terms) for rule in rules))


def refusal(rule: Rule[T], certificate: Certificate, terms: T) -> CertificateRefused | None:
    """The refusal by this rule; None if the certificate passes."""
    try:
        rule.check(certificate, terms)
    except CertificateRefused as error:
        return error
    return None


_REASONS = {
    RuleName.DATES: ("cert_expired", "cert_not_yet_valid"),
    RuleName.KEY: ("cert_key_too_weak",),
    RuleName.KEY_USAGE: ("cert_key_usage",),
    RuleName.EXTENDED_KEY_USAGE: ("cert_eku_no_client_auth",),
    RuleName.EXTENSIONS: ("cert_unhandled_critical_ext",),
    RuleName.SIGNATURE_ALGORITHM: ("cert_sig_alg_weak",),
    RuleName.REVOCATION: ("cert_revoked", "crl_missing", "crl_expired", "ocsp_unreachable"),
    RuleName.MAPPING: (
        *("cert_pin_mismatch", "cert_known_but_retired", "cert_known_but_pending", "cert_known_other_host"),
        *("cert_subject_not_mapped", "cert_ambiguous_mapping", "partner_disabled"),
    ),
}
_RULE_OF = {reason: rule for rule, reasons in _REASONS.items() for reason in reasons}


def rule_of(error: PeerError) -> RuleName:
    """The rule that a refusal belongs to; the chain if it belongs to no other rule."""
    return _RULE_OF.get(error.reason, RuleName.CHAIN)
