"""Restores plain PEM (RFC 7468) from what mail, web pages, forms and JSON make of it.

A step adds a remark if it repairs something that another program would not read. Usual variations get no remark: CR or
CRLF, a byte-order mark in UTF-8, text around the blocks, no newline at the end.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from mtlsd.pki.certificate import CertificateUnreadable

MAX_BLOCKS = 2000
LINE = 100  # octets of base64: a longer single line gets a remark
LABELS = {"".join(label.split()): label for label in (
    "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST",
    "X509 CRL", "PUBLIC KEY", "RSA PUBLIC KEY", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "PKCS7", "PKCS12", "CMS", "EC PARAMETERS", "DH PARAMETERS",
)}  # fmt: skip  # by their letters only, because one-line forms lose the spaces

DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2043\u2212\u2500\ufe58\ufe63\uff0d"), "-")
LONG_DASHES = dict.fromkeys(map(ord, "\u2014\u2015\u2e3a\u2e3b"), "--")  # typography replaces two hyphens by one dash
SPACES = dict.fromkeys(map(ord, "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f"
                                "\u205f\u3000"), " ")  # fmt: skip
NOTHING = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2060\ufeff"), "")

UTF_16 = "is in UTF-16"
DASHED = "has typographic dashes"
SPACED = "has no-break or zero-width spaces"
ESCAPED = r"has \n written out instead of line breaks"
ENCODED = "is URL-encoded"
JOINED = "has PEM blocks without a line break between them"
HYPHENS = "does not have exactly five hyphens at BEGIN or END"
ONE_LINE = "is all on one line"
QUOTED = "is indented or quoted"
TAGGED = "contains HTML"
BARE = "is base64 without BEGIN and END"
UNPADDED = "lacks the padding of base64"
OTHER_END = "begins and ends with different labels"

_MARK = re.compile(r"-{2,12} ?(BEGIN|END) ?([A-Z0-9 ]{1,60}?) ?-{2,12}", re.IGNORECASE)
_BETWEEN = re.compile(r"(?<!-)-{2,24}(?= ?(?:BEGIN|END) ?[A-Z0-9 ]{1,60}-{2})", re.IGNORECASE)  # before a mark
_BEFORE = re.compile(r"(?:BEGIN|END) ?[A-Z0-9 ]{1,60}\Z", re.IGNORECASE)  # the words of the mark before it
_LONGEST = 70  # characters of the words of a mark
_PLAIN = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/]{1,76}={0,2}\r?\n)+)-----END CERTIFICATE-----(?:\r?\n)?"
)
_STRICT_MARK = re.compile(r"-{5}(BEGIN|END) [A-Z0-9]+( [A-Z0-9]+)*-{5}")
_BREAK = re.compile(r"\\{1,8}r\\{1,8}n|\\{1,8}[nr]")  # bounded, as are all patterns: a file may consist of backslashes
_UNICODE = re.compile(r"\\{1,8}u([0-9a-fA-F]{4})")
_ESCAPE = re.compile(r"\\(?:[nr/]|u[0-9a-fA-F]{4})")
_PERCENT = re.compile(r"%(?:0[aAdD]|2[0bBfF]|3[dD])")
_TAG = re.compile(r"<[^<>]{0,80}>|&nbsp;")
_MARGIN = re.compile(r"(?m)^[ \t>|]+")
_HEADER = re.compile(r"(?m)\A\s*(?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_LITTER = str.maketrans("", "", "\"',;\\")


@dataclass(frozen=True, slots=True)
class Block:
    """One PEM block: its label in upper case, and the unchanged text between its BEGIN and END."""

    label: str
    body: str
    missing: str = ""  # BEGIN or END, if the block has only the other one

    @property
    def is_private_key(self) -> bool:
        return "PRIVATEKEY" in self.label.replace(" ", "")

    @property
    def pem(self) -> bytes:
        """The block as plain PEM, with its headers: an encrypted key has them (RFC 1421, section 4.6)."""
        lines = (line.strip() for line in self.body.strip().splitlines())
        return "\n".join((f"-----BEGIN {self.label}-----", *lines, f"-----END {self.label}-----", "")).encode()


def plain_certificate(data: bytes) -> bytes | None:
    """The content of a file with one CERTIFICATE in plain PEM, as most files have; None if anything is unusual."""
    found = _PLAIN.fullmatch(data)
    try:
        return base64.b64decode(b"".join(found[1].split()), validate=True) if found else None
    except (binascii.Error, ValueError):
        return None  # it is read again, for a precise error


def text_of(data: bytes, remarks: list[str]) -> str | None:
    """The octets as text; None if they are not text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _looks_like_utf_16(data):
        remarks.append(UTF_16)
        little = data.startswith(b"\xff\xfe") or (not data.startswith(b"\xfe\xff") and data[1:2] == b"\0")
        return data.decode("utf-16-le" if little else "utf-16-be", "replace").removeprefix("\ufeff")
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # in which 0x96 and 0x97 are dashes


