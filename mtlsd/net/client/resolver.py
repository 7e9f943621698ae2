"""Name resolution in separate threads, because a lookup keeps its thread even when nothing waits for it any longer.

Otherwise a name server that does not answer would occupy all of trio's threads, and block the journal and its commits.
"""

import socket
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import trio

AT_ONCE = 4  # lookups of one name; only backends and `mdn_urls` have names, so their number is limited


class Lookups(trio.abc.HostnameResolver):
    """Resolves names, each with its own threads, so that a name without an answer delays no other name."""

    def __init__(self, look_up: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._limiters: defaultdict[bytes | None, trio.CapacityLimiter] = defaultdict(
            lambda: trio.CapacityLimiter(AT_ONCE)
        )

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name of the base class
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Look up a name; trio does not call this for numeric addresses."""
        limiter = self._limiters[host]
        wanted = (host, port, family, type, proto, flags)
        return await trio.to_thread.run_sync(self._look_up, *wanted, limiter=limiter, abandon_on_cancel=True)

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        """Not supported: nothing looks up the name of an address."""
        raise NotImplementedError
