"""What we and a partner agreed on: whose keys, what a message must be, how large it may grow."""

from dataclasses import dataclass

from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import Require


@dataclass(frozen=True, slots=True)
class Agreement:
    """Our organization, the partner, and what this message must be: more than the partner's `require`, never less.

    `may_stay_sealed`: an envelope for a key of the backend's is no mistake. `passed_on`: somebody else will read the
    message again, so there must be one way only to read it.
    """

    organization: Organization
    partner: Partner
    require: frozenset[Require]
    may_stay_sealed: bool = False
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what a message may grow to while it is read."""

    max_expanded_octets: int
    max_expansion_ratio: int
