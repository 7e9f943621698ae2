"""Bytes on disk, safely: `reading` within limits, `writing` that takes effect at once, `stamps` that tell what changed, `carry_over`."""
