"""AS2 (RFC 4130): bytes in; verified message and receipt out. No sockets, no files, no clock."""
