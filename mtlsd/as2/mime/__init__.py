"""MIME entities (RFC 2045, RFC 1847): `parser` and `multipart_signed` read them as they arrive, `writer` makes them."""
