"""The beginning of a document: an S/MIME entity may be there, with a MIME header of its own.

Some products leave the Content-Type of the document in the header of the message, and put the S/MIME entity with its
header into the body; mendelson does so if it only compresses. A receiver that takes this body for the document delivers
something that nobody opened.

Mail is a document, also if it is S/MIME: whoever reads the mail opens it. A header with a field that only mail has is
therefore no header of an entity (RFC 5322, section 3.6: each mail has From; each server on its way adds Received).
"""

from mtlsd.as2.mime.parser import HeaderBlock, HeaderBlockReader

PKCS7_MIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")
SMIME = (*PKCS7_MIME, "multipart/signed")
MESSAGE = "message/"  # the body is a mail by its media type (RFC 2046, section 5.2)
MAX_BLANK = 1000  # octets of line ends before the header

_FIRST_FIELDS = (b"content-", b"mime-version")
_MAIL_FIELDS = ("from", "received")


class DocumentBeginning:
    """Takes the first octets of a document until it is known whether an S/MIME entity begins there.

    Once `is_known`, `entity` is the header of this entity and the first octets of its body, or None for a document.
    """

    def __init__(self) -> None:
        self.is_known = False
        self.entity: tuple[HeaderBlock, bytes] | None = None
        self._held = b""  # until the first field has begun
        self._header: HeaderBlockReader | None = None

    def write(self, data: bytes) -> None:
        """Take some octets; raises AS2MIMEMalformed for a MIME header with too many fields."""
        if not self.is_known and self._header is None:
            data = self._find_field(data)
        if not self.is_known and self._header and (found := self._header.receive_data(data)):
            self._decide(*found)

    def close(self) -> None:
        """End the document: a header without an empty line after it has no body, so nothing is unread."""
        self.is_known = True

    def _find_field(self, data: bytes) -> bytes:
        """Begin to read a header if its first field is one of MIME; returns the octets from there."""
        self._held += data
        text = self._held.lstrip(b"\r\n")
        name = text[: max(map(len, _FIRST_FIELDS))].lower()
        if name.startswith(_FIRST_FIELDS):
            self._header = HeaderBlockReader()
        else:
            may_follow = any(each.startswith(name) for each in _FIRST_FIELDS) and len(self._held) <= MAX_BLANK
            self.is_known = not may_follow
        return text

    def _decide(self, block: HeaderBlock, rest: bytes) -> None:
        self.is_known = True
        content_type = block.content_type()
        if content_type and content_type.value in SMIME and not any(name in block.fields for name in _MAIL_FIELDS):
            self.entity = block, rest
