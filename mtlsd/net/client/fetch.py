"""Fetches files from a CA with limits: a deadline, a size, no redirect, and no private address unless it is listed.

The URL may come from a certificate. Therefore the name is resolved here, every address is checked, and the connection
goes to one of the checked addresses: a second lookup could return a different address.
"""

import ssl
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import trio

from mtlsd.config.addresses import Backend
from mtlsd.errors import MtlsdError, UpstreamFailed
from mtlsd.net.client import http

OK = 200
GLOBAL_UNICAST = IPv6Network("2000::/3")  # IANA has assigned no other; site-local and IPv4-compatible are outside
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; the prefix for local use, 64:ff9b:1::/48, is never public
TEREDO = IPv6Network("2001::/32")  # RFC 4380: leads to an IPv4 address, and no CA uses it


class FetchFailed(MtlsdError):
    """No usable answer was received; the text says why."""


async def fetch(
    url: str, *, listed: bool, limit: int, seconds: float, question: bytes = b"", content_type: str = ""
) -> bytes:
    """Send a GET, or a POST of `question`; read at most `limit` octets within `seconds`. Raises FetchFailed.

    `listed`: the operators configured this URL, so its address may be private.
    """
    try:
        with trio.fail_after(seconds):
            return await _fetch(Backend.parse(url), listed, limit, seconds, question, content_type)
    except trio.TooSlowError as error:
        raise FetchFailed(f"{url}: no whole answer within {seconds:g} s") from error
    except (UpstreamFailed, OSError, ValueError) as error:
        raise FetchFailed(f"{url}: {error}") from error


async def _fetch(
    backend: Backend, listed: bool, limit: int, seconds: float, question: bytes, content_type: str
) -> bytes:
    fields = [("Content-Type", content_type), ("Content-Length", str(len(question)))] if question else []
    answer = await http.send(
        backend,
        "POST" if question else "GET",
        fields,
        [question] if question else (),
        timeout=seconds,
        context=await trio.to_thread.run_sync(ssl.create_default_context) if backend.scheme == "https" else None,
        connect_to=(await _address(backend, listed), backend.port),
        max_answer=limit,
    )
    if answer.status != OK:
        raise ValueError(f"the server said {answer.status}")
    if len(answer.body) > limit:
        raise ValueError(f"more than {limit} octets")
    return answer.body


async def _address(backend: Backend, listed: bool) -> str:
    """Return one address of this server; ValueError if any address is private and the URL is not listed."""
    found = await trio.socket.getaddrinfo(backend.host, backend.port, type=trio.socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not listed and not all(map(is_public, addresses)):
        raise ValueError("a private address: list the very URL in the partner's settings if that is right")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is public, judged by its digits; one that contains an IPv4 address is judged by it."""
    parsed: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return parsed.is_global and not parsed.is_multicast
    if (inside := _inside(parsed)) is not None:
        return is_public(str(inside))
    return parsed in GLOBAL_UNICAST and parsed not in TEREDO and parsed.is_global


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which a gateway or this host itself would connect."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
