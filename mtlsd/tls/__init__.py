"""TLS without a socket (`engine`), and the verdict on a presented chain (`verify`).

TLS proves possession of a key. The certificate is judged separately, and again on every request.
"""
