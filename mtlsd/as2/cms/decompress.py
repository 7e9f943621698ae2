"""Decompression (RFC 3274, RFC 5402) with limits on the output."""

import zlib
from dataclasses import dataclass

from mtlsd.as2.sink import Sink
from mtlsd.errors import AS2DecompressFailed

ZLIB = "1.2.840.113549.1.9.16.3.8"
CHUNK = 256 * 1024  # octets of output at a time
GRACE = 1024 * 1024  # octets of output that are allowed whatever the ratio
UNPROVEN_GRACE = CHUNK  # the same for a sender that neither TLS nor a signature has proved


@dataclass(frozen=True, slots=True)
class ExpansionLimits:
    """Limits on the output: in octets, and as a multiple of the input, beyond `grace` octets."""

    max_octets: int
    max_ratio: int
    grace: int = GRACE


class Inflater:
    """Decompresses zlib into `sink`; raises AS2DecompressFailed if the data are damaged or exceed the limits."""

    def __init__(self, sink: Sink, limits: ExpansionLimits) -> None:
        self._sink = sink
        self._limits = limits
        self._zlib = zlib.decompressobj()
        self._taken = 0
        self.written = 0  # octets

    def write(self, data: bytes) -> None:
        self._taken += len(data)
        while data:
            self._inflate(data)
            data = self._zlib.unconsumed_tail
        if self._zlib.unused_data:
            raise AS2DecompressFailed("octets after the compressed content")

    def close(self) -> None:
        """Write what zlib still holds; raises AS2DecompressFailed if the content is truncated."""
        while self._inflate(b""):
            pass
        if not self._zlib.eof:
            raise AS2DecompressFailed("the compressed content ends early")
        self._sink.close()

    def _inflate(self, data: bytes) -> int:
        try:
            plain = self._zlib.decompress(data, CHUNK)
        except zlib.error as error:
            raise AS2DecompressFailed("the compressed content is damaged") from error
        self.written += len(plain)
        self._check_limits()
        if plain:
            self._sink.write(plain)
        return len(plain)

    def _check_limits(self) -> None:
        limits = self._limits
        if self.written > limits.max_octets:
            raise AS2DecompressFailed(f"the content expands beyond {limits.max_octets} octets")
        if self.written > limits.grace + self._taken * limits.max_ratio:
            raise AS2DecompressFailed(f"the content expands more than {limits.max_ratio} times")
