"""A certificate authority for tests: `issue` makes certificates, `marks` tells them from real ones."""
