"""Builds deliveries and decides on their outcomes. Pure.

`build_request` builds the request of a delivery, and `decide` decides what follows from its outcome.
"""
