"""AS2 (RFC 4130): octets in; a verified message and its receipt out. No sockets, no files, no clock.

A message is a nest of layers, read from the outside in as its octets arrive (`layers`): MIME entities (`mime`), CMS
(`cms`, on `der`), decryption (`envelope`), decompression (`compression`), signature and MIC (`signature`, `mic`).
`Receiver` drives them. `mdn` builds the receipt. `compose` makes the messages of the test partner from a `draft`, with
`signing` and `sealing`. `pyas2` is the home of pyas2lib: it reads MDNs, and never sees a message.
"""
