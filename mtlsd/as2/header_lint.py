"""Remarks on the header of an AS2 message: mtlsd tolerates the oddity, another product may not.

Each function checks one thing and returns a sentence or an empty text. Only the header of the request is checked, which
the client sent in the clear.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from mtlsd.as2.headers import algorithm_of
from mtlsd.as2.mime.parser import ContentType, unquoted

_MAY_REPEAT = {"via", "x-forwarded-for", "forwarded", "received", "set-cookie", "accept"}
_SECRETS = ("authorization", "cookie", "proxy-authorization")
_MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")
_NEEDLESS_QUOTES = re.compile(r'"[!#-\[\]-~]+"')
RECOMMENDED_ID = 255  # characters (RFC 4130, section 5.3.3)

Header = Mapping[str, str]


def oddities(fields: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Sentences about the header of a request, in a fixed order; none if nothing is odd."""
    listed = [(name.lower(), value.strip()) for name, value in fields]
    header = dict(reversed(listed))
    found = [each(header) for each in _CHECKS]
    return tuple(filter(None, (*found, _repeated(listed))))


def _version(header: Header) -> str:
    version = header.get("as2-version", "")
    if not version:
        return "AS2-Version is missing, which means 1.0: without compression (RFC 4130, section 6.1)."
    return "" if re.fullmatch(r"1\.\d+", version) else "AS2-Version is not 1.0 to 1.3."


def _message_id(header: Header) -> str:
    value = header.get("message-id", "")
    if not _MESSAGE_ID.fullmatch(value):
        return "Message-ID is not of the form <left@right> (RFC 4130, section 5.3.3)."
    return "Message-ID is longer than 255 characters." if len(value) > RECOMMENDED_ID else ""


def _names(header: Header) -> str:
    quoted = [name for name in ("as2-from", "as2-to") if _NEEDLESS_QUOTES.fullmatch(header.get(name, ""))]
    return f"{_spelled(quoted)}: quotes are not needed around this id; some products compare them." if quoted else ""


def _blanks(header: Header) -> str:
    names = [name for name in ("as2-from", "as2-to") if re.fullmatch(r'[^"].*\s.*', header.get(name, ""))]
    return f"{_spelled(names)}: an id with a blank needs quotes; without them, it ends at the blank." if names else ""


def _mime_version(header: Header) -> str:
    return "" if header.get("mime-version") == "1.0" else "MIME-Version: 1.0 is missing."


def _transfer_encoding(header: Header) -> str:
    encoding = header.get("content-transfer-encoding", "binary").lower()
    return "" if encoding in ("binary", "8bit", "7bit") else "A Content-Transfer-Encoding is not needed in HTTP."


def _content_type(header: Header) -> str:
    text = header.get("content-type", "")
    if unquoted(text) != text:
        return "Content-Type is in quotes: most products cannot read it."
    found = ContentType.parse(text)
    if found.value == "application/x-pkcs7-mime":
        return "Content-Type application/x-pkcs7-mime is the old name: application/pkcs7-mime is the registered one."
    if found.value == "application/pkcs7-mime" and "smime-type" not in found.parameters:
        return "Content-Type has no smime-type: some products need enveloped-data, signed-data or compressed-data."
    missing = {"protocol", "micalg", "boundary"} - found.parameters.keys()
    if found.value == "multipart/signed" and missing:
        return f"Content-Type multipart/signed lacks {', '.join(sorted(missing))} (RFC 1847, section 2.1)."
    return ""


def _no_receipt(header: Header) -> str:
    if "disposition-notification-to" in header:
        return ""
    return "Disposition-Notification-To is missing: no receipt (MDN) is requested."


def _unsigned_receipt(header: Header) -> str:
    if "disposition-notification-to" not in header or "disposition-notification-options" in header:
        return ""
    return "Disposition-Notification-Options is missing: the receipt will not be signed."


def _micalg(header: Header) -> str:
    options = header.get("disposition-notification-options", "").lower()
    listed = re.search(r"signed-receipt-micalg\s*=([^;]*)", options)
    words = [each.strip(" \"'") for each in listed[1].split(",")] if listed else []
    asked = [each for each in words if each not in ("", "optional", "required")]
    known = [algorithm_of(each) for each in asked]
    if asked and not any(known):
        return "signed-receipt-micalg names no supported algorithm: use sha-256."
    return "signed-receipt-micalg lists SHA-1 first: sha-256 is better." if known[:1] == ["sha1"] else ""


def _framing(header: Header) -> str:
    both = "content-length" in header and "transfer-encoding" in header
    return "Content-Length and Transfer-Encoding are both present: most servers refuse such a request." if both else ""


def _secrets(header: Header) -> str:
    sent = [name for name in _SECRETS if name in header]
    return f"{_spelled(sent)}: not needed here; it is not stored." if sent else ""


def _repeated(listed: list[tuple[str, str]]) -> str:
    counted = Counter(name for name, _ in listed)
    names = sorted(name for name, count in counted.items() if count > 1 and name not in _MAY_REPEAT)
    return f"{_spelled(names)}: appears more than once; the first value counts." if names else ""


def _spelled(names: Iterable[str]) -> str:
    return ", ".join("-".join(part.capitalize() for part in name.split("-")) for name in names)


_CHECKS: tuple[Callable[[Header], str], ...] = (
    _version,
    _message_id,
    _names,
    _blanks,
    _mime_version,
    _transfer_encoding,
    _content_type,
    _no_receipt,
    _unsigned_receipt,
    _micalg,
    _framing,
    _secrets,
)
