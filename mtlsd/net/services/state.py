"""The state that the tasks of the daemon share: the current snapshot, the services, the clock, the connections."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import trio

from mtlsd import __version__
from mtlsd.access.disk_space import check_room
from mtlsd.access.known_certificates import KnownCertificates
from mtlsd.access.line_limit import LineLimit
from mtlsd.access.rate_limits import FailureLimit, RequestLimit
from mtlsd.as2.agreement import MessageLimits
from mtlsd.config.model import Keep
from mtlsd.errors import TooManyConnections
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.context import Services
from mtlsd.journal.model import Acceptance, Delivery, Message
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.log import Logger
from mtlsd.metrics import Metrics
from mtlsd.net.client.connections import IdleConnections
from mtlsd.net.client.tls_context import ClientContexts
from mtlsd.net.services.cpu_shares import CPUShares
from mtlsd.net.services.group_commit import Committer, Unclear, accept
from mtlsd.net.services.promotions import Promoter
from mtlsd.net.services.revocation import Revocations
from mtlsd.net.services.single_flight import CountLimit, SharedCalls
from mtlsd.partners.rollover import Used
from mtlsd.relay.retry import Answered, Outcome
from mtlsd.relay.upstreams import BreakerPolicy, Pins, Upstreams
from mtlsd.snapshot.snapshot import Snapshot

MAX_COPIES = 8  # of one message that wait for the backend's answer


@dataclass(slots=True, eq=False)
class State:
    """One running daemon. Only `swap` replaces the snapshot; only the runtime calls `stop`."""

    snapshot: Snapshot
    journal: Journal
    spool: Spool
    log: Logger
    clock: Callable[[], float] = time.time  # seconds of the epoch
    node: str = "node"  # our name among the nodes that share the journal
    stopping: bool = False
    connections: Counter[str] = field(default_factory=Counter)  # by address of the client
    idle: set[trio.CancelScope] = field(default_factory=set)  # connections that wait for a request
    due: trio.Event = field(default_factory=trio.Event)  # set when there is something new to deliver
    services: Services = field(init=False)
    upstreams: Upstreams = field(init=False)
    committer: Committer = field(init=False)
    metrics: Metrics = field(default_factory=lambda: Metrics(__version__))
    backends: dict[str, tuple[float, str]] = field(default_factory=dict)  # by URL: last attempt, and why it failed
    unclear: Unclear = field(init=False)
    cpu_shares: CPUShares = field(default_factory=CPUShares)
    certificates: KnownCertificates = field(default_factory=KnownCertificates)
    contexts: ClientContexts = field(default_factory=ClientContexts)
    client_connections: IdleConnections = field(default_factory=IdleConnections)  # to backends and MDN servers
    promoter: Promoter = field(init=False)
    whoami: RequestLimit = field(init=False)  # by address of the client
    lines: LineLimit = field(init=False)  # of the log, about clients that proved no identity
    revocations: Revocations = field(init=False)
    pins: Pins = field(default_factory=Pins)  # the backends that may have messages the journal lacks
    # For routes that ask the backend first: one call per message key, and a limit of such messages per route.
    shared_calls: SharedCalls[Any] = field(default_factory=partial(SharedCalls, MAX_COPIES))
    forwarded: CountLimit = field(default_factory=CountLimit)

    def __post_init__(self) -> None:
        failures = FailureLimit(self.snapshot.configuration.limits.max_failures_per_hour)
        self.services = self._services(failures)
        state = self.snapshot.configuration.server.state
        self.revocations = Revocations(state / "crls", self.clock, self.log)
        self.committer = Committer(self.journal, self.metrics.commit)
        self.unclear = Unclear(self.journal, self.spool)
        self.promoter = Promoter(self.journal, self.log)
        self.whoami = RequestLimit(self.snapshot.configuration.limits.max_whoami_per_minute)
        self.lines = LineLimit(self.snapshot.configuration.limits.max_stranger_lines_per_minute)
        self.upstreams = Upstreams(_breaker(self.snapshot))

    def swap(self, snapshot: Snapshot) -> None:
        """Replace the snapshot: from now on it judges every request, also on open connections."""
        self.snapshot = snapshot
        self.services.failures.per_hour = snapshot.configuration.limits.max_failures_per_hour
        self.whoami.per_minute = snapshot.configuration.limits.max_whoami_per_minute
        self.lines.per_minute = snapshot.configuration.limits.max_stranger_lines_per_minute
        self.services = self._services(self.services.failures)
        self.upstreams.policy = _breaker(snapshot)
        self.revocations.wake()

    def _services(self, failures: FailureLimit) -> Services:
        configuration = self.snapshot.configuration
        limits = configuration.limits
        return Services(
            self.journal,
            self.spool,
            MessageLimits(
                max_expanded_octets=limits.max_expanded_bytes,
                max_expansion_ratio=limits.max_expansion_ratio,
                max_unproven_octets=limits.max_unproven_bytes,
                max_unproven_ratio=limits.max_unproven_ratio,
            ),
            failures,
            configuration.server.inline_limit,
            keeps_evidence=configuration.proof.keep is Keep.CONTENT,
        )

    async def accept(self, exchange: Exchange, acceptance: Acceptance) -> Message:
        """Make a message durable, and return the one that holds its key; raises JournalUnavailable or SpoolFull."""
        return await accept(self.committer, self.unclear, acceptance, exchange.withdraw)

    def note_use(self, used: Used) -> None:
        """Note that a certificate was used successfully: its first use may promote it."""
        self.promoter.note(used, self.snapshot, datetime.fromtimestamp(self.clock(), UTC))

    def admit(self, address: str) -> None:
        """Count a connection; raises TooManyConnections. The caller must call `release` at the end."""
        limits = self.snapshot.configuration.limits
        if self.connections.total() >= limits.max_connections:
            raise TooManyConnections(f"{limits.max_connections} connections in all")
        if self.connections[address] >= limits.max_connections_per_address:
            raise TooManyConnections(f"{limits.max_connections_per_address} connections from {address}")
        self.connections[address] += 1

    def release(self, address: str) -> None:
        """Stop counting a connection that has closed."""
        self.connections[address] -= 1
        if not self.connections[address]:
            del self.connections[address]

    def require_room(self, length: int | None) -> None:
        """Raises SpoolFull if the disk has no room for a body of this length (None: unknown)."""
        check_room(self.spool.space().free, self.snapshot.configuration.limits, length)

    def note_attempt(self, delivery: Delivery, *, became: str, reason: str, seconds: float) -> None:
        """Count an attempt at a delivery."""
        self.metrics.attempt(delivery.kind, became, reason, seconds=seconds)

    def note_backend(self, url: str, outcome: Outcome) -> None:
        """Remember whether a backend could be reached."""
        if url in self.snapshot.backends:
            reason = "" if isinstance(outcome, Answered) else outcome.reason
            self.backends[url] = trio.current_time(), reason

    def stop(self) -> None:
        """Close the idle connections, and the busy ones once they have answered."""
        self.stopping = True
        for scope in self.idle:
            scope.cancel()


def _breaker(snapshot: Snapshot) -> BreakerPolicy:
    settings = snapshot.configuration.delivery
    return BreakerPolicy(settings.failures_to_pause, settings.pause_seconds)
