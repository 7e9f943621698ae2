"""Requests of our own over HTTP: `http` on `tls_stream`, names by `resolver`, small files by `fetch`."""
