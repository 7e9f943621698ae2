"""Bytes on disk, safely.

`reading` reads within limits, `durable` writes a file that survives a loss of power, `writing` changes a directory as a
whole or not at all, `stamps` detect changes, and `carry_over` keeps unknown files when a directory is replaced.
"""
