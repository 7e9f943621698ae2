"""The interface to known revocations that the judgement of a certificate needs."""

from typing import Protocol

from mtlsd.partners.matching import Claim
from mtlsd.pki.revocation import Evidence


class KnownRevocations(Protocol):
    """The revocations that are known now; nothing is fetched when they are asked for."""

    @property
    def version(self) -> int:
        """A number that changes whenever a verdict could change."""

    def evidence(self, claim: Claim) -> Evidence:
        """The evidence that is known now about the chain of this partner's client."""
