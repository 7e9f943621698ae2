"""The URLs to which an asynchronous MDN may be sent: the URL that a message names must begin with a listed prefix.

The HTTP client uses the same parser, because a difference between two parsers could be used to bypass the list. All
listed URLs are allowed, also loopback addresses. Names are compared as text and never resolved.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from mtlsd.config.addresses import Backend

MAX_URL = 2000  # characters


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
    if len(target) > MAX_URL or _climbs(_path(url)):
        return False
    return any(_covers(Backend.parse(prefix), url) for prefix in prefixes)


def _covers(prefix: Backend, url: Backend) -> bool:
    """Whether scheme, host and port are the same, and the URL's path continues the prefix only after a slash."""
    if (prefix.scheme, prefix.host, prefix.port) != (url.scheme, url.host, url.port):
        return False
    path, start = _path(url), _path(prefix)
    return path == start or path.startswith(start if start.endswith("/") else f"{start}/")


def _path(url: Backend) -> str:
    return url.target.partition("?")[0]


def _climbs(path: str) -> bool:
    """Whether a server could read the path as leading upwards (RFC 3986, section 5.2.4)."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(path)))
