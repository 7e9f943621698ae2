"""Certificates that were parsed before, shared by all connections: parsing one costs 100 µs.

Only certificates of accepted chains are kept, so that a stranger can neither fill this cache nor evict from it.
"""

from collections.abc import Iterable

from mtlsd.partners.shared_cache import SharedCache
from mtlsd.pki.certificate import Certificate


class KnownCertificates:
    """The certificates by their octets; a certificate means the same to everybody, so no reload changes this."""

    def __init__(self) -> None:
        self._kept: SharedCache[bytes, Certificate] = SharedCache()

    def __len__(self) -> int:
        return len(self._kept)

    def read(self, der: bytes) -> Certificate:
        """The certificate with these octets; raises CertificateUnreadable."""
        return self._kept.get(der) or Certificate.from_der(der)

    def keep(self, certificates: Iterable[Certificate], partner: str) -> None:
        """Keep the certificates that a client sent and that are in its accepted chain."""
        for each in certificates:
            if self._kept.get(each.der) is None:
                self._kept.keep(each.der, each, partner, len(each.der))
