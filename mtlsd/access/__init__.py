"""Who may do what, and how much. Pure: takes `now`."""

from mtlsd.access.limits import FailureLimit, RequestLimit, network_of
from mtlsd.access.room import check_room, is_low

__all__ = ["FailureLimit", "RequestLimit", "check_room", "is_low", "network_of"]
