"""Addresses to listen on, and backends to deliver to: URLs and directories. All are read from texts."""

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Literal, Self
from urllib.parse import quote, unquote

from mtlsd.config import values

DIRECTORY = "dir:"
_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<target>[^#]*)(?P<fragment>#.*)?", re.IGNORECASE)
_URL_TEXT = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")  # RFC 3986, section 2
_QUERY = re.compile(r"\?\S*")
_BACKEND_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port to listen on; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read `0.0.0.0:8443` or `[::1]:8443`; raises ValueError with the expected form."""
        with suppress(ValueError):
            host, port = values.authority(value)
            if port is not None:
                return cls(str(ip_address(host)), port)
        raise ValueError(
            'expected an IP address and a port: "0.0.0.0:8443" is every IPv4 address, "[::]:8443" is every IPv6 address'
        )

    @classmethod
    def parse_loopback(cls, value: str) -> Self:
        """Read a loopback address, which only this machine can reach."""
        address = cls.parse(value)
        if not ip_address(address.host).is_loopback:
            raise ValueError('expected a loopback address such as "127.0.0.1:9180": other addresses are not protected')
        return address


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend with an http or https URL; `target` is the path and the query, as in the request line."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    target: str
    url: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an absolute http or https URL; raises ValueError with the expected form."""
        found = _URL.fullmatch(url)
        if not found or not _URL_TEXT.fullmatch(url):
            raise ValueError('expected a URL such as "http://127.0.0.1:9000/inbound", odd characters percent-encoded')
        if "@" in found["authority"]:
            raise ValueError("the URL has credentials: remove them, because secrets do not belong in this file")
        if found["fragment"]:
            raise ValueError('the URL has a fragment: remove "#" and everything after it')
        scheme: Literal["http", "https"] = "https" if found["scheme"].lower() == "https" else "http"
        host, port = _backend_address(found["authority"], 443 if scheme == "https" else 80)
        target = found["target"] if found["target"].startswith("/") else f"/{found['target']}"
        return cls(scheme, host, port, target, url)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that a route delivers into; `url` is its form in the configuration."""

    path: Path

    @property
    def url(self) -> str:
        return f"{DIRECTORY}{quote(str(self.path))}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `dir:/var/spool/edi`; raises ValueError with the expected form."""
        path = PurePosixPath(unquote(url.removeprefix(DIRECTORY)))
        if not url.startswith(DIRECTORY) or not path.is_absolute() or "\0" in str(path) or ".." in path.parts:
            raise ValueError('expected an absolute directory such as "dir:/var/spool/edi/inbound"')
        return cls(Path(path))


def parse_backend(text: str) -> Backend | Directory:
    """Read a value of `backend`; raises ValueError with the expected form."""
    return Directory.parse(text) if text.startswith(DIRECTORY) else Backend.parse(text)


def without_query(target: str) -> str:
    """One or more URLs, separated by spaces, without their queries, which may hold secrets."""
    return _QUERY.sub("", target)


def _backend_address(authority: str, default_port: int) -> tuple[str, int]:
    try:
        host, port = values.authority(authority)
    except ValueError:
        host, port = "", None
    if not _BACKEND_HOST.fullmatch(host) or port == 0:
        raise ValueError(f"expected a host name or IP address and a port from 1 to {values.MAX_PORT} in the URL")
    return host, port or default_port
