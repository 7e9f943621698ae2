"""`mtlsd cert` and `mtlsd ca`: what is in a certificate file, and a CA for tests."""
