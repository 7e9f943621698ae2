"""MIME (RFC 2045, 2046) over raw octets, as they arrive: header blocks, Content-Type, multiparts, transfer encodings.

The rules, and why:

1. *Nothing is serialised again.* A signature and a MIC are over the octets as they were sent (RFC 4130, section 7.3.1).
   A header that is parsed and written again has other folding, other spelling or other line ends, and no longer
   verifies.
2. *An entity is a header block, an empty line and a body* (RFC 2045, section 3). The line end is CRLF. A lone LF also
   counts, because some products, and gateways on the way, write nothing else. The empty line belongs to the header
   block, so that header block and body together are every octet of the entity.
3. *An entity may have no header at all*; some products send only the document. Lines are a header block only if each of
   them is a field and at least one is a MIME field. Otherwise all of them are body.
4. *Of two equal fields or parameters, the first counts.* Two different boundaries are an error: another reader of the
   same message could take the other one, and see other parts.
5. *A delimiter is a whole line* (RFC 2046, section 5.1.1): `--`, the boundary, and nothing else but blanks; `--` after
   the boundary closes the multipart. Therefore `--boundaryX` is content, and so are the delimiters of a multipart
   inside, even if one boundary is the beginning of the other.
6. *The line end before a delimiter belongs to the delimiter*, not to the part. One line end too many or too few, and no
   signature over the part verifies. A part that itself ends with a line end is followed by two.
7. *Octets outside the parts* (preamble and epilogue) *mean nothing* and go nowhere. Nobody signs them, so whether there
   are any is reported, for the caller to judge.

For the code below:

- Every reader takes octets in pieces of any size, and the pieces do not change the result. A reader holds only what it
  cannot decide yet: `HeaderBlockReader` a block up to its empty line, `MultipartReader` a last line that may become a
  delimiter, with the line end before it. Each such length has a limit.
- `HeaderBlockReader` decides early: `BEGINNING` octets that cannot be a field are a document without a header, and
  `MAX_HEADER_BLOCK` octets without an empty line are also one. It never waits for the end of a large document.
- A limit that a header exceeds without doubt (`MAX_HEADER_FIELDS`) raises, and so does everything that has two
  readings, such as base64 after its padding. All of it is AS2MIMEMalformed.
"""

import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mtlsd.as2.sink import Sink
from mtlsd.errors import AS2MIMEMalformed

MAX_HEADER_BLOCK = 64 * 1024  # octets
MAX_HEADER_FIELDS = 200
BEGINNING = 1000  # octets from which it is decided whether an entity begins with a header
MAX_BOUNDARY = 200  # RFC 2046 says 70; products exceed it
IDENTITY = ("binary", "7bit", "8bit")  # transfer encodings that change nothing (RFC 2045, section 6.2)

_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:")
_PARAMETER = re.compile(r';\s*([^\s;=]+)\s*=\s*("+(?:[^"\\]|\\.)*"+|[^;]*)')
_COMMENT = re.compile(r"\([^()]*\)")
_MEDIA_TYPE = re.compile(r"[!#$%&*+.^_`|~0-9a-z-]+/[!#$%&*+.^_`|~0-9a-z-]+", re.IGNORECASE)  # without quotes
_QUOTED_WHOLE = re.compile(r"""\s*(["'])\s*([^\s"';]+\s*(?:;.*)?)\1\s*""", re.DOTALL)
_QUOTED_TYPE = re.compile(r"""\s*(["'])\s*([^\s"';]+)\s*\1\s*((?:;.*)?)""", re.DOTALL)
_NOT_TEXT = re.compile(rb"[^\t\r\n\x20-\x7e]")
_MIME_FIELDS = ("content-", "mime-version")


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type and its parameters; names are lower case, values unquoted."""

    value: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "ContentType":
        """Read a Content-Type as products spell it: any case, tabs, quotes, no parameters. The first of two counts.

        Two different boundaries count as none, because another reader could take the other one.
        """
        text = unquoted(text)
        value, _, _ = text.partition(";")
        found = [(name.lower(), _unquote(raw)) for name, raw in _PARAMETER.findall(text)]
        parameters = dict(reversed(found))
        if len({raw for name, raw in found if name == "boundary"}) > 1:
            parameters["boundary"] = ""
        return cls(value.strip().lower(), parameters)

    @property
    def is_media_type(self) -> bool:
        """Whether it is a type, a slash and a subtype (RFC 2045, section 5.1)."""
        return bool(_MEDIA_TYPE.fullmatch(self.value))


def unquoted(text: str) -> str:
    """A Content-Type without the quotes that some products put around all of it, or around the type.

    They are only removed if a media type is inside, and no half of another pair, so that nothing else could be meant.
    Inside double quotes, the quotes of parameters may have backslashes, as in phase2 4.4.2.
    """
    found = _QUOTED_TYPE.fullmatch(text) or _QUOTED_WHOLE.fullmatch(text)
    if not found:
        return text
    mark, *pieces = found.groups()
    inner = "".join(pieces)
    if mark == '"' and not _QUOTED_TYPE.fullmatch(text):
        inner = inner.replace(r"\"", '"')
    is_safe = _MEDIA_TYPE.fullmatch(inner.partition(";")[0].strip()) and inner.count(mark) % 2 == 0
    return inner if is_safe else text


def _unquote(raw: str) -> str:
    raw = raw.strip()
    if raw.startswith('"'):
        return re.sub(r"\\(.)", r"\1", raw.strip('"'))
    return raw


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """The header of a MIME entity: its exact octets, and the fields read from them."""

    raw: bytes
    fields: Mapping[str, str]  # by lower-case name; the first one counts

    def content_type(self) -> ContentType | None:
        text = self.fields.get("content-type")
        return ContentType.parse(text) if text else None

    def transfer_encoding(self) -> str:
        """The Content-Transfer-Encoding; binary if there is none (RFC 4130, section 5.2.1)."""
        text = _COMMENT.sub(" ", self.fields.get("content-transfer-encoding", ""))
        return text.strip(' \t";').lower() or "binary"


class HeaderBlockReader:
    """Finds the end of an entity's header. Some products send no header: then the block is empty."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> tuple[HeaderBlock, bytes] | None:
        """The header block and the first octets of the body, or None until the empty line has arrived."""
        known = len(self._buffer)
        searched = max(known - 3, 0)
        self._buffer += data
        if known < BEGINNING and not _may_begin_a_header(self._buffer):
            return self._without_header()
        end = _end_of_block(self._buffer, searched)
        if (end or len(self._buffer)) > MAX_HEADER_BLOCK:
            return self._without_header()
        if end is None:
            return None
        raw, rest = bytes(self._buffer[:end]), bytes(self._buffer[end:])
        fields = _fields(raw)
        if fields is None:
            return self._without_header()
        return HeaderBlock(raw, fields), rest

    def close(self) -> tuple[HeaderBlock, bytes]:
        """End the input: the entity has no header, or no body."""
        fields = _fields(bytes(self._buffer))
        return (HeaderBlock(bytes(self._buffer), fields), b"") if fields else self._without_header()

    def _without_header(self) -> tuple[HeaderBlock, bytes]:
        return HeaderBlock(b"", {}), bytes(self._buffer)


