"""Our ids: UUIDs of version 7, which sort by age (RFC 9562, section 5.7)."""

import os
from uuid import UUID


def new_id(now: float) -> str:
    """Return a new id for an exchange that begins at `now`, in seconds of the epoch."""
    random = int.from_bytes(os.urandom(10), "big")
    value = _milliseconds(now) << 80 | random
    return str(UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62))


def first_id(now: float) -> str:
    """Return an id that sorts before the ids of exchanges that begin at `now` or later, and after all earlier ids."""
    return str(UUID(int=_milliseconds(now) << 80))


def _milliseconds(now: float) -> int:
    return min(max(int(now * 1000), 0), (1 << 48) - 1)
