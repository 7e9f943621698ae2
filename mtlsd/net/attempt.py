"""One attempt at a delivery: the request that `relay` builds, made over a socket."""

from collections.abc import Callable, Iterator
from functools import partial
from io import SEEK_END, BytesIO
from typing import BinaryIO

import trio

from mtlsd import config, relay
from mtlsd.errors import JournalUnavailable
from mtlsd.journal import Delivery, Message, Refusal
from mtlsd.net import client
from mtlsd.net.outgoing import context_for
from mtlsd.net.snapshot import Snapshot
from mtlsd.relay import Answered

OpenDocument = Callable[[str], BinaryIO]


async def attempt(
    about: Message | Refusal, delivery: Delivery, snapshot: Snapshot, open_document: OpenDocument
) -> Answered:
    """Make the request once; raises UpstreamFailed, and what `open_document` raises."""
    request = relay.build(about, delivery)
    target = config.Backend.parse(request.url)
    context = None
    if target.scheme == "https":
        context = await trio.to_thread.run_sync(context_for, request.credentials, snapshot)
    body = request.body
    with BytesIO(body) if isinstance(body, bytes) else open_document(body) as file:
        _check_size(file, request)
        answer = await client.send(
            target,
            request.method,
            request.headers,
            _pieces(file),
            timeout=snapshot.configuration.delivery.timeout_seconds,
            context=context,
        )
    return Answered(answer.status, answer.get("retry-after"), answer.fields, answer.body)


def _check_size(file: BinaryIO, request: relay.OutgoingRequest) -> None:
    """Send nothing of a document that is cut or has grown: the backend would wait for the rest, or get too much."""
    size, promised = file.seek(0, SEEK_END), int(dict(request.headers)["Content-Length"])
    if size != promised:
        raise JournalUnavailable(f"{request.body!r} has {size} octets, and {promised} were kept")
    file.seek(0)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, client.CHUNK), b"")