def _may_begin_a_header(data: bytes | bytearray) -> bool:
    if data[:1] in (b"", b"\r", b"\n"):
        return True
    line, newline, _ = bytes(data[:BEGINNING]).partition(b"\n")
    return bool(_FIELD_NAME.match(line)) or (not newline and len(line) < BEGINNING and b":" not in line)


def _end_of_block(data: bytearray, searched: int) -> int | None:
    for blank in (b"\r\n", b"\n"):
        if data.startswith(blank):
            return len(blank)
    ends = [at + len(gap) for gap in (b"\n\r\n", b"\n\n") if (at := data.find(gap, searched)) >= 0]
    return min(ends, default=None)


def _fields(raw: bytes) -> dict[str, str] | None:
    """The fields of a block, or None if these lines are content and not a MIME header."""
    lines = re.sub(rb"\r?\n[ \t]+", b" ", raw).replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if lines == [b""]:
        return {}
    if len(lines) > MAX_HEADER_FIELDS:
        raise AS2MIMEMalformed(f"a MIME header of {len(lines)} fields")
    fields: dict[str, str] = {}
    for line in lines:
        if not _FIELD_NAME.match(line):
            return None
        name, _, value = line.decode("latin-1").partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields if any(name.startswith(_MIME_FIELDS) for name in fields) else None


