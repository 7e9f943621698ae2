"""Background tasks: checkpoints, retention, notices of expiry."""
