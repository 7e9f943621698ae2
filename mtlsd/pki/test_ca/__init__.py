"""A certificate authority for tests: `issue` makes certificates, `marks` recognizes them."""
