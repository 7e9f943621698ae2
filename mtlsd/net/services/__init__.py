"""Shared by connections and background tasks: `state`, the group commit, and the revocation data."""
