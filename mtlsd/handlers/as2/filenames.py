"""The name of a document: data from a peer, never a path (RFC 6266, section 4.3)."""

import re
from email.errors import MessageError
from email.header import decode_header, make_header
from urllib.parse import unquote

from mtlsd.as2.mime.parser import ContentType

MAX_NAME = 255  # characters
MAX_ENCODED = 4096  # characters of a name in RFC 2047; the work of `email` grows with their square
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def filename_of(disposition: str | None, content_type: str) -> str | None:
    """The last segment of the name in Content-Disposition or Content-Type, without characters invalid in a name."""
    named = ContentType.parse(disposition or "").parameters
    raw = _extended(named.get("filename*", "")) or named.get("filename")
    raw = raw or ContentType.parse(content_type).parameters.get("name", "")
    name = _UNFIT.sub("", re.split(r"[/\\]", _as_utf8(raw))[-1]).strip()[:MAX_NAME]
    return None if name in ("", ".", "..") else name


def _extended(value: str) -> str:
    """RFC 8187: charset'language'percent-encoded."""
    charset, _, rest = value.partition("'")
    encoded = rest.partition("'")[2]
    if charset.lower() not in ("utf-8", "iso-8859-1"):
        return ""
    return unquote(encoded, encoding=charset, errors="replace")


def _as_utf8(text: str) -> str:
    """Decode a name. Headers are read as Latin-1, which loses nothing; most non-ASCII names are UTF-8 or RFC 2047."""
    try:
        if text.startswith("=?") and len(text) <= MAX_ENCODED:
            return str(make_header(decode_header(text)))
        return text.encode("latin-1").decode("utf-8")
    except (UnicodeError, LookupError, MessageError, ValueError):
        return text
