"""Cryptographic Message Syntax (RFC 5652), streamed.

`reader` on `der`; `decrypt`, `verify`, `decompress` and their opposites.
"""
