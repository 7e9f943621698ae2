"""From a certificate to a partner: files, stores, pins, and who is whom. Pure."""

from mtlsd.identity import bundles, issuing, proposals, testca, writing
from mtlsd.identity.certificates import (
    Certificate,
    CertificateUnreadable,
    PeerUnverified,
    PeerVerified,
    Presented,
    is_costly,
)
from mtlsd.identity.keypairs import KeyPair, LoadedKeyPair, load_host, load_key_pair
from mtlsd.identity.matching import MAX_CHAIN, Anchors, Claim, Peer, claim, match, nearest
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
from mtlsd.identity.testca import is_for_tests, refuse_for_tests
from mtlsd.identity.truststore import TrustStore, build_trust_store, load_partners
from mtlsd.identity.validity import Validity, certificate_files, date_warning, date_warnings, days

__all__ = [
    "DEFAULT_VERSION",
    "MAX_CHAIN",
    "RELAXATIONS",
    "Anchors",
    "Certificate",
    "CertificateUnreadable",
    "Claim",
    "FileRefused",
    "KeyPair",
    "LoadedKeyPair",
    "LoadedOrganization",
    "LoadedPartner",
    "Match",
    "Organization",
    "Partner",
    "Peer",
    "PeerUnverified",
    "PeerVerified",
    "Presented",
    "Relax",
    "Require",
    "TrustStore",
    "Validity",
    "build_trust_store",
    "bundles",
    "certificate_files",
    "check_client",
    "check_issuer",
    "check_signature_algorithm",
    "claim",
    "date_warning",
    "date_warnings",
    "days",
    "is_costly",
    "is_for_tests",
    "issuing",
    "load_host",
    "load_key_pair",
    "load_organization",
    "load_partner",
    "load_partners",
    "match",
    "may_sign",
    "nearest",
    "proposals",
    "read_certificates",
    "read_file",
    "refuse_for_tests",
    "refused",
    "testca",
    "writing",
]
