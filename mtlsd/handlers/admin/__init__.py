"""The answers of the admin address, as values."""
