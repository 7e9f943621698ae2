"""The metrics: names that Prometheus likes, one table, and no series that a peer could make."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from mtlsd.metrics import TABLE, Kind, Meter, Metrics

OPERATIONS = Path(__file__).parent.parent / "docs" / "operations.md"
Sample = tuple[str, dict[str, str], float]

each_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


def parsed(metrics: Metrics) -> Iterable[Metric]:
    return text_string_to_metric_families(metrics.render().decode())


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric by its labels, in the order of their names."""
    found = [sample for family in parsed(metrics) for sample in family.samples if sample.name == name]
    return {tuple(value for _, value in sorted(each.labels.items())): each.value for each in found}


def test_a_parser_reads_everything_and_finds_every_name() -> None:
    found = {family.name: (family.documentation, family.type) for family in parsed(Metrics("1.2.3"))}
    ours = {name: about for name, about in found.items() if name.startswith("mtlsd_")}
    assert ours == {row.name: (row.text, row.kind.name.lower()) for row in TABLE}
    assert "process_resident_memory_bytes" in found


@each_row
def test_a_name_keeps_the_conventions(row: Meter) -> None:
    assert re.fullmatch(r"mtlsd_[a-z]+(_[a-z]+)*", row.name)
    assert not row.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert not re.search(r"_(milliseconds|ms|days|kb|mb)\b", row.name)
    assert row.text.endswith(".")
    assert bool(row.buckets) == (row.kind is Kind.HISTOGRAM)
    assert list(row.buckets) == sorted(row.buckets)


@each_row
def test_a_metric_is_documented(row: Meter) -> None:
    name = row.name + ("_total" if row.kind is Kind.COUNTER else "")
    labels = ", ".join(f"`{label}`" for label in row.labels)
    line = f"| `{name}` | {row.kind.name.lower()} | {labels} | {row.text} |"
    assert line in OPERATIONS.read_text(encoding="utf-8")


def test_the_documents_name_no_metric_that_is_not_there() -> None:
    known = {name for row in TABLE for name in (row.name, f"{row.name}_total")}
    named = set(re.findall(r"\bmtlsd_[a-z_]+\b", OPERATIONS.read_text(encoding="utf-8")))
    assert sorted(named - known) == []


def test_an_exchange_is_counted_by_host_partner_status_and_reason() -> None:
    metrics = Metrics()
    for reason, status in (("", 200), ("", 200), ("cert_expired", 400)):
        partner = "" if reason else "acme"
        metrics.exchange("a.example", partner, status, reason, seconds=0.02, received=10, sent=5)
    assert samples(metrics, "mtlsd_exchanges_total") == {
        ("a.example", "acme", "", "200"): 2,
        ("a.example", "", "cert_expired", "400"): 1,
    }
    assert samples(metrics, "mtlsd_exchange_received_bytes_total") == {("a.example",): 30}
    assert samples(metrics, "mtlsd_exchange_sent_bytes_total") == {("a.example",): 15}
    buckets = samples(metrics, "mtlsd_exchange_duration_seconds_bucket")
    assert (buckets["a.example", "0.01"], buckets["a.example", "0.025"]) == (0, 3)


def test_what_else_happens_is_counted() -> None:
    metrics = Metrics()
    metrics.handshake()
    metrics.handshake("tls_handshake_failed")
    metrics.connection_refused("too_many_connections")
    metrics.attempt("backend", "pending", "upstream_5xx", seconds=1.0)
    metrics.commit(0.0004, 3)
    metrics.reload("failure")
    assert samples(metrics, "mtlsd_handshakes_total") == {("",): 1, ("tls_handshake_failed",): 1}
    assert samples(metrics, "mtlsd_connections_refused_total") == {("too_many_connections",): 1}
    assert samples(metrics, "mtlsd_delivery_attempts_total") == {("backend", "pending", "upstream_5xx"): 1}
    assert samples(metrics, "mtlsd_journal_commit_messages_sum") == {(): 3}
    assert samples(metrics, "mtlsd_config_reloads_total") == {("failure",): 1}
    assert samples(metrics, "mtlsd_config_last_reload_successful") == {(): 0}


def test_what_is_shown_takes_the_place_of_what_was() -> None:
    metrics = Metrics()
    metrics.show("mtlsd_deliveries", {("backend", "pending"): 3, ("mdn", "failed"): 1})
    metrics.show("mtlsd_deliveries", {("backend", "pending"): 2})
    metrics.show("mtlsd_connections", {(): 7})
    assert samples(metrics, "mtlsd_deliveries") == {("backend", "pending"): 2}
    assert samples(metrics, "mtlsd_connections") == {(): 7}
    metrics.show("mtlsd_deliveries", {})
    assert samples(metrics, "mtlsd_deliveries") == {}


def test_a_label_is_escaped() -> None:
    metrics = Metrics()
    metrics.handshake('a"b\\c\nd')
    assert samples(metrics, "mtlsd_handshakes_total") == {('a"b\\c\nd',): 1}


def test_two_daemons_do_not_count_together() -> None:
    first, second = Metrics(), Metrics()
    first.handshake()
    assert samples(second, "mtlsd_handshakes_total") == {}
