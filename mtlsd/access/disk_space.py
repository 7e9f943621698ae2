"""How much: the room that must stay free on the disk, so that what is acknowledged can always be written.

Below the first watermark the operators are warned and no more traffic is asked for; below the second nothing is taken.
"""

from mtlsd.config.model import Limits
from mtlsd.errors import SpoolFull

OVER = 1.05  # room must come back by so much until the warning ends: else one message more or less would toggle it


def check_room(free: int, limits: Limits, length: int | None) -> None:
    """Raises SpoolFull where a body of this length, if it is known, would not leave enough of what is free."""
    left = free - (length or 0)
    if left < limits.disk_stop_bytes:
        raise SpoolFull(f"{free} bytes are free and disk_stop_bytes is {limits.disk_stop_bytes}")


def is_low(free: int, limits: Limits, *, was_low: bool) -> bool:
    """Whether the room is below the first watermark, or was and is hardly above it."""
    warn = max(limits.disk_warn_bytes, limits.disk_stop_bytes)
    return free < (warn * OVER if was_low else warn)
