"""Who may do what, and how much. Pure: takes `now`."""

from mtlsd.access.limits import FailureLimit
from mtlsd.access.room import check_room, is_low

__all__ = ["FailureLimit", "check_room", "is_low"]
