"""`mtlsd send`: a partner for tests."""
