"""The issuers of a certificate in order, to show a path that was already judged."""

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature

from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import UNREADABLE, Certificate, is_costly


def issuers_of(certificate: Certificate, candidates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The candidates on the path up from a certificate, each the issuer of the one before, without a root.

    A client may send any certificates: those that do not belong to the path are left out.
    """
    path: list[Certificate] = []
    while len(path) < MAX_CHAIN and not certificate.is_self_signed:
        above = [each for each in candidates if not each.is_self_signed and each not in path]
        found = next((each for each in above if _has_issued(each, certificate)), None)
        if found is None:
            break
        path.append(found)
        certificate = found
    return tuple(path)


def _has_issued(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether the issuer's key made the signature; False for SHA-1, which was refused before."""
    if issuer.subject != certificate.issuer:
        return False
    try:
        if is_costly(issuer.x509.public_key()):
            return False
        certificate.x509.verify_directly_issued_by(issuer.x509)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True
