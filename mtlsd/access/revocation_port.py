"""What the judgement of a certificate asks of whatever knows about revocations."""

from typing import Protocol

from mtlsd.partners.matching import Claim
from mtlsd.pki.revocation import Evidence


class KnownRevocations(Protocol):
    """Evidence of revocation, as far as it is known now; nothing is fetched for a question."""

    @property
    def version(self) -> int:
        """Another number whenever a verdict could be another one."""

    def evidence(self, claim: Claim) -> Evidence:
        """All that is known now about the chain of this partner's client."""
