"""What we promised, on disk before we promised it."""
