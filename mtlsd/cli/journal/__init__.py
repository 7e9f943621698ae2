"""`mtlsd journal` and `mtlsd privacy`: what was received, and what became of it."""
