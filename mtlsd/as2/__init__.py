"""AS2 (RFC 4130): octets in; a verified message and its receipt out. No sockets, no files, no clock.

A message is a nest of layers, read from the outside in as its octets arrive (`layers`): MIME entities and
multipart/signed (`mime`), and encryption, signature and compression by CMS (`cms`). `receiver` drives the layers, and
`mic` hashes. `mdn` builds receipts and reads those of others, with pyas2lib in `mdn.pyas2` only, which never sees a
message. `outbound` composes the messages of the test partner.
"""
