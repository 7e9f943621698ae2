"""Reads any file that holds a certificate.

`detect` recognizes the format of a file, `pem` and `normalize` read odd spellings, and `reader` returns the contents.
"""
