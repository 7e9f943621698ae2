"""From a certificate to a partner: files, stores, pins, and who is whom. Pure."""

from mtlsd.identity.certificates import (
    Certificate,
    CertificateUnreadable,
    PeerUnverified,
    PeerVerified,
    Presented,
    is_costly,
)
from mtlsd.identity.expiry import (
    LISTED_DAYS,
    Alert,
    Expiring,
    due,
    expiring_organization,
    expiring_pair,
    expiring_partner,
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
from mtlsd.identity.registry import (
    Registry,
    Remarks,
    certificates_of,
    load_partners,
    may_be_partner,
    read_registry,
    reread,
    stale,
)
from mtlsd.identity.relaxations import RELAXATIONS, Relax
from mtlsd.identity.sharded import Sharded
from mtlsd.identity.truststore import TrustStore, build_trust_store
from mtlsd.identity.validity import Validity, certificate_files, date_warning, date_warnings, days

__all__ = [
    "DEFAULT_VERSION",
    "LISTED_DAYS",
    "MAX_CHAIN",
    "RELAXATIONS",
    "Alert",
    "Anchors",
    "Certificate",
    "CertificateUnreadable",
    "Claim",
    "Expiring",
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
    "Registry",
    "Relax",
    "Remarks",
    "Require",
    "Sharded",
    "TrustStore",
    "Validity",
    "build_trust_store",
    "certificate_files",
    "certificates_of",
    "check_client",
    "check_issuer",
    "check_signature_algorithm",
    "claim",
    "date_warning",
    "date_warnings",
    "days",
    "due",
    "expiring_organization",
    "expiring_pair",
    "expiring_partner",
    "is_costly",
    "load_host",
    "load_key_pair",
    "load_organization",
    "load_partner",
    "load_partners",
    "match",
    "may_be_partner",
    "may_sign",
    "nearest",
    "read_certificates",
    "read_file",
    "read_registry",
    "refused",
    "reread",
    "stale",
]
