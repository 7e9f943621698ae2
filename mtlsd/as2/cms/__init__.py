"""Cryptographic Message Syntax (RFC 5652), streamed.

`reader` reads a value, on `der`; `decrypt`, `verify` and `decompress` process its content; `encrypt` and `sign` make
values.
"""
