"""Ids of ours: UUIDs of version 7, which sort by age (RFC 9562, section 5.7)."""

import os
from uuid import UUID


def new_id(now: float) -> str:
    """A new id for an exchange that begins `now`, in seconds of the epoch."""
    milliseconds = int(now * 1000) & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | random
    return str(UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62))
