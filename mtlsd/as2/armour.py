"""What stands around a CMS value in a MIME body: base64, and the lines that some products put before it.

A CMS value is a SEQUENCE: in binary it begins with 0x30, which is `0`, in base64 with `M`.
"""

import re

from mtlsd.as2.mime import Base64Decoder, Sink
from mtlsd.errors import AS2MIMEMalformed

MAX_PREAMBLE = 64 * 1024  # octets, all lines together
MAX_TEXT_LINE = 998  # octets (RFC 5322, section 2.1.1); a longer one is base64 without line ends

_BINARY = 0x30
_BASE64 = re.compile(rb"M[A-Za-z0-9+/=\r]*[ \t\r]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Unarmoured:
    """Finds out whether CMS comes in binary or in base64: what a header says of that is often wrong."""

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
    """Reads over lines of text before a CMS value: some products repeat the header in the body, or greet.

    Nothing in these lines is believed. It is for a body that stands in the clear: inside an envelope, where who holds
    no key can change such lines, whether they were read over would say something of what they decrypt to.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held: bytes | None = b""  # the line that may be text; None once the value has begun
        self._size = 0  # of the lines that were read over

    def write(self, data: bytes) -> None:
        """Take some octets; raises AS2MIMEMalformed where what comes first is neither CMS nor a few lines of text."""
        if self._held is None:
            self._sink.write(data)
            return
        begins = self._begins(self._held + data)
        if begins:
            self._held = None
            self._sink.write(begins)

    def close(self) -> None:
        if self._held:
            self._sink.write(self._held)
        self._sink.close()

    def _begins(self, data: bytes) -> bytes:
        """The beginning of the value; empty while there is none, and the last line is held."""
        while data and not _is_cms(data):
            line, newline, rest = data.partition(b"\n")
            self._check(line)
            if not newline:
                self._held = data
                return b""
            self._size += len(line) + 1
            data = rest
        self._held = b""
        return data

    def _check(self, line: bytes) -> None:
        if len(line) > MAX_TEXT_LINE + 1 or self._size > MAX_PREAMBLE or _CONTROL.search(line):
            raise AS2MIMEMalformed("what stands before the CMS value is not a few lines of text")


def _is_cms(data: bytes) -> bool:
    """Whether a CMS value begins here; not yet, where a line of base64 has no end so far."""
    if data[0] == _BINARY:
        return True
    line, newline, _ = data[: MAX_TEXT_LINE + 1].partition(b"\n")
    return bool(_BASE64.fullmatch(line)) and (bool(newline) or len(line) > MAX_TEXT_LINE)
