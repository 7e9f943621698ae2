"""The hash chain over the records, its signed checkpoints, and the check that the journal is unaltered."""
