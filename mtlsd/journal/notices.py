"""Notices of expiry: whether a notice about a certificate was given, and which node gives it.

If several nodes check at the same time, one node claims a notice and gives it. A claim expires and is not extended, so
that another node takes over if the first node crashes or cannot send. A notice is given twice only if a node crashes
between giving it and recording it.
"""

from enum import Enum, auto

CLAIM_SECONDS = 2 * 3600
WRONG_CLOCK_SECONDS = 2 * 86400  # a time further in the future is from a wrong clock, and does not count


class NoticeStanding(Enum):
    """The state of a notice."""

    GIVEN = auto()  # this notice, or a notice for fewer days
    OURS = auto()  # this node has claimed it
    THEIRS = auto()  # another node has claimed it
