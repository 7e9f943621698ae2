"""Health checks: periodic requests to the health-check URL of each backend; unhealthy backends are paused."""

from collections.abc import Iterator
from datetime import UTC, datetime

import trio

from mtlsd.config.addresses import Backend
from mtlsd.errors import UpstreamFailed
from mtlsd.net.client import http
from mtlsd.net.deliveries.attempt import tell
from mtlsd.net.services.state import State
from mtlsd.relay.retry import Answered, Outcome
from mtlsd.snapshot.snapshot import Snapshot

TIMEOUT_SECONDS = 5


async def check_backends(state: State) -> None:
    """Check all backends periodically until cancelled."""
    while True:
        async with trio.open_nursery() as nursery:
            for backend, path in dict.fromkeys(_pages(state.snapshot)):
                nursery.start_soon(_check, state, backend, path)
        await trio.sleep(state.snapshot.configuration.delivery.health_seconds)


def _pages(snapshot: Snapshot) -> Iterator[tuple[Backend, str]]:
    for host in snapshot.hosts.values():
        for route in host.routes:
            for backend in route.backend:
                if route.health and isinstance(backend, Backend):
                    yield backend, route.health


async def _check(state: State, backend: Backend, path: str) -> None:
    """Check one backend: a failed check pauses the backend at once, and a successful check ends the pause."""
    outcome = await _ask(state, backend, path)
    if state.upstreams.note_health(backend.url, outcome, trio.current_time()):
        tell(state, backend.url, outcome)
        state.due.set()


async def _ask(state: State, backend: Backend, path: str) -> Outcome:
    page = Backend(backend.scheme, backend.host, backend.port, path, backend.url)
    try:
        context = None
        if page.scheme == "https":
            now = datetime.fromtimestamp(state.clock(), UTC)
            context = await state.contexts.get(None, state.snapshot, now)
        answer = await http.send(
            page, "GET", (), (), timeout=TIMEOUT_SECONDS, context=context, connections=state.client_connections
        )
    except UpstreamFailed as failure:
        return failure
    return Answered(answer.status)
