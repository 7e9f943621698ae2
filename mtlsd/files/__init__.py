"""Bytes on disk, safely.

`reading` reads within limits, `writing` changes a directory as a whole or not at all, `stamps` tell what changed, and
`carry_over` keeps what nobody read when a directory is replaced.
"""
