"""The admin address: health and metrics for those who watch the daemon."""
