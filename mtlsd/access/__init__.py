"""Who may do what, and how much. Pure: takes `now`."""

from mtlsd.access.limits import FailureLimit

__all__ = ["FailureLimit"]
