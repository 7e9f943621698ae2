"""Ids of ours: UUIDs of version 7, which sort by age (RFC 9562, section 5.7)."""

import os
from uuid import UUID


def new_id(now: float) -> str:
    """A new id for an exchange that begins `now`, in seconds of the epoch."""
    random = int.from_bytes(os.urandom(10), "big")
    value = _milliseconds(now) << 80 | random
    return str(UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62))


def first_id(now: float) -> str:
    """What sorts before every id of an exchange that begins then or later, and after all others."""
    return str(UUID(int=_milliseconds(now) << 80))


def _milliseconds(now: float) -> int:
    return min(max(int(now * 1000), 0), (1 << 48) - 1)
