"""What the admin address answers, as values."""
