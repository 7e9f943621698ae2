"""Partners, our own organizations and hosts, and the trust store that matches a certificate to a partner. Pure.

`partner` reads the directory of one partner and `registry` those of all partners. `trust_store` indexes the
certificates, AS2 ids and subjects of the partners, `matching` finds the partner of a certificate, and `rules` decides
whether the certificate may be used. `rollover` and `dates` decide by time. `ours` has our organizations, hosts and
keys. `edit` has the changes that commands make.
"""
