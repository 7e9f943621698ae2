"""Bytes on disk, safely.

`reading` reads within limits, `durable` writes a file that survives a loss of power, `writing` changes a directory as a
whole or not at all, `stamps` tell what changed, and `carry_over` keeps what nobody read when a directory is replaced.
"""
