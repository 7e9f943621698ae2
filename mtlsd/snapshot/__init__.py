"""All that the files say, at one moment, as one immutable value."""
