"""Reads files that hold certificates, in any form.

`detect` recognizes the format of a file, `pem` and `normalize` read odd spellings, and `reader` returns the contents.
"""
