"""`/.well-known/mtlsd/`: whoami, and the AS2 self-test."""
