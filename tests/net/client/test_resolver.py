"""A name server that does not answer keeps back only those who ask for that name."""

import socket
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import trio

from mtlsd.config.addresses import Backend
from mtlsd.errors import UpstreamTimeout, UpstreamUnreachable
from mtlsd.net.client.http import send
from mtlsd.net.client.resolver import AT_ONCE, Lookups

SLOW, UNKNOWN = (Backend.parse(f"http://{name}.example/") for name in ("slow", "unknown"))


async def test_a_name_without_an_answer_takes_no_thread_of_others() -> None:
    answered = Event()
    asked: list[bytes] = []

    def look_up(host: bytes, *_: Any) -> Any:
        asked.append(host)
        if host == b"slow.example":
            answered.wait(20)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def ask() -> None:
        with pytest.raises(UpstreamTimeout, match=r"no connection within 0\.2 s"):
            await send(SLOW, "POST", (), (), timeout=0.2)

    trio.socket.set_custom_hostname_resolver(Lookups(look_up))
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(ask)
        with trio.fail_after(10):
            with pytest.raises(UpstreamUnreachable, match="Name or service not known"):
                await send(UNKNOWN, "POST", (), (), timeout=5)
            await trio.to_thread.run_sync(Path.cwd)  # as the journal does
    finally:
        answered.set()
    assert (asked.count(b"slow.example"), asked.count(b"unknown.example")) == (AT_ONCE, 1)
