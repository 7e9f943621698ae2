"""The issuers of a certificate in order, to show a path that was already judged."""

from collections.abc import Sequence

from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import Certificate


def issuers_of(certificate: Certificate, candidates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The candidates on the path up from a certificate, each the issuer of the one before, without a root.

    A client may send any certificates: those that do not belong to the path are left out.
    """
    path: list[Certificate] = []
    while len(path) < MAX_CHAIN and not certificate.is_self_signed:
        above = [each for each in candidates if not each.is_self_signed and each not in path]
        found = next((each for each in above if each.has_issued(certificate)), None)
        if found is None:
            break
        path.append(found)
        certificate = found
    return tuple(path)
