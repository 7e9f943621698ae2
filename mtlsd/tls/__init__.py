"""Wire bytes to plaintext and back, and a presented chain to a verdict. No sockets."""
