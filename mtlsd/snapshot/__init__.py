"""The content of all files at one moment, as one immutable value."""
