"""Bytes on disk, safely.

`reading` reads within limits, `writing` changes a directory as a whole or not at all, `stamps` detect changes, and
`carry_over` keeps unknown files when a directory is replaced.
"""
