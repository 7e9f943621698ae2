"""The acceptances that one snapshot remembers, so that a new connection of a known client costs a look-up.

A refusal is never kept. An entry holds for one version of the known revocations, and from the time when it was judged
until the first moment at which something in it ends; a clock before that time ends it as well.
"""

from dataclasses import dataclass
from datetime import datetime

from mtlsd.partners.matching import Peer
from mtlsd.partners.shared_cache import SharedCache
from mtlsd.pki.certificate import Certificate, Presented

Key = tuple[bytes, tuple[bytes, ...], str, int]


@dataclass(frozen=True, slots=True)
class AcceptedChain:
    """A chain that was accepted on full evidence."""

    peer: Peer
    warnings: tuple[str, ...]
    since: datetime
    until: datetime  # exclusive
    proved: tuple[Certificate, ...]  # the certificates that the client sent and that are in the verified chain

    def holds(self, now: datetime) -> bool:
        """Whether the acceptance can be used at this time."""
        return self.since <= now < self.until


class Verdicts:
    """The acceptances by the client's certificate, its chain, the host and the version of the known revocations."""

    def __init__(self) -> None:
        self._kept: SharedCache[Key, AcceptedChain] = SharedCache()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, presented: Presented, host: str, version: int, now: datetime) -> AcceptedChain | None:
        """The acceptance of this chain that holds now."""
        key = _key(presented, host, version)
        found = self._kept.get(key)
        if found is not None and not found.holds(now):
            self._kept.remove(key)
            return None
        return found

    def keep(self, presented: Presented, host: str, version: int, acceptance: AcceptedChain) -> None:
        """Remember an acceptance."""
        octets = sum(len(each.der) for each in (presented.certificate, *presented.chain))
        self._kept.keep(_key(presented, host, version), acceptance, acceptance.peer.partner.name, octets)


def _key(presented: Presented, host: str, version: int) -> Key:
    return presented.certificate.der, tuple(each.der for each in presented.chain), host, version
