"""Reads files that hold certificates, in any form.

`detect` recognizes a file, `pem` and `normalize` read odd spellings, `reader` returns the contents.
"""
