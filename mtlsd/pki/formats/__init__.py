"""Reads any file that holds a certificate.

`detect` tells what a file is, `pem` and `normalize` read odd spellings, `reader` returns what is in it.
"""
