"""How a delivery is made and what its outcome means. Pure.

`build_request` makes the request of a delivery, and `decide` says what follows from its outcome.
"""
