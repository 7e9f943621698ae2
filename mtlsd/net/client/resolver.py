"""Name resolution away from the threads of everybody else: a lookup keeps its thread, even when nobody waits for it.

A name server that does not answer would otherwise take all of trio's threads, and journal and commits with them.
"""

import socket
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import trio

AT_ONCE = 4  # lookups of one name; the names are those of backends and of `mdn_urls`, so there is an end to them


class Lookups(trio.abc.HostnameResolver):
    """Resolves names, each with threads of its own, so that a name without an answer keeps no other back."""

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
        """Look a name up; trio asks for no numeric address."""
        limiter = self._limiters[host]
        wanted = (host, port, family, type, proto, flags)
        return await trio.to_thread.run_sync(self._look_up, *wanted, limiter=limiter, abandon_on_cancel=True)

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        """Nobody asks for the name of an address."""
        raise NotImplementedError
