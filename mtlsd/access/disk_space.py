"""Limits by free disk space, so that everything that is acknowledged can be written.

Below the first watermark, operators are warned and readiness fails; below the second, nothing is accepted.
"""

from mtlsd.config.model import Limits
from mtlsd.errors import SpoolFull

OVER = 1.05  # the warning ends above this multiple of the watermark, so that one message cannot toggle it


def check_room(free: int, limits: Limits, length: int | None) -> None:
    """Raises SpoolFull if a body of this length (None: unknown) would leave too little free space; all in bytes."""
    left = free - (length or 0)
    if left < limits.disk_stop_bytes:
        raise SpoolFull(f"{free} bytes are free and disk_stop_bytes is {limits.disk_stop_bytes}")


def is_low(free: int, limits: Limits, *, was_low: bool) -> bool:
    """Whether free space is below the first watermark, or was and is hardly above it."""
    warn = max(limits.disk_warn_bytes, limits.disk_stop_bytes)
    return free < (warn * OVER if was_low else warn)
