"""Whether the fields that describe a multipart have one reading.

A backend that gets the message itself takes it apart once more, by fields that nobody signed. If it found another
boundary or another transfer encoding in them, it would see parts that were never verified.
"""

import re

from mtlsd.as2.mime.parser import HeaderBlock
from mtlsd.errors import AS2MIMEMalformed

_CONTENT_TYPE = re.compile(  # possessive, because a peer chooses the text
    r'[^;"()\\]++(?:;\s*+(?:[^\s;="()\\]++\s*+=\s*+(?:"[^"\\]*+"|[^;"()\\]*+))?\s*+)*+'
)
_NAME = re.compile(r';\s*([^\s;="()\\]+)\s*=')
_ENCODINGS = ("binary", "7bit", "8bit", "base64")


def check_one_reading(block: HeaderBlock) -> None:
    """Raise AS2MIMEMalformed if another reader could take this multipart apart in another way."""
    text = block.fields.get("content-type", "")
    names = [name.lower() for name in _NAME.findall(re.sub(r'"[^"]*"', '""', text))]
    if not _CONTENT_TYPE.fullmatch(text) or len(names) > len(set(names)) or any("*" in name for name in names):
        raise AS2MIMEMalformed("the Content-Type of a multipart can be read in two ways")
    if block.fields.get("content-transfer-encoding", "binary").lower() not in _ENCODINGS:
        raise AS2MIMEMalformed("the Content-Transfer-Encoding of a multipart can be read in two ways")
