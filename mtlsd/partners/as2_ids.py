"""An AS2 id as a header field has it (RFC 4130, section 6.2)."""

import re

_PLAIN = re.compile(r"[!#-\[\]-~]+")


def as_field(as2_id: str) -> str:
    """Write an AS2 id for AS2-From or AS2-To: quoted only if it must be; the octets are UTF-8, decoded as Latin-1."""
    octets = as2_id.encode("utf-8").decode("latin-1")
    return octets if _PLAIN.fullmatch(octets) else '"' + re.sub(r'(["\\])', r"\\\1", octets) + '"'
