"""Notices of expiry: who tells of a certificate that is about to expire, and whether that was done.

Of several nodes that look at once, one claims a notice and gives it. A claim expires and is not extended, so that
another node takes over after a crash, or if the first one cannot send. A notice is given twice only if a node crashes
after giving it and before that is recorded.
"""

from enum import Enum, auto

CLAIM_SECONDS = 2 * 3600
WRONG_CLOCK_SECONDS = 2 * 86400  # a time further ahead was written by a wrong clock, and does not count


class NoticeStanding(Enum):
    """What is known of a notice."""

    GIVEN = auto()  # itself, or one for fewer days, which covers it
    OURS = auto()  # this node has claimed it
    THEIRS = auto()  # another node has claimed it
