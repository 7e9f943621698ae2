"""From a certificate to a partner: files, stores, pins, and who is whom. Pure."""
