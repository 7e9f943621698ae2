"""From a certificate to a partner: files, stores, pins, and who is whom. Pure."""

from mtlsd.identity import issuing, packing, proposals, testca, writing
from mtlsd.identity.bundles import Bundle, chain_of, split
from mtlsd.identity.certificatefiles import PASSWORD, decoded_password, password_beside
from mtlsd.identity.certificates import (
    Certificate,
    CertificateUnreadable,
    PeerUnverified,
    PeerVerified,
    Presented,
    is_costly,
)
from mtlsd.identity.contents import Contents, PrivateKeyFound, read_certificates, read_contents, read_public
from mtlsd.identity.crls import MAX_CRL, CRLUnreadable, RevocationList, distribution_points, read_crls
from mtlsd.identity.doubts import never_retired
from mtlsd.identity.files import FileRefused, missing_directory, read_file
from mtlsd.identity.hosts import HostKeys, LoadedHost, load_host
from mtlsd.identity.keypairs import KeyPair, LoadedKeyPair, belong_together, load_key_pair, parse_key
from mtlsd.identity.matching import MAX_CHAIN, Anchors, Claim, Peer, claim, match, nearest
from mtlsd.identity.ocsp import (
    MAX_RESPONSE,
    NONCE,
    OCSPFailure,
    OCSPInvalid,
    OCSPStatus,
    build_question,
    read_answer,
    responder,
)
from mtlsd.identity.oddities import oddities
from mtlsd.identity.organizations import LoadedOrganization, Organization, load_organization
from mtlsd.identity.partners import (
    DEFAULT_VERSION,
    LoadedPartner,
    Match,
    Partner,
    Require,
    load_partner,
)
from mtlsd.identity.paths import issuers_of
from mtlsd.identity.pkcs7 import bundle
from mtlsd.identity.pkcs12 import needs_password
from mtlsd.identity.policy import check_client, check_issuer, check_signature_algorithm, may_sign, refused
from mtlsd.identity.relaxations import RELAXATIONS, Relax
from mtlsd.identity.revocation import Check, Evidence, Revocation, check_revocation
from mtlsd.identity.rollover import (
    ALWAYS,
    Dates,
    Promotions,
    Registered,
    Standing,
    State,
    Use,
    current,
    in_force,
    is_usable,
    not_in_use,
    standings,
)
from mtlsd.identity.testca import is_for_tests, refuse_for_tests
from mtlsd.identity.truststore import TrustStore, build_trust_store, load_partners
from mtlsd.identity.validity import Validity, certificate_files, date_warning, date_warnings, days
from mtlsd.identity.verdicts import Finding, Result, Rule, examine_client, find, rule_of

__all__ = [
    "ALWAYS",
    "DEFAULT_VERSION",
    "MAX_CHAIN",
    "MAX_CRL",
    "MAX_RESPONSE",
    "NONCE",
    "PASSWORD",
    "RELAXATIONS",
    "Anchors",
    "Bundle",
    "CRLUnreadable",
    "Certificate",
    "CertificateUnreadable",
    "Check",
    "Claim",
    "Contents",
    "Dates",
    "Evidence",
    "FileRefused",
    "Finding",
    "HostKeys",
    "KeyPair",
    "LoadedHost",
    "LoadedKeyPair",
    "LoadedOrganization",
    "LoadedPartner",
    "Match",
    "OCSPFailure",
    "OCSPInvalid",
    "OCSPStatus",
    "Organization",
    "Partner",
    "Peer",
    "PeerUnverified",
    "PeerVerified",
    "Presented",
    "PrivateKeyFound",
    "Promotions",
    "Registered",
    "Relax",
    "Require",
    "Result",
    "Revocation",
    "RevocationList",
    "Rule",
    "Standing",
    "State",
    "TrustStore",
    "Use",
    "Validity",
    "belong_together",
    "build_question",
    "build_trust_store",
    "bundle",
    "certificate_files",
    "chain_of",
    "check_client",
    "check_issuer",
    "check_revocation",
    "check_signature_algorithm",
    "claim",
    "current",
    "date_warning",
    "date_warnings",
    "days",
    "decoded_password",
    "distribution_points",
    "examine_client",
    "find",
    "in_force",
    "is_costly",
    "is_for_tests",
    "is_usable",
    "issuers_of",
    "issuing",
    "load_host",
    "load_key_pair",
    "load_organization",
    "load_partner",
    "load_partners",
    "match",
    "may_sign",
    "missing_directory",
    "nearest",
    "needs_password",
    "never_retired",
    "not_in_use",
    "oddities",
    "packing",
    "parse_key",
    "password_beside",
    "proposals",
    "read_answer",
    "read_certificates",
    "read_contents",
    "read_crls",
    "read_file",
    "read_public",
    "refuse_for_tests",
    "refused",
    "responder",
    "rule_of",
    "split",
    "standings",
    "testca",
    "writing",
]
