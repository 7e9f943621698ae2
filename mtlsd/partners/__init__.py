"""Who is whom: partners, ourselves, and the one store that matches a certificate to a partner. Pure.

`partner` reads one directory, `registry` reads them all, `trust_store` indexes what they claim, `matching` finds the
partner of a certificate and `rules` says whether the certificate may be used. `rollover` and `dates` decide by time.
`ours` is our side: organizations, hosts and their keys. `edit` is what the command line changes.
"""
