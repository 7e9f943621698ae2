"""The URLs to which an asynchronous MDN may be sent: the URL that a message names must begin with a listed prefix.

The HTTP client uses the same parser, because a difference between two parsers could be used to bypass the list. All
listed URLs are allowed, also loopback addresses. Names are compared as text and never resolved.

Servers differ in how they read a path: some drop path parameters, decode twice, end it at a NUL, or take other octets
for a dot. The path below a prefix is therefore allowed only if it has one reading; the prefix itself is the operator's.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from mtlsd.config.addresses import Backend

MAX_URL = 2000  # characters
# A decoded path. A percent sign in it means that the path was encoded twice, or wrongly.
_ONE_READING = re.compile(r"[^;%\\\x00-\x1f\x7f-\U0010ffff]*")
_DOTS = re.compile(r"[. ]*\.[. ]*")  # a step of dots; some servers drop the blanks


def url_prefix(text: str) -> str:
    """Read a prefix; it always has a path, so that the prefix of one host does not cover a host with a longer name."""
    try:
        url = Backend.parse(text)
    except ValueError:
        url = None
    if url is None or "?" in text:
        raise ValueError(
            "expected URLs that begin with http:// or https:// and a host, without a user, query or fragment"
        )
    return text if urlsplit(text).path else f"{text}/"


def is_allowed(target: str, prefixes: Iterable[str]) -> bool:
    """Whether one of the prefixes covers this URL; nothing covers a URL that is invalid, or not http or https."""
    try:
        url = Backend.parse(target)
    except ValueError:
        return False
    return len(target) <= MAX_URL and any(_covers(Backend.parse(prefix), url) for prefix in prefixes)


def _covers(prefix: Backend, url: Backend) -> bool:
    """Whether scheme, host and port are the same, and the URL's path continues the prefix only after a slash."""
    if (prefix.scheme, prefix.host, prefix.port) != (url.scheme, url.host, url.port):
        return False
    path, start = _path(url), _path(prefix)
    if path == start:
        return True
    start = start if start.endswith("/") else f"{start}/"
    return path.startswith(start) and _stays(path.removeprefix(start))


def _path(url: Backend) -> str:
    return url.target.partition("?")[0]


def _stays(path: str) -> bool:
    """Whether every server reads the same steps in this path, and none leads upwards (RFC 3986, section 5.2.4)."""
    decoded = unquote(path)
    return bool(_ONE_READING.fullmatch(decoded)) and not any(map(_DOTS.fullmatch, decoded.split("/")))
