"""What is counted, for Prometheus: every name, its labels and its meaning in one table.

The number of series is bounded. A label is a host that is configured, a partner that was recognised, a reason of
`errors`, or a word of ours: never text of a peer. A label without a value is empty, which Prometheus takes for absent.
Counters and histograms grow as things happen; what `show` sets is read when somebody asks.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)  # seconds; a commit
SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)  # seconds; what waits for a peer
GROUPS = (1, 2, 4, 8, 16, 32, 64)


class Kind(Enum):
    """What Prometheus calls it."""

    COUNTER = auto()
    GAUGE = auto()
    HISTOGRAM = auto()


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric. A counter's name gets `_total` in the output."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_COUNTER, _GAUGE, _HISTOGRAM = Kind
TABLE = (
    Meter("mtlsd_exchanges", _COUNTER, "Requests that were answered.", ("host", "partner", "status", "reason")),
    Meter("mtlsd_exchange_duration_seconds", _HISTOGRAM, "From a header's first byte to the answer.", ("host",), SLOW),
    Meter("mtlsd_exchange_received_bytes", _COUNTER, "HTTP received, inside TLS.", ("host",)),
    Meter("mtlsd_exchange_sent_bytes", _COUNTER, "HTTP sent, inside TLS.", ("host",)),
    Meter("mtlsd_connections", _GAUGE, "Connections that are open."),
    Meter("mtlsd_connections_refused", _COUNTER, "Connections closed because of a limit.", ("reason",)),
    Meter("mtlsd_handshakes", _COUNTER, "TLS handshakes; without a reason they completed.", ("reason",)),
    Meter("mtlsd_deliveries", _GAUGE, "Deliveries that are not delivered.", ("kind", "state")),
    Meter("mtlsd_delivery_oldest_pending_age_seconds", _GAUGE, "Age of the oldest pending delivery.", ("kind",)),
    Meter("mtlsd_delivery_attempts", _COUNTER, "Attempts at deliveries.", ("kind", "outcome", "reason")),
    Meter("mtlsd_delivery_attempt_duration_seconds", _HISTOGRAM, "One attempt at a delivery.", ("kind",), SLOW),
    Meter("mtlsd_journal_commit_duration_seconds", _HISTOGRAM, "Commits of accepted messages.", (), FAST),
    Meter("mtlsd_journal_commit_messages", _HISTOGRAM, "Messages in one commit.", (), GROUPS),
    Meter("mtlsd_disk_free_bytes", _GAUGE, "Space for mtlsd on the file system of the spool."),
    Meter("mtlsd_disk_size_bytes", _GAUGE, "Size of the file system of the spool."),
    Meter("mtlsd_certificate_not_after_timestamp_seconds", _GAUGE, "Expiry of our own certificates.", ("use", "name")),
    Meter("mtlsd_partner_certificates_ending", _GAUGE, "Partner certificates that expire within days.", ("days",)),
    Meter(
        "mtlsd_partner_certificate_next_not_after_timestamp_seconds", _GAUGE, "Next expiry of a partner certificate."
    ),
    Meter("mtlsd_expiry_alerts", _COUNTER, "Expiry alerts sent, by the days left.", ("days",)),
    Meter("mtlsd_ready", _GAUGE, "Result of each /readyz check: 1 unless it fails.", ("check",)),
    Meter("mtlsd_config_reloads", _COUNTER, "Reloads.", ("outcome",)),
    Meter("mtlsd_config_last_reload_successful", _GAUGE, "Whether the last reload succeeded."),
    Meter("mtlsd_config_last_reload_success_timestamp_seconds", _GAUGE, "When the configuration in force was read."),
    Meter("mtlsd_config_problems", _GAUGE, "Errors under partners/ that disable something."),
    Meter("mtlsd_partners", _GAUGE, "Partners that are known."),
    Meter("mtlsd_build_info", _GAUGE, "Always 1.", ("version", "python")),
)


class Metrics:
    """The numbers of one daemon. Safe to call from any thread; nothing here raises or waits."""

    def __init__(self, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter is there twice
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for row in TABLE:
            self._make(row)
        self._gauges["mtlsd_config_last_reload_successful"].set(1)  # the start was one
        ProcessCollector(registry=self._registry)
        self._gauges["mtlsd_build_info"].labels(version, platform.python_version()).set(1)

    def exchange(
        self, host: str, partner: str, status: int, reason: str, *, seconds: float, received: int, sent: int
    ) -> None:
        """A request was answered; `partner` is empty where nobody proved to be one."""
        self._counters["mtlsd_exchanges"].labels(host, partner, str(status), reason).inc()
        self._histograms["mtlsd_exchange_duration_seconds"].labels(host).observe(seconds)
        self._counters["mtlsd_exchange_received_bytes"].labels(host).inc(received)
        self._counters["mtlsd_exchange_sent_bytes"].labels(host).inc(sent)

    def handshake(self, reason: str = "") -> None:
        """A handshake completed, or failed for a reason."""
        self._counters["mtlsd_handshakes"].labels(reason).inc()

    def connection_refused(self, reason: str) -> None:
        """A connection was closed before it said anything."""
        self._counters["mtlsd_connections_refused"].labels(reason).inc()

    def attempt(self, kind: str, outcome: str, reason: str, *, seconds: float) -> None:
        """An attempt at a delivery ended."""
        self._counters["mtlsd_delivery_attempts"].labels(kind, outcome, reason).inc()
        self._histograms["mtlsd_delivery_attempt_duration_seconds"].labels(kind).observe(seconds)

    def commit(self, seconds: float, messages: int) -> None:
        """A group of messages became durable."""
        self._histograms["mtlsd_journal_commit_duration_seconds"].observe(seconds)
        self._histograms["mtlsd_journal_commit_messages"].observe(messages)

    def expiry_alert(self, days: int) -> None:
        """An alert of something that ends within so many days was given."""
        self._counters["mtlsd_expiry_alerts"].labels(str(days)).inc()

    def reload(self, outcome: str) -> None:
        """A reload went well ("success") or did not ("failure")."""
        self._counters["mtlsd_config_reloads"].labels(outcome).inc()
        self._gauges["mtlsd_config_last_reload_successful"].set(outcome == "success")

    def show(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge, by its labels; what is not among the values is gone."""
        gauge = self._gauges[name]
        if () in values:
            gauge.set(values[()])
            return
        gauge.clear()
        for labels, value in values.items():
            gauge.labels(*labels).set(value)

    def render(self) -> bytes:
        """Everything, as `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def _make(self, row: Meter) -> None:
        match row.kind:
            case Kind.COUNTER:
                self._counters[row.name] = Counter(row.name, row.text, row.labels, registry=self._registry)
            case Kind.GAUGE:
                self._gauges[row.name] = Gauge(row.name, row.text, row.labels, registry=self._registry)
            case Kind.HISTOGRAM:
                self._histograms[row.name] = Histogram(
                    row.name, row.text, row.labels, registry=self._registry, buckets=row.buckets
                )