def plain(text: str, remarks: list[str]) -> str:
    """The text with the line breaks, spaces and hyphens of PEM, and no two marks on one line."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _PERCENT.search(text) and "BEGIN" in text:
        text = _remarked(text, unquote(text), ENCODED, remarks)
    if not text.isascii():
        text = _in_ascii(text, remarks)
    if "\\" in text and _is_escaped(text):
        escaped = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text).replace("\\/", "/")
        text = _remarked(text, _BREAK.sub("\n", escaped), ESCAPED, remarks)
    return _remarked(text, _separated(text), JOINED, remarks)


def blocks_in(text: str, remarks: list[str]) -> tuple[Block, ...]:
    """The PEM blocks of plain text, in their order; raises CertificateUnreadable for too many."""
    marks = list(_MARK.finditer(text))
    if len(marks) > 2 * MAX_BLOCKS:
        raise CertificateUnreadable(f"more than {MAX_BLOCKS} PEM blocks, complete or not")
    if any(not _STRICT_MARK.fullmatch(each[0]) for each in marks):
        remarks.append(HYPHENS)
    return tuple(_paired(text, marks, remarks))


def octets_in(body: str, remarks: list[str]) -> bytes:
    """Decode the base64 of a block; raises CertificateUnreadable."""
    text = _remarked(body, _TAG.sub("\n", body), TAGGED, remarks)
    text = _HEADER.sub("", text)
    text = _remarked(text, _MARGIN.sub("", text).translate(_LITTER), QUOTED, remarks)
    if len(text) > LINE and "\n" not in text.strip():
        remarks.append(ONE_LINE)
    return _decoded("".join(text.split()), remarks)


def bare_base64(text: str, remarks: list[str]) -> bytes | None:
    """Decode text that is only base64; None for other text."""
    joined = "".join(_MARGIN.sub("", text).translate(_LITTER).split())
    if len(joined) < 16 or not _BASE64.fullmatch(joined):
        return None
    try:
        octets = _decoded(joined, [])
    except CertificateUnreadable:
        return None
    if octets[:1] != b"\x30" and b"BEGIN" not in octets:
        return None
    remarks.append(BARE)
    return octets


def _in_ascii(text: str, remarks: list[str]) -> str:
    spaced = text.translate(SPACES | NOTHING)
    dashed = spaced.translate(DASHES | LONG_DASHES)
    if not _MARK.search(dashed):
        return spaced
    _remarked(text, spaced, SPACED, remarks)
    return _remarked(spaced, dashed, DASHED, remarks)


def _separated(text: str) -> str:
    """The text with a line break between two marks that share their hyphens; otherwise the second would be lost."""

    def apart(hyphens: re.Match[str]) -> str:
        start, length = hyphens.start(), len(hyphens[0])
        if not _BEFORE.search(text[max(start - _LONGEST, 0) : start]):
            return hyphens[0]
        half = max(length // 2, 2)
        return "-" * half + "\n" + "-" * max(length - half, 2)

    return _BETWEEN.sub(apart, text)


def _is_escaped(text: str) -> bool:
    """Whether a block has an escaped line break; outside of blocks, it may be part of a name."""
    text = _separated(text)
    marks = list(_MARK.finditer(text))
    pairs = zip(marks, [*marks[1:], None], strict=True)
    return not marks or any(
        _ESCAPE.search(text, begin.end(), end.start() if end else len(text))
        for begin, end in pairs
        if begin[1].upper() == "BEGIN"
    )


def _paired(text: str, marks: list[re.Match[str]], remarks: list[str]) -> Iterator[Block]:
    """Each BEGIN with the END after it; and each END without a BEGIN, because the octets before it are of a block."""
    begin: re.Match[str] | None = None
    for mark in marks:
        begins = mark[1].upper() == "BEGIN"
        if begin and not begins and _label(mark) != _label(begin):
            remarks.append(OTHER_END)
        if begin:
            yield Block(_label(begin), text[begin.end() : mark.start()], "END" if begins else "")
        elif not begins and _label(mark) in LABELS.values():
            yield Block(_label(mark), "", "BEGIN")
        begin = mark if begins else None
    if begin:
        yield Block(_label(begin), text[begin.end() :], "END")


def _label(mark: re.Match[str]) -> str:
    label = " ".join(mark[2].upper().split())
    return LABELS.get(label.replace(" ", ""), label)


def _decoded(text: str, remarks: list[str]) -> bytes:
    missing = -len(text) % 4
    if missing in {1, 2} and not text.endswith("="):
        remarks.append(UNPADDED)
        text += "=" * missing
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CertificateUnreadable(f"damaged base64: {error}") from error


def _remarked(before: str, after: str, remark: str, remarks: list[str]) -> str:
    if after != before and remark not in remarks:
        remarks.append(remark)
    return after


def _looks_like_utf_16(data: bytes) -> bool:
    """Whether this is UTF-16 without a byte-order mark: every second octet of ASCII is zero."""
    start = data[:64]
    return len(start) >= 16 and len(data) % 2 == 0 and (not any(start[0::2]) or not any(start[1::2]))
