"""Encodes a metrics snapshot in the Prometheus exposition formats.

The only module that imports prometheus_client. It is loaded with the first scrape, to save memory before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as MetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from wx2mqtt.bridge.health import BUCKET_BOUNDS_SECONDS
from wx2mqtt.web.metrics_table import CallSamples, MetricSamples, MetricsSnapshot

METRIC_PREFIX = "wx2mqtt_"


class _FamiliesCollector(Collector):
    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[MetricFamily]:
        return self._families


def encode_metrics(snapshot: MetricsSnapshot, accept: str) -> tuple[bytes, str]:
    """Returns the body and its content type, in the format that the Accept header prefers."""
    encoder, content_type = choose_encoder(accept)
    encode: Callable[[Collector], bytes] = encoder
    return encode(_FamiliesCollector(list(metric_families(snapshot)))), content_type


def metric_families(snapshot: MetricsSnapshot) -> Iterator[MetricFamily]:
    """Yields the families of the snapshot, and those of the process such as its memory."""
    yield from map(_family, snapshot.samples)
    yield _request_counts(snapshot.calls)
    yield _request_latencies(snapshot.calls)
    yield from ProcessCollector(registry=None).collect()


def _family(samples: MetricSamples) -> MetricFamily:
    metric = samples.metric
    family_class = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = family_class(METRIC_PREFIX + metric.name, metric.help, labels=samples.labels)
    for labels, value in samples.values:
        family.add_metric(labels, float(value))
    return family


def _request_counts(calls: Sequence[CallSamples]) -> MetricFamily:
    family = CounterMetricFamily(
        f"{METRIC_PREFIX}wechat_requests",
        "Requests to WeChat by how they ended: an HTTP status, or a word",
        labels=("account", "endpoint", "outcome"),
    )
    for account_calls in calls:
        for (endpoint, outcome), count in account_calls.outcome_counts.items():
            family.add_metric((account_calls.account, endpoint, outcome), count)
    return family


def _request_latencies(calls: Sequence[CallSamples]) -> MetricFamily:
    family = HistogramMetricFamily(
        f"{METRIC_PREFIX}wechat_request_seconds",
        "How long requests to WeChat took; synccheck and login wait for news",
        labels=("account", "endpoint"),
    )
    for account_calls in calls:
        for endpoint, (counts, seconds) in account_calls.latencies.items():
            family.add_metric(
                (account_calls.account, endpoint), buckets=_cumulative_buckets(counts), sum_value=seconds
            )
    return family


def _cumulative_buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Returns the upper bound and the count of each bucket, those of all lower buckets included."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BUCKET_BOUNDS_SECONDS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
