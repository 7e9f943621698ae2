"""Requests and responses, checked and decoded once. h11 reads the wire; this module is stricter than h11."""

import re
from dataclasses import dataclass, field
from typing import Any

import h11

from mtlsd.errors import BadRequest, HostUnclear, PeerError
from mtlsd.journal.model import NO_PROMISE, Promise
from mtlsd.partners.rollover import Used

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is allowed in a value (RFC 9110, section 5.5)
_AUTHORITY = re.compile(r"(?:https?://)?([^/?#]*)", re.IGNORECASE)
_PORT = re.compile(r":[0-9]*\Z")

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request's header. Field names are lower case, values Latin-1; the host has no port and no final dot."""

    method: str
    target: str
    fields: Fields
    http_version: str
    host: str | None  # None only for HTTP/1.0 without Host
    spelled: Fields = ()  # the same fields, with their names as received

    @property
    def path(self) -> str:
        path = self.target
        if not path.startswith("/"):
            path = re.sub(r"\A[a-z]+://[^/?#]*", "", path, flags=re.IGNORECASE)
        return path.partition("?")[0] or "/"

    def get(self, name: str) -> str | None:
        """The value of the first field with this name."""
        return next((value for each, value in self.fields if each == name), None)

    @property
    def has_two_framings(self) -> bool:
        """Whether it has Content-Length and Transfer-Encoding, as request smuggling and some AS2 products do."""
        return self.get("content-length") is not None and self.get("transfer-encoding") is not None

    @property
    def has_body(self) -> bool:
        return self.get("content-length") is not None or self.get("transfer-encoding") is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing follows the header."""
        return self.get("transfer-encoding") is None and not self.content_length

    @property
    def content_length(self) -> int | None:
        length = self.get("content-length")
        return int(length) if length else None

    @property
    def wants_json(self) -> bool:
        return "json" in (self.get("accept") or "").lower()


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `promise` must be on disk before it is sent.

    `error` is the reason of a refusal; `facts` are for the log, and `alert` is for operators. `partner` is the partner
    that the response is for, if the handler knows it, and `used` are the certificates that were used to make it.
    """

    status: int
    fields: Fields = ()
    body: bytes = b""
    close: bool = False
    error: PeerError | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    alert: str = ""
    promise: Promise = NO_PROMISE
    partner: str = ""
    used: tuple[Used, ...] = ()


def read_request(event: h11.Request) -> Request:
    """Check and decode; raises BadRequest."""
    headers = event.headers.raw_items()  # one list, because `event.headers` creates each pair anew
    if _CONTROL.search(b"".join([value for _, value in headers])):
        raise BadRequest("a control character in a header field")
    spelled = tuple([(name.decode("ascii"), value.decode("latin-1")) for name, value in headers])
    fields = tuple([(name.lower(), value) for name, value in spelled])
    target = event.target.decode("latin-1")
    version = event.http_version.decode("ascii")
    return Request(event.method.decode("ascii"), target, fields, version, _host(target, fields, version), spelled)


def _host(target: str, fields: Fields, version: str) -> str | None:
    """The host of a request: that of an absolute target, otherwise Host (RFC 9112, section 3.2)."""
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1 or (not hosts and version != "1.0"):
        raise HostUnclear(f"{len(hosts)} Host fields")
    if not target.startswith("/"):
        return _normal(target)
    return _normal(hosts[0]) if hosts else None


def _normal(authority: str) -> str:
    found = _AUTHORITY.match(authority)
    name = _PORT.sub("", found[1] if found else "").lower().removesuffix(".")
    if not name:
        raise HostUnclear("Host is empty")
    return name
