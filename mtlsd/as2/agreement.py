"""The agreement with a partner: its keys and ours, the required protection of a message, and its size limits."""

from dataclasses import dataclass

from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import Require


@dataclass(frozen=True, slots=True)
class Agreement:
    """Our organization, the partner, and the protection that this message needs: at least the partner's `require`.

    `may_stay_sealed`: an envelope for a key of the backend is accepted. `passed_on`: the message will be read again by
    somebody else, so only one reading of it may be possible. `is_proven`: TLS has proved the partner; otherwise only a
    verified signature does, and until then little is decompressed.
    """

    organization: Organization
    partner: Partner
    require: frozenset[Require]
    may_stay_sealed: bool = False
    passed_on: bool = False
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Limits on the size of a message while it is decompressed: of a proven partner, and of anybody else."""

    max_expanded_octets: int
    max_expansion_ratio: int
    max_unproven_octets: int = 10 * 1024 * 1024
    max_unproven_ratio: int = 20
