"""Writing MIME entities (RFC 2045, 2046), octet for octet: CRLF, unfolded headers, no epilogue.

Products are particular about each of these.
"""

import base64
import hashlib
from collections.abc import Mapping

from mtlsd.as2.cms.sign import Padding, sign
from mtlsd.as2.headers import DEFAULT_LABELS
from mtlsd.pki.key_pair import KeyPair


def entity(header: Mapping[str, str], body: bytes) -> bytes:
    """A MIME entity with this header."""
    return fields(header) + b"\r\n" + body


def fields(header: Mapping[str, str]) -> bytes:
    """Header fields, one per line."""
    return "".join(f"{name}: {value}\r\n" for name, value in header.items()).encode("latin-1")


def multipart(boundary: str, *parts: bytes) -> bytes:
    """The body of a multipart; no part may contain the boundary."""
    delimiter = f"--{boundary}".encode("ascii")
    return b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"


def multipart_signed(
    signed: bytes, pair: KeyPair, algorithm: str, *, boundary: str, rsa_padding: Padding = Padding.PKCS1V15
) -> tuple[str, bytes]:
    """The Content-Type and the body of a multipart/signed over an entity (RFC 1847; RFC 8551, section 3.5.3)."""
    digest = hashlib.new(algorithm, signed, usedforsecurity=False).digest()
    signature = entity(
        {
            "Content-Type": "application/pkcs7-signature; name=smime.p7s; smime-type=signed-data",
            "Content-Transfer-Encoding": "base64",
            "Content-Disposition": "attachment; filename=smime.p7s",
        },
        _base64_lines(sign(digest, algorithm, pair, rsa_padding=rsa_padding)),
    )
    parameters = f'micalg={DEFAULT_LABELS[algorithm]}; boundary="{boundary}"'
    content_type = f'multipart/signed; protocol="application/pkcs7-signature"; {parameters}'
    return content_type, multipart(boundary, signed, signature)


def _base64_lines(data: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
