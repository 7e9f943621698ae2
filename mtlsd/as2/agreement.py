"""The agreement with a partner: its keys and ours, the required protection of a message, and its size limits."""

from dataclasses import dataclass

from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import Require


@dataclass(frozen=True, slots=True)
class Agreement:
    """Our organization, the partner, and the protection that this message needs: at least the partner's `require`.

    `may_stay_sealed`: an envelope for a key of the backend is accepted. `passed_on`: the message will be read again by
    somebody else, so only one reading of it may be possible.
    """

    organization: Organization
    partner: Partner
    require: frozenset[Require]
    may_stay_sealed: bool = False
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size of a message while it is decompressed."""

    max_expanded_octets: int
    max_expansion_ratio: int
