"""The wrapping of a CMS value in a MIME body: base64, and the lines that some products put before the value.

A CMS value is a SEQUENCE: it begins with 0x30, which is `0`, in binary, and with `M` in base64.
"""

import re
import string

from mtlsd.as2.mime.parser import Base64Decoder
from mtlsd.as2.sink import Sink
from mtlsd.errors import AS2MIMEMalformed

MAX_PREAMBLE = 64 * 1024  # octets, all lines together
MAX_TEXT_LINE = 998  # octets (RFC 5322, section 2.1.1); a longer one is base64 without line ends

_BINARY = 0x30
_LETTERS_AND_DIGITS = (string.ascii_letters + string.digits).encode()
_OTHERS = bytes(set(range(256)) - set(_LETTERS_AND_DIGITS))
# The object identifier of every CMS content type has one of these in base64: 1.2.840.113549.1 in its three alignments.
_TYPES_OF_CMS = (b"KoZIhvcNAQ", b"qGSIb3DQ", b"hkiG9w0B")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Unarmoured:
    """Detects whether a CMS value is binary or base64, because the header is often wrong about it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._decided: Sink | None = None

    def write(self, data: bytes) -> None:
        if self._decided is None:
            data = data.lstrip(b"\r\n")
            if not data:
                return
            self._decided = self._sink if data[0] == _BINARY else Base64Decoder(self._sink)
        self._decided.write(data)

    def close(self) -> None:
        (self._decided or self._sink).close()


class WithoutPreamble:
    """Skips lines of text before a CMS value: some products repeat the header in the body, or add a greeting.

    Nothing in these lines is trusted. Use it only for a body in the clear: inside an envelope, somebody without the key
    could change such lines, and learn from whether they were skipped what they decrypt to. Lines that a more lenient
    reader of base64 could take for a CMS value of their own are refused, because a backend would then read another
    document than we do.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._has_begun = False
        self._held = bytearray()  # the line that may be text, as far as it has arrived
        self._read_over = bytearray()
        self._size = 0  # of the lines that were skipped

    def write(self, data: bytes) -> None:
        """Take some octets; raises AS2MIMEMalformed if the first ones are neither CMS nor a few lines of text."""
        if self._has_begun:
            self._sink.write(data)
            return
        searched = len(self._held)
        self._held += data
        begins = self._find_value(searched)
        if begins is not None:
            self._begin(begins)

    def close(self) -> None:
        if not self._has_begun:
            self._begin(0)
        self._sink.close()

    def _find_value(self, searched: int) -> int | None:
        """The position of the value in the held octets; None until it is known. The last line stays held.

        The first `searched` octets have no line end.
        """
        at = 0
        while at < len(self._held):
            if self._held[at] == _BINARY:
                return at
            end = self._held.find(b"\n", max(at, searched), at + MAX_TEXT_LINE + 2)
            if end < 0 and len(self._held) - at < MAX_TEXT_LINE + 2:
                break
            line = bytes(self._held[at : end if end >= 0 else at + MAX_TEXT_LINE + 2])
            if _is_base64(line):
                return at
            self._check(line)
            at = end + 1
        del self._held[:at]
        return None

    def _check(self, line: bytes) -> None:
        if len(line) > MAX_TEXT_LINE + 1 or self._size > MAX_PREAMBLE or _CONTROL.search(line):
            raise AS2MIMEMalformed("the octets before the CMS value are not a few lines of text")
        self._size += len(line) + 1
        self._read_over += line.translate(None, _OTHERS)

    def _begin(self, at: int) -> None:
        if any(each in self._read_over for each in _TYPES_OF_CMS):
            raise AS2MIMEMalformed("the text before the CMS value could be read as another CMS value")
        self._has_begun = True
        begins = bytes(self._held[at:])
        self._held.clear()
        self._read_over.clear()
        if begins:
            self._sink.write(begins)


def _is_base64(line: bytes) -> bool:
    """Whether this line is base64 that begins like a SEQUENCE."""
    return line.startswith(b"M") and not line.rstrip(b" \t\r").translate(None, _LETTERS_AND_DIGITS + b"+/=\r")
