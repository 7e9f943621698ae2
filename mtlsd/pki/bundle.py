"""Certificates in any order: sorts them, finds missing issuers, and builds the chain of one certificate."""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.x509 import AuthorityKeyIdentifier, ExtensionNotFound

from mtlsd.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Bundle:
    """Certificates sorted by their own fields, each one once."""

    leaves: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]
    roots: tuple[Certificate, ...]
    missing: tuple[str, ...]  # issuers that are named but not included, RFC 4514

    @property
    def in_order(self) -> tuple[Certificate, ...]:
        """Each leaf followed by its issuers, then the rest; each one once."""
        pool = (*self.intermediates, *self.roots)
        chains = ((each, *chain_of(each, pool)) for each in self.leaves)
        return tuple(dict.fromkeys((*(each for chain in chains for each in chain), *pool)))


def split(certificates: Iterable[Certificate]) -> Bundle:
    """Sort certificates into leaves, intermediates and roots."""
    several = tuple(dict.fromkeys(certificates))
    subjects = {each.subject for each in several}
    missing = (each.issuer for each in several if not each.is_self_signed and each.issuer not in subjects)
    return Bundle(
        leaves=tuple(each for each in several if not each.is_ca),
        intermediates=tuple(each for each in several if each.is_ca and not each.is_self_signed),
        roots=tuple(each for each in several if each.is_ca and each.is_self_signed),
        missing=tuple(dict.fromkeys(missing)),
    )


def chain_of(certificate: Certificate, pool: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """The issuers of a certificate, from its own upwards, as far as the pool leads. Names and key ids decide."""
    several = tuple(pool)
    chain = [certificate]
    while issuer := _issuer_of(chain[-1], several):
        if issuer in chain:
            break
        chain.append(issuer)
    return tuple(chain[1:])


def _issuer_of(certificate: Certificate, pool: tuple[Certificate, ...]) -> Certificate | None:
    """Of several with the issuer's name, the one with the named key identifier; then the one that expires last."""
    if certificate.is_self_signed:
        return None
    named = [each for each in pool if each.subject == certificate.issuer and each != certificate]
    wanted = _issuers_key(certificate)
    exact = [each for each in named if wanted and each.subject_key_identifier == wanted]
    return max(exact or named, key=lambda each: each.not_after, default=None)


def _issuers_key(certificate: Certificate) -> bytes | None:
    try:
        extension = certificate.x509.extensions.get_extension_for_class(AuthorityKeyIdentifier)
    except ExtensionNotFound:
        return None
    return extension.value.key_identifier
