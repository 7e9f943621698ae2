"""Wire bytes to plaintext and back, and a presented chain to a verdict. No sockets.

TLS proves possession of a key; what a certificate is worth is judged apart, again on every request.
"""
