"""From a certificate to a partner: files, stores, pins, and who is whom. Pure."""

from mtlsd.identity.certificates import (
    Certificate,
    CertificateUnreadable,
    PeerUnverified,
    PeerVerified,
    Presented,
    is_costly,
)
from mtlsd.identity.crls import MAX_CRL, CRLUnreadable, RevocationList, distribution_points, read_crls
from mtlsd.identity.keypairs import KeyPair, LoadedKeyPair, load_host, load_key_pair
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
from mtlsd.identity.organizations import LoadedOrganization, Organization, load_organization
from mtlsd.identity.partners import (
    DEFAULT_VERSION,
    LoadedPartner,
    Match,
    Partner,
    Require,
    load_partner,
)
from mtlsd.identity.pemfiles import FileRefused, read_certificates, read_file
from mtlsd.identity.policy import check_client, check_issuer, check_signature_algorithm, may_sign, refused
from mtlsd.identity.relaxations import RELAXATIONS, Relax
from mtlsd.identity.revocation import Check, Evidence, Revocation, check_revocation
from mtlsd.identity.truststore import TrustStore, build_trust_store, load_partners
from mtlsd.identity.validity import Validity, certificate_files, date_warning, date_warnings, days

__all__ = [
    "DEFAULT_VERSION",
    "MAX_CHAIN",
    "MAX_CRL",
    "MAX_RESPONSE",
    "NONCE",
    "RELAXATIONS",
    "Anchors",
    "CRLUnreadable",
    "Certificate",
    "CertificateUnreadable",
    "Check",
    "Claim",
    "Evidence",
    "FileRefused",
    "KeyPair",
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
    "Relax",
    "Require",
    "Revocation",
    "RevocationList",
    "TrustStore",
    "Validity",
    "build_question",
    "build_trust_store",
    "certificate_files",
    "check_client",
    "check_issuer",
    "check_revocation",
    "check_signature_algorithm",
    "claim",
    "date_warning",
    "date_warnings",
    "days",
    "distribution_points",
    "is_costly",
    "load_host",
    "load_key_pair",
    "load_organization",
    "load_partner",
    "load_partners",
    "match",
    "may_sign",
    "nearest",
    "read_answer",
    "read_certificates",
    "read_crls",
    "read_file",
    "refused",
    "responder",
]
