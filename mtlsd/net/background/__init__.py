"""What goes on beside the exchanges: checkpoints, retention, notices of expiry."""
