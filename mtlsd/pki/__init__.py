"""Certificates, chains, keys and revocation, with no knowledge of partners. Pure.

`certificate` parses; `tbs` and `identity` read by BER alone what a certificate is. `bundle` and `chain` order, `policy`
and `relaxations` judge keys and usages, `key_pair` holds our keys, `crl`, `ocsp` and `revocation` find revocations.
`formats` reads any file that holds a certificate; `test_ca` makes certificates for tests.
"""