class MultipartReader:
    """Cuts a multipart body into its parts as it arrives.

    `part(number)` returns the sink for each part, which is written with its header. The preamble and the epilogue are
    skipped.
    """

    def __init__(self, boundary: str, part: Callable[[int], Sink]) -> None:
        declared = boundary.encode("latin-1", "replace")
        boundary_octets = declared.rstrip(b" \t")  # a boundary never ends with a blank (RFC 2046, section 5.1.1)
        if not 0 < len(boundary_octets) <= len(declared) <= MAX_BOUNDARY:
            raise AS2MIMEMalformed("a multipart without a usable boundary")
        self._delimiter = b"--" + boundary_octets
        self._has_blanks = boundary_octets != declared  # then blanks may precede the closing hyphens
        blanks = rb"[ \t\r]{0,%d}" % MAX_BOUNDARY
        rest = (blanks if self._has_blanks else b"") + rb"(--)?" + blanks + rb"\n"
        self._first_line = re.compile(re.escape(self._delimiter) + rest)
        self._later_line = re.compile(rb"\n" + re.escape(self._delimiter) + rest)
        self._part = part
        self._number = 0
        self._sink: Sink | None = None
        self._buffer = b""
        self._at_line_start = True  # whether a delimiter may begin where the buffer begins
        self._closed = False
        self.has_preamble = False  # whether anything but blanks precedes the first delimiter
        self.has_odd_preamble = False  # whether anything but ASCII text precedes the first delimiter
        self.has_epilogue = False  # whether anything but blanks follows the closing delimiter

    def write(self, data: bytes) -> None:
        """Take some octets of the multipart's body."""
        self._buffer += data
        while not self._closed and (found := self._find_delimiter()):
            start, end, closing = found
            self._emit(_line_end_before(self._buffer, start))
            self._buffer = self._buffer[end:]
            self._next_part(closing=closing)
        if self._closed:
            self.has_epilogue = self.has_epilogue or bool(self._buffer.strip())
            self._buffer = b""
        else:
            decided = len(self._buffer) - self._undecided()
            self._emit(decided)
            self._buffer = self._buffer[decided:]

    def close(self) -> None:
        """End the body; a closing delimiter needs no line end. Raises AS2MIMEMalformed if there is none."""
        self.write(b"\r\n")
        if not self._closed:
            raise AS2MIMEMalformed("the multipart has no closing boundary")

    def _find_delimiter(self) -> tuple[int, int, bool] | None:
        """The next delimiter line: its first octet, the octet after it, and whether it closes the multipart.

        One regular expression finds it, because content may consist of lines that almost are one.
        """
        found = self._first_line.match(self._buffer) if self._at_line_start else None
        start = 0
        while found or (found := self._later_line.search(self._buffer, start)):
            start = found.start() + found[0].startswith(b"\n")
            if found.end() - start <= len(self._delimiter) + MAX_BOUNDARY:
                return start, found.end(), found[1] is not None
            found = None
        return None

    def _undecided(self) -> int:
        """The number of octets at the end that may belong to a delimiter or to the line end before one."""
        newline = self._buffer.rfind(b"\n")
        line = self._buffer[newline + 1 : newline + 1 + len(self._delimiter) + MAX_BOUNDARY]
        possible = newline >= 0 or self._at_line_start
        if possible and (self._delimiter.startswith(line) or self._is_open_delimiter(line)):
            return len(self._buffer) - (_line_end_before(self._buffer, newline + 1) if newline >= 0 else 0)
        return int(self._buffer.endswith(b"\r"))

    def _is_open_delimiter(self, line: bytes) -> bool:
        tail = line.removeprefix(self._delimiter)
        return len(tail) < min(len(line), MAX_BOUNDARY) and self._after_delimiter(tail) in (b"", b"-", b"--")

    def _after_delimiter(self, octets: bytes) -> bytes:
        return octets.strip(b" \t\r") if self._has_blanks else octets.rstrip(b" \t\r")

    def _emit(self, count: int) -> None:
        if count > 0:
            self._at_line_start = False
            if self._sink:
                self._sink.write(self._buffer[:count])
            else:
                self.has_preamble = self.has_preamble or bool(self._buffer[:count].strip())
                self.has_odd_preamble = self.has_odd_preamble or bool(_NOT_TEXT.search(self._buffer, 0, count))

    def _next_part(self, *, closing: bool) -> None:
        if self._sink:
            self._sink.close()
        self._at_line_start = True
        self._closed = closing
        self._sink = None if closing else self._part(self._number)
        self._number += 1


def _line_end_before(data: bytes, at: int) -> int:
    """The position of the line end that immediately precedes `at`; `at` if there is none."""
    if data[at - 1 : at] != b"\n" or not at:
        return at
    return at - 2 if data[at - 2 : at - 1] == b"\r" else at - 1


def transfer_decoder(encoding: str, sink: Sink) -> Sink:
    """A sink that decodes a Content-Transfer-Encoding and writes to `sink`; raises AS2MIMEMalformed."""
    if encoding in IDENTITY:
        return sink
    if encoding == "base64":
        return Base64Decoder(sink)
    if encoding == "quoted-printable":
        return QuotedPrintableDecoder(sink)
    raise AS2MIMEMalformed("an unknown Content-Transfer-Encoding")


class Base64Decoder:
    """Decodes base64 (RFC 2045, section 6.8) with any line ends, and refuses all other octets."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = b""
        self._padded = False

    def write(self, data: bytes) -> None:
        text = self._held + data.translate(None, b"\r\n\t ")
        if self._padded and text:
            raise AS2MIMEMalformed("base64 continues after its padding")
        whole = len(text) - len(text) % 4
        self._held = text[whole:]
        if whole:
            self._padded = text[whole - 1 : whole] == b"="
            self._sink.write(_decode_base64(text[:whole]))

    def close(self) -> None:
        if self._held:
            raise AS2MIMEMalformed("base64 ends inside a group of four")
        self._sink.close()


def _decode_base64(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise AS2MIMEMalformed("not base64") from error


class QuotedPrintableDecoder:
    """Decodes quoted-printable (RFC 2045, section 6.7), line by line."""

    MAX_LINE = 64 * 1024

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = b""

    def write(self, data: bytes) -> None:
        lines, newline, self._held = (self._held + data).rpartition(b"\n")
        if len(self._held) > self.MAX_LINE:
            raise AS2MIMEMalformed("a quoted-printable line that is too long")
        if newline:
            self._sink.write(binascii.a2b_qp(lines + newline))

    def close(self) -> None:
        self._sink.write(binascii.a2b_qp(self._held))
        self._sink.close()
