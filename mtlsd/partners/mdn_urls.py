"""Where an asynchronous MDN may go: a target that a peer names, against the prefixes that we listed for it.

Both are read by the parser that the client connects by: two parsers that differ are how such a list is passed by.
Whatever is listed is allowed, a loopback address too; names are compared as text and never resolved.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from mtlsd.config.addresses import Backend

MAX_URL = 2000  # characters


def url_prefix(text: str) -> str:
    """A prefix of URLs as it is listed; with a path, so that the prefix of one host is not that of a longer name."""
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
    """Whether one of the prefixes covers this URL; none covers what is not http or https, or cannot be read."""
    try:
        url = Backend.parse(target)
    except ValueError:
        return False
    if len(target) > MAX_URL or _climbs(_path(url)):
        return False
    return any(_covers(Backend.parse(prefix), url) for prefix in prefixes)


def _covers(prefix: Backend, url: Backend) -> bool:
    """The same scheme, host and port, and a path that goes on only behind a slash."""
    if (prefix.scheme, prefix.host, prefix.port) != (url.scheme, url.host, url.port):
        return False
    path, start = _path(url), _path(prefix)
    return path == start or path.startswith(start if start.endswith("/") else f"{start}/")


def _path(url: Backend) -> str:
    return url.target.partition("?")[0]


def _climbs(path: str) -> bool:
    """Whether a server might read a step upwards in it (RFC 3986, section 5.2.4)."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(path)))
